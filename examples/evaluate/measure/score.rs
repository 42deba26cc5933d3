//! The measures of a generated picture.

use std::error::Error;

use conceptrol_core::models::image::{Filter, RgbImage, resize};
use image::{Rgb, imageops};
use ndarray::Array2;

use super::{Encoder, Regions};
use crate::{data::Prompt, rows::PictureScores};

/// How much of a side the longest side of a thing that was cut out takes, as in reference pictures of the embedded world.
const CUT_OUT: f64 = 52.0 / 64.0;

/// What was asked for, as vectors.
#[derive(Debug)]
pub(crate) struct Asked {
    reference: Vec<f64>,
    prompt: Vec<f64>,
    /// The prompt with its own setting first, then with others.
    settings: Vec<Vec<f64>>,
}

/// Measures pictures.
#[derive(Debug)]
pub(crate) struct Scorer {
    encoder: Encoder,
    /// All settings of the data.
    settings: Vec<String>,
}

impl Scorer {
    pub(crate) fn new(encoder: Encoder, prompts: &[Prompt]) -> Self {
        let mut settings: Vec<String> = prompts.iter().filter_map(|p| p.setting.clone()).collect();
        settings.sort();
        settings.dedup();
        Self { encoder, settings }
    }

    /// What a prompt and a reference ask for.
    pub(crate) fn asked(
        &self,
        prompt: &Prompt,
        reference: &RgbImage,
    ) -> Result<Asked, Box<dyn Error>> {
        let own = prompt.setting.as_deref();
        let others = self
            .settings
            .iter()
            .filter(|setting| own != Some(setting.as_str()));
        let mut texts = vec![prompt.prompt.clone()];
        if let Some(own) = own {
            texts.extend(others.map(|other| prompt.prompt.replacen(own, other, 1)));
        }
        let texts = self.encoder.texts(&texts)?;
        let reference = self.encoder.pictures(std::slice::from_ref(reference))?;
        Ok(Asked {
            reference: reference.into_iter().next().unwrap_or_default(),
            prompt: texts[0].clone(),
            settings: if own.is_some() { texts } else { Vec::new() },
        })
    }

    /// The measures of a picture whose things are in `regions`; `segmented` says that a segmenter found them.
    pub(crate) fn score(
        &self,
        picture: &RgbImage,
        asked: &Asked,
        regions: &Regions,
        segmented: bool,
    ) -> Result<PictureScores, Box<dyn Error>> {
        let mut pictures = vec![picture.clone()];
        let mut cut = |region: &Option<Array2<bool>>| {
            let region = region.as_ref()?;
            pictures.push(cut_out(picture, region)?);
            Some(pictures.len() - 1)
        };
        let concept = cut(&regions.concept);
        let others: Vec<Option<usize>> = regions.others.iter().map(cut).collect();
        let embeds = self.encoder.pictures(&pictures)?;
        let like = |index: usize| cosine(&embeds[index], &asked.reference);
        let clip_t = cosine(&embeds[0], &asked.prompt);

        let seen = others.iter().flatten().count();
        let leaks: Vec<f64> = others.iter().flatten().map(|&index| like(index)).collect();
        let setting_right = (!asked.settings.is_empty()).then(|| {
            let own = cosine(&embeds[0], &asked.settings[0]);
            asked.settings[1..]
                .iter()
                .all(|other| cosine(&embeds[0], other) < own)
        });
        let there =
            usize::from(concept.is_some()) + seen + usize::from(setting_right == Some(true));
        let named = 1 + others.len() + usize::from(setting_right.is_some());
        Ok(PictureScores {
            cp: concept.map_or(0.0, |index| like(index).clamp(0.0, 1.0)),
            pf: if segmented {
                there as f64 / named as f64
            } else {
                clip_t.clamp(0.0, 1.0)
            },
            clip_i: like(0),
            clip_t,
            leak: (!leaks.is_empty()).then(|| leaks.iter().sum::<f64>() / leaks.len() as f64),
            found: concept.is_some(),
            others_found: (!others.is_empty()).then(|| seen as f64 / others.len() as f64),
            setting_right,
        })
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The thing in a region alone on white, as large and in the middle as a reference shows it; `None` if nothing is there.
pub(super) fn cut_out(picture: &RgbImage, region: &Array2<bool>) -> Option<RgbImage> {
    let (rows, columns) = region.dim();
    let (width, height) = picture.dimensions();
    let inside = |x: u32, y: u32| {
        let row = (y as usize * rows) / height as usize;
        let column = (x as usize * columns) / width as usize;
        region[(row, column)]
    };
    let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
    let mut alone = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    for (x, y, pixel) in picture
        .enumerate_pixels()
        .filter(|(x, y, _)| inside(*x, *y))
    {
        alone.put_pixel(x, y, *pixel);
        (left, top) = (left.min(x), top.min(y));
        (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
    }
    if right <= left || bottom <= top {
        return None;
    }
    let (wide, high) = (right - left, bottom - top);
    let alone = imageops::crop_imm(&alone, left, top, wide, high).to_image();
    let edge = width.min(height);
    let factor = CUT_OUT * f64::from(edge) / f64::from(wide.max(high));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the picture's edge"
    )]
    let scaled = |length: u32| ((f64::from(length) * factor).round() as u32).max(1);
    let (wide, high) = (scaled(wide), scaled(high));
    let alone = resize(&alone, wide, high, Filter::Bilinear);
    let mut white = RgbImage::from_pixel(edge, edge, Rgb([255; 3]));
    let (x, y) = (
        (edge.saturating_sub(wide)) / 2,
        (edge.saturating_sub(high)) / 2,
    );
    imageops::replace(&mut white, &alone, i64::from(x), i64::from(y));
    Some(white)
}
