//! The preprocessing of vision encoders: CLIP's (`CLIPImageProcessor`) and `SigLIP`'s (`SiglipImageProcessor`).

use std::path::Path;

use image::RgbImage;
use serde_json::Value;

use super::error::ImageError;
use super::filter::Filter;
use super::resample::{Window, resize, resize_window};
use crate::models::config::{ConfigError, Fields};

/// What errors call the configuration.
const MODEL: &str = "image preprocessor";
/// Pixels a side of the encoder's input may have.
const MAX_SIDE: u32 = 4096;

/// How a picture becomes the square an encoder looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Fit {
    /// The shorter side is resized to `size`, and the middle cut out (CLIP).
    #[default]
    Crop,
    /// The whole picture is stretched to the square (`SigLIP`).
    Stretch,
}

/// `preprocessor_config.json`: what happens to a picture before the vision encoder sees it. The default is CLIP's own.
///
/// ```
/// use conceptrol_core::models::image::ClipImageConfig;
///
/// let json = r#"{"size": {"shortest_edge": 224}, "crop_size": 224, "resample": 3}"#;
/// assert_eq!(ClipImageConfig::from_json(json)?, ClipImageConfig::default());
/// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClipImageConfig {
    /// How the picture becomes a square.
    pub fit: Fit,
    /// Pixels the shorter side, or each side, is resized to.
    pub size: u32,
    /// Pixels of each side of the square that is cut out of the middle then; all of it with [`Fit::Stretch`].
    pub crop_size: u32,
    /// Pillow's number of the filter: 1 Lanczos, 2 bilinear, 3 bicubic.
    pub resample: u32,
    /// Factor on 8-bit samples.
    pub rescale_factor: f64,
    /// Subtracted after that, for red, green and blue.
    pub image_mean: [f32; 3],
    /// Divided by after that.
    pub image_std: [f32; 3],
}

impl Default for ClipImageConfig {
    fn default() -> Self {
        Self {
            fit: Fit::Crop,
            size: 224,
            crop_size: 224,
            resample: 3,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_55, 0.261_302_6, 0.275_777_1],
        }
    }
}

/// What a `preprocessor_config.json` of `SigLIP` calls itself.
const SIGLIP: &str = "SiglipImageProcessor";

impl ClipImageConfig {
    /// `SigLIP`'s preprocessing to a square of `size` pixels: the whole picture stretched, samples in -1..=1.
    ///
    /// ```
    /// use conceptrol_core::models::image::ClipImageConfig;
    ///
    /// let json = r#"{"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}}"#;
    /// assert_eq!(ClipImageConfig::from_json(json)?, ClipImageConfig::siglip(384));
    /// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
    /// ```
    pub fn siglip(size: u32) -> Self {
        Self {
            fit: Fit::Stretch,
            size,
            crop_size: size,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
            ..Self::default()
        }
    }

    /// Reads a `preprocessor_config.json`; what it leaves out is as in CLIP, or in `SigLIP` if it is of that class.
    ///
    /// # Errors
    /// If the file cannot be read, or a field has another type.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::open(MODEL, path)?)
    }

    /// Reads the text of a `preprocessor_config.json`.
    ///
    /// # Errors
    /// If a field has another type.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::parse(MODEL, text)?)
    }

    fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        let default = match fields.optional_text("image_processor_type")? {
            Some(SIGLIP) => Self::siglip(224),
            _ => Self::default(),
        };
        let triple = |field, default| match fields.optional_numbers(field)? {
            None => Ok(default),
            Some(numbers) => match numbers[..] {
                [red, green, blue] => Ok([red as f32, green as f32, blue as f32]),
                _ => Err(fields.error(field, "a list of 3 numbers")),
            },
        };
        let size = side(fields, "size")?.unwrap_or(default.size);
        Ok(Self {
            fit: default.fit,
            size,
            crop_size: match default.fit {
                Fit::Crop => side(fields, "crop_size")?.unwrap_or(default.crop_size),
                Fit::Stretch => size,
            },
            resample: fields.size_or("resample", 0..=5, 3)? as u32,
            rescale_factor: fields.number_or("rescale_factor", default.rescale_factor)?,
            image_mean: triple("image_mean", default.image_mean)?,
            image_std: triple("image_std", default.image_std)?,
        })
    }

    fn filter(&self) -> Result<Filter, ImageError> {
        match self.resample {
            1 => Ok(Filter::Lanczos),
            2 => Ok(Filter::Bilinear),
            3 => Ok(Filter::Bicubic),
            other => Err(invalid("resample", other, "1, 2 or 3 is known")),
        }
    }

    fn check(&self) -> Result<(), ImageError> {
        if !(1..=MAX_SIDE).contains(&self.size) {
            return Err(invalid("size", self.size, "1 to 4096 pixels"));
        }
        if !(1..=self.size).contains(&self.crop_size) {
            return Err(invalid(
                "crop_size",
                self.crop_size,
                "at least 1, at most `size`",
            ));
        }
        if let Some(std) = self
            .image_std
            .into_iter()
            .find(|std| !(std.is_finite() && *std > 0.0))
        {
            return Err(invalid("image_std", std, "a positive number"));
        }
        Ok(())
    }
}

