//! The loss curve: a row a step, JSON Lines.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Losses, TrainingError};

/// The name of the file.
const CURVE: &str = "loss.jsonl";

/// `loss.jsonl`, open at its end.
#[derive(Debug)]
pub(super) struct Curve {
    file: File,
    path: PathBuf,
}

impl Curve {
    /// Opens the curve behind the row of step `finished`. Rows of later steps, which are computed again, are cut off, and so
    /// is one that was half written.
    ///
    /// # Errors
    ///
    /// [`TrainingError::Damaged`] if a row is missing, [`TrainingError::File`].
    pub(super) fn open(folder: &Path, finished: usize) -> Result<Self, TrainingError> {
        let path = folder.join(CURVE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(TrainingError::at(&path))?;
        let (mut length, mut row) = (0, Vec::new());
        let mut rows = BufReader::new(&file);
        for step in 1..=finished {
            row.clear();
            rows.read_until(b'\n', &mut row)
                .map_err(TrainingError::at(&path))?;
            if !row.starts_with(start(step).as_bytes()) || !row.ends_with(b"\n") {
                let reason = format!(
                    "the row of step {step} is missing, the checkpoint is of step {finished}"
                );
                return Err(TrainingError::Damaged { path, reason });
            }
            length += row.len() as u64;
        }
        file.set_len(length)
            .and_then(|()| file.seek(SeekFrom::Start(length)))
            .map_err(TrainingError::at(&path))?;
        Ok(Self { file, path })
    }

    /// Adds the row of a step.
    pub(super) fn push(&mut self, step: usize, losses: Losses) -> Result<(), TrainingError> {
        let prior = losses
            .prior
            .map_or("null".to_owned(), |prior| prior.to_string());
        let row = format!(
            "{}\"loss\":{},\"prior_loss\":{prior}}}\n",
            start(step),
            losses.instance
        );
        let written = self.file.write_all(row.as_bytes());
        written.map_err(TrainingError::at(&self.path))
    }

    /// Brings the rows to the disk: a checkpoint must not be there before them.
    pub(super) fn sync(&self) -> Result<(), TrainingError> {
        let synced = self.file.sync_data();
        synced.map_err(TrainingError::at(&self.path))
    }
}

/// The losses of a run, step after step.
///
/// # Errors
///
/// [`TrainingError::Damaged`] with the first row that cannot be read, [`TrainingError::File`].
pub(super) fn read(folder: &Path) -> Result<Vec<Losses>, TrainingError> {
    let path = folder.join(CURVE);
    let text = fs::read_to_string(&path).map_err(TrainingError::at(&path))?;
    let parsed = |(line, text): (usize, &str)| {
        parse(text).ok_or_else(|| TrainingError::Damaged {
            path: path.clone(),
            reason: format!("line {} is not a row", line + 1),
        })
    };
    text.lines().enumerate().map(parsed).collect()
}

fn parse(row: &str) -> Option<Losses> {
    let row: Value = serde_json::from_str(row).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "written from f32")]
    let number = |name: &str| row.get(name)?.as_f64().map(|number| number as f32);
    Some(Losses {
        instance: number("loss")?,
        prior: number("prior_loss"),
    })
}

/// What the row of a step begins with.
fn start(step: usize) -> String {
    format!("{{\"step\":{step},")
}
