//! Which family a model is of, and what all families report.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use conceptrol_core::{Grid, Session, mask::ConceptMask, models::config::Fields};
use conceptrol_examples::memory;
use image::RgbImage;

use crate::{arguments::Arguments, flux, stable_diffusion, write::Writer};

/// The embedded model, and what to show with it: see its model card.
pub(crate) const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

/// A finished generation.
pub(crate) struct Finished {
    /// Name of the method, for files and labels.
    pub(crate) label: &'static str,
    pub(crate) images: Vec<RgbImage>,
    pub(crate) masks: Vec<MaskOnHost>,
    /// Where the words of each concept were found, as a line.
    pub(crate) found: Vec<String>,
    pub(crate) per_step: Duration,
}

/// The last mask of a concept for the first picture.
pub(crate) struct MaskOnHost {
    pub(crate) concept: String,
    pub(crate) grid: Grid,
    pub(crate) values: Vec<f32>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let folder = arguments
        .model
        .clone()
        .unwrap_or_else(|| PathBuf::from(ASSETS).join("tiny-sd"));
    if is_flux(&folder)? {
        flux::run(arguments, &folder)
    } else {
        stable_diffusion::run(arguments, &folder)
    }
}

/// Whether `model_index.json` names a FLUX pipeline.
fn is_flux(folder: &Path) -> Result<bool, Box<dyn Error>> {
    let index = Fields::open("pipeline", folder.join("model_index.json"))?;
    let class = index.optional_text("_class_name")?;
    Ok(class.is_some_and(|class| class.starts_with("Flux")))
}

/// The published masks for the first picture.
pub(crate) fn read_masks(session: &Session) -> Vec<MaskOnHost> {
    let concepts = session.concepts().iter().enumerate();
    concepts
        .filter_map(|(index, concept)| {
            let mask: &ConceptMask = session.board().latest(index)?;
            let data = mask
                .values()
                .clone()
                .slice_dim(0, 0..1)
                .into_data()
                .convert::<f32>();
            let values = data.try_into_vec::<f32>().expect("converted to f32");
            Some(MaskOnHost {
                concept: concept.name.clone(),
                grid: mask.grid(),
                values,
            })
        })
        .collect()
}

/// Writes everything and says what was done.
pub(crate) fn finish(
    writer: &mut Writer,
    references: &[(String, RgbImage)],
    finished: &[Finished],
) -> Result<(), Box<dyn Error>> {
    for line in finished
        .last()
        .map(|run| run.found.as_slice())
        .unwrap_or_default()
    {
        println!("concept  {line}");
    }
    for run in finished {
        println!(
            "{:<12} {:.3} s a step",
            run.label,
            run.per_step.as_secs_f64()
        );
    }
    if let [plain, conceptrol] = finished {
        let ratio = conceptrol.per_step.as_secs_f64() / plain.per_step.as_secs_f64();
        println!(
            "overhead {:+.1} % over {} in this run",
            (ratio - 1.0) * 100.0,
            plain.label
        );
    }
    writer.write_all(references, finished)?;
    println!(
        "peak     {}",
        memory::peak().map_or_else(|| "unknown".into(), memory::human)
    );
    for path in writer.written() {
        println!("wrote    {}", path.display());
    }
    Ok(())
}