/// Files write a side as a number, as `{"shortest_edge": n}`, or as a square `{"height": n, "width": n}`.
fn side(fields: &Fields, field: &'static str) -> Result<Option<u32>, ConfigError> {
    let side = match fields.value(field) {
        None => return Ok(None),
        Some(Value::Object(sides)) => match sides.get("shortest_edge") {
            Some(side) => Some(side),
            None => sides
                .get("height")
                .filter(|height| sides.get("width") == Some(height)),
        },
        plain => plain,
    };
    let side = side.ok_or_else(|| fields.error(field, "a shortest_edge, or a square"))?;
    let side = fields.as_size(field, side, &(1..=MAX_SIDE as usize))?;
    Ok(Some(side as u32))
}

fn invalid(field: &'static str, value: impl ToString, rule: &'static str) -> ImageError {
    ImageError::Config {
        field,
        value: value.to_string(),
        rule,
    }
}

/// The 8-bit square the encoder looks at: the shorter side resized to `size` and the middle cut out, or all of the picture
/// stretched to it; see [`Fit`].
///
/// A very long picture (1x4000) is legal: of a crop what counts is its middle square.
///
/// # Errors
/// [`ImageError::Config`], or [`ImageError::Empty`] for a picture without pixels.
pub fn clip_crop(picture: &RgbImage, config: &ClipImageConfig) -> Result<RgbImage, ImageError> {
    config.check()?;
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if config.fit == Fit::Stretch {
        let filter = config.filter()?;
        return Ok(resize(picture, config.crop_size, config.crop_size, filter));
    }
    let (short, long) = (u64::from(width.min(height)), u64::from(width.max(height)));
    let long = u64::from(config.size) * long / short;
    let long = u32::try_from(long).map_err(|_| ImageError::TooLarge {
        width,
        height,
        side: u32::MAX,
        pixels: u64::from(u32::MAX),
    })?;
    let size = if width <= height {
        (config.size, long)
    } else {
        (long, config.size)
    };
    let window = Window {
        left: (size.0 - config.crop_size) / 2,
        top: (size.1 - config.crop_size) / 2,
        width: config.crop_size,
        height: config.crop_size,
    };
    Ok(resize_window(picture, size, window, config.filter()?))
}

/// The encoder's input: [`clip_crop`], scaled and normalised.
///
/// # Shapes
/// - result: `[3, crop_size, crop_size]`, row-major
///
/// # Errors
/// Those of [`clip_crop`].
pub fn clip_preprocess(
    picture: &RgbImage,
    config: &ClipImageConfig,
) -> Result<Vec<f32>, ImageError> {
    let crop = clip_crop(picture, config)?;
    let planes = (0..3).flat_map(|channel| {
        let (mean, std) = (config.image_mean[channel], config.image_std[channel]);
        let normalize =
            move |sample: u8| ((f64::from(sample) * config.rescale_factor) as f32 - mean) / std;
        crop.pixels().map(move |pixel| normalize(pixel.0[channel]))
    });
    Ok(planes.collect())
}
