//! The loss curve: a row a step, JSON Lines.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{Losses, TrainingError};

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
        let path = folder.join("loss.jsonl");
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

/// What the row of a step begins with.
fn start(step: usize) -> String {
    format!("{{\"step\":{step},")
}
