//! Pictures that a page sends: hostile input, bounded before it is decoded.

use std::{io::Cursor, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
};
use conceptrol_core::{message::chain, models::image::decode};
use conceptrol_examples::parameters::hash;
use image::{ImageFormat, ImageReader, RgbImage};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::refusal::Refusal;

/// Bytes a file may have.
pub(crate) const MOST_BYTES: usize = 16 << 20;
/// Pixels a picture may have, and those of a side.
pub(crate) const MOST_PIXELS: u64 = 24_000_000;
const LONGEST_SIDE: u32 = 8192;
/// Uploads that are read and decoded at a time: what they hold together is bounded, too.
const AT_ONCE: usize = 2;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A picture as it came: it has been decoded once, so it can be.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) id: String,
    /// The name of its file, without path.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Picture {
    /// Looks at size and pixels, then decodes.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn read(name: &str, bytes: Vec<u8>) -> Result<Self, Refusal> {
        let refuse = |message: String| Refusal::of("reference", message);
        if bytes.len() > MOST_BYTES {
            return Err(too_large());
        }
        let guessed = ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
        let reader = guessed.map_err(|_| refuse("The file cannot be read.".into()))?;
        let media_type = match reader.format() {
            Some(ImageFormat::Png) => "image/png",
            Some(ImageFormat::Jpeg) => "image/jpeg",
            Some(ImageFormat::WebP) => "image/webp",
            _ => return Err(refuse("This is not a PNG, JPEG or WebP picture.".into())),
        };
        let broken = |_| refuse("The picture cannot be decoded.".into());
        let (width, height) = reader.into_dimensions().map_err(broken)?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > MOST_PIXELS || width.max(height) > LONGEST_SIDE {
            return Err(refuse(format!(
                "The picture is too large: {width} × {height}, at most {LONGEST_SIDE} a side and 24 megapixels."
            )));
        }
        let picture =
            decode(&bytes).map_err(|error| refuse(format!("Not usable: {}.", chain(&error))))?;
        let (width, height) = picture.dimensions();
        Ok(Self {
            id: hash(&bytes),
            name: file_name(name),
            bytes,
            media_type,
            width,
            height,
        })
    }

    /// Its pixels.
    ///
    /// # Errors
    ///
    /// None that [`read`](Self::read) has not seen.
    pub(crate) fn pixels(&self) -> Result<RgbImage, Refusal> {
        decode(&self.bytes).map_err(|error| Refusal::of("reference", chain(&error)))
    }
}

/// The last part of a name, of a length that a text of parameters can hold.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).take(100).collect();
    match plain.trim() {
        "" => "picture".into(),
        name => name.into(),
    }
}

fn too_large() -> Refusal {
    Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        ..Refusal::of("reference", "The file is larger than 16 MB.")
    }
}

/// Where uploads wait for each other.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Gate {
    /// Takes a body within the bounds, and does something with it that takes a while.
    ///
    /// # Errors
    ///
    /// If it is too large, does not come, or `work` refuses it.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        body: Body,
        work: impl FnOnce(Vec<u8>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let late = || Refusal::whole(StatusCode::REQUEST_TIMEOUT, "The upload took too long.");
        let _permit =
            (timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await).map_err(|_| late())?;
        let bytes = timeout(PATIENCE, to_bytes(body, MOST_BYTES))
            .await
            .map_err(|_| late())?;
        let bytes = bytes.map_err(|_| too_large())?;
        let failed = |_| {
            Refusal::whole(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The picture could not be read.",
            )
        };
        spawn_blocking(move || work(bytes.into()))
            .await
            .map_err(failed)?
    }
}
