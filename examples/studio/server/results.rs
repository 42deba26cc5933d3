//! Pictures that are finished.

use conceptrol_core::models::image::encode_png;
use conceptrol_examples::{parameters::KEYWORD, sheet::sheet};
use image::RgbImage;
use serde::Serialize;

use super::{
    masks::{Contents, Masks},
    progress::Made,
    refusal::Refusal,
    settings::{Method, Settings},
    shelf::Shelf,
};

/// Edge of a picture on the sheet, in pixels.
const SHEET_EDGE: u32 = 512;

/// A finished picture, its masks, and what it was made with.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) settings: Settings,
    pub(crate) method: Method,
    pub(crate) picture: RgbImage,
    pub(crate) masks: Masks,
    /// As its PNG says it.
    pub(crate) parameters: String,
    pub(crate) seconds: f64,
    pub(crate) truncated: Option<String>,
}

/// What the page is told of one.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    settings: Settings,
    method: Method,
    width: u32,
    height: u32,
    seconds: f64,
    masks: Contents,
}

/// The pictures of all pages, by the ids of their settings.
pub(crate) type Results = Shelf<Finished>;

impl Finished {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.picture.as_raw().len() + self.masks.bytes() + self.parameters.len()
    }

    pub(crate) fn made(&self, reused: bool) -> Made {
        Made {
            id: self.settings.id(self.method),
            method: self.method,
            reused,
            seconds: self.seconds,
            truncated: self.truncated.clone(),
        }
    }

    pub(crate) fn about(&self) -> About {
        About {
            settings: self.settings.clone(),
            method: self.method,
            width: self.picture.width(),
            height: self.picture.height(),
            seconds: self.seconds,
            masks: self.masks.contents(),
        }
    }

    /// A picture of it as a PNG that says what it was made with.
    pub(crate) fn png(&self, picture: &RgbImage) -> Result<Vec<u8>, Refusal> {
        encode_png(picture, &[(KEYWORD, &self.parameters)])
            .map_err(|_| Refusal::not_found("This picture"))
    }

    /// It, its mask, and another to compare it with, side by side.
    pub(crate) fn sheet(
        &self,
        other: Option<&Self>,
        reference: Option<&RgbImage>,
    ) -> Result<Vec<u8>, Refusal> {
        let name = |method| match method {
            Method::Adapter => "plain adapter",
            Method::Conceptrol => "conceptrol",
            Method::Text => "text only",
        };
        let mut pictures = Vec::new();
        pictures.extend(reference.map(|picture| ("reference", picture.clone())));
        pictures.extend(other.map(|other| (name(other.method), other.picture.clone())));
        pictures.push((name(self.method), self.picture.clone()));
        let mask = self.masks.over(&self.picture, None, None);
        pictures.extend(mask.map(|mask| ("mask", mask)));
        let columns = u32::try_from(pictures.len()).unwrap_or(1);
        self.png(&sheet(&pictures, columns, SHEET_EDGE))
    }
}
