//! The files a run leaves.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use conceptrol_core::{
    Cancel,
    models::image::save_png,
    pipeline::{PipelineError, Stage},
};
use conceptrol_examples::{
    folder::prepare,
    mask::over,
    parameters::{KEYWORD, Parameters},
    say_err,
    sheet::sheet,
};
use image::RgbImage;

use crate::run::Finished;

/// Edge of a picture on the sheet, in pixels.
const SHEET_EDGE: u32 = 256;

/// Writes pictures into one folder, each complete or not at all.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    parameters: Parameters,
    written: Vec<PathBuf>,
}

impl Writer {
    /// Makes the folder and finds out that it can be written; unfinished files of a killed run go.
    pub(crate) fn new(folder: &Path, parameters: Parameters) -> Result<Self, Box<dyn Error>> {
        for left in prepare(folder)? {
            say_err!(
                "removed {}, which an earlier run had not finished",
                left.display()
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            parameters,
            written: Vec::new(),
        })
    }

    pub(crate) fn written(&self) -> &[PathBuf] {
        &self.written
    }

    pub(crate) fn preview(
        &mut self,
        label: &str,
        step: usize,
        seed: u64,
        picture: &RgbImage,
    ) -> Result<(), Box<dyn Error>> {
        self.write(
            &format!("preview_{label}_{step:03}.png"),
            label,
            seed,
            picture,
        )
    }

    /// References and control pictures (kind, name, picture), results, masks and the sheet of them; of a picture to start from
    /// or to edit what it was and became.
    pub(crate) fn write_all(
        &mut self,
        before: Option<&RgbImage>,
        shown: &[(&str, String, RgbImage)],
        finished: &[Finished],
        cancel: &Cancel,
    ) -> Result<(), Box<dyn Error>> {
        let first = finished.first().and_then(|run| run.seeds.first());
        let first = first.copied().unwrap_or_default();
        let mut on_sheet: Vec<(String, RgbImage)> = Vec::new();
        for (index, (kind, name, picture)) in shown.iter().enumerate() {
            let before = shown[..index].iter().filter(|(other, ..)| other == kind);
            self.write(&numbered(kind, before.count()), kind, first, picture)?;
            on_sheet.push((format!("{kind}: {name}"), picture.clone()));
        }
        for run in finished {
            for (index, (picture, seed)) in run.images.iter().zip(&run.seeds).enumerate() {
                if cancel.is_cancelled() {
                    let (done, total) = (index, run.images.len());
                    let stage = Stage::Decoding { done, total };
                    return Err(PipelineError::Cancelled { stage }.into());
                }
                self.write(&numbered(run.label, index), run.label, *seed, picture)?;
            }
            on_sheet.push((run.label.replace('_', " "), run.images[0].clone()));
            for (index, mask) in run.masks.iter().enumerate() {
                let picture = over(&run.images[0], mask.grid, &mask.values)?;
                self.write(&numbered("mask", index), run.label, first, &picture)?;
                on_sheet.push((format!("mask: {}", mask.concept), picture));
            }
        }
        let labelled: Vec<(&str, RgbImage)> = on_sheet
            .iter()
            .map(|(label, picture)| (label.as_str(), picture.clone()))
            .collect();
        let columns = u32::try_from(labelled.len())?.min(6);
        self.write(
            "sheet.png",
            "sheet",
            first,
            &sheet(&labelled, columns, SHEET_EDGE),
        )?;
        match before {
            Some(before) => self.write_before_after(before, finished, first),
            None => Ok(()),
        }
    }

    /// The picture that a run started from or edited, the region of it that was repainted, and what became of it.
    fn write_before_after(
        &mut self,
        before: &RgbImage,
        finished: &[Finished],
        seed: u64,
    ) -> Result<(), Box<dyn Error>> {
        let mut row = vec![("before", before.clone())];
        if let Some(region) = finished.first().and_then(|run| run.region.as_ref()) {
            row.push(("region", over(before, region.grid, &region.values)?));
        }
        row.extend(
            finished
                .iter()
                .map(|run| (run.label, run.images[0].clone())),
        );
        let columns = u32::try_from(row.len())?;
        let picture = sheet(&row, columns, SHEET_EDGE);
        self.write("before_after.png", "sheet", seed, &picture)
    }

    fn write(
        &mut self,
        name: &str,
        method: &str,
        seed: u64,
        picture: &RgbImage,
    ) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join(name);
        let text = self.parameters.text(method, seed);
        save_png(&path, picture, &[(KEYWORD, &text)])?;
        self.written.push(path);
        Ok(())
    }
}

/// `name.png`, `name_2.png`, ...
fn numbered(name: &str, index: usize) -> String {
    if index == 0 {
        format!("{name}.png")
    } else {
        format!("{name}_{}.png", index + 1)
    }
}
