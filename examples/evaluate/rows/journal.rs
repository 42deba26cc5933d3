//! Files of rows: written unit by unit, continued after a kill, merged from shards.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{Row, Setup, Shard};

/// A file of rows that cannot be written, continued or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum JournalError {
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is being written by another process", path.display())]
    Busy { path: PathBuf },
    #[error("{}, line {line}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
    #[error("{} has no first line that says what its rows are", path.display())]
    NoSetup { path: PathBuf },
    #[error("{}: unit {unit} has {found} rows, {expected} belong to it", path.display())]
    Damaged {
        path: PathBuf,
        unit: usize,
        found: usize,
        expected: usize,
    },
    #[error(
        "{} holds rows of another setup ({difference}); give another --out, or the same options",
        path.display()
    )]
    OtherSetup { path: PathBuf, difference: String },
    #[error(
        "{} and {} cannot be merged: {difference}",
        first.display(),
        second.display()
    )]
    Mixed {
        first: PathBuf,
        second: PathBuf,
        difference: String,
    },
    #[error("unit {unit} is in {} and in {} with other rows", first.display(), second.display())]
    Twice {
        unit: usize,
        first: PathBuf,
        second: PathBuf,
    },
}

/// A file of rows that is being written. All rows of a unit are written together; a unit that a killed run has not finished
/// is cut off and computed again, so that nothing is lost and nothing is there twice.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    done: usize,
    shard: Shard,
}

impl Journal {
    /// Creates or continues the file of a command in `folder`. `rows_of` is the number of rows of each unit.
    pub(crate) fn open<R: Row>(
        folder: &Path,
        setup: &Setup,
        shard: Shard,
        rows_of: impl Fn(usize) -> usize,
    ) -> Result<Self, JournalError> {
        let path = folder.join(shard.file(&setup.command));
        let failed = |source| JournalError::File {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path }),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(failed(error));
            }
            _ => {}
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        let (kept, done) = finished::<R>(&path, &text, setup, shard, rows_of)?;
        file.set_len(kept as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut journal = Self {
            path,
            file,
            done,
            shard,
        };
        if kept == 0 {
            journal.write(&line(setup))?;
        }
        Ok(journal)
    }

    /// The units below `total` that are still to be computed.
    pub(crate) fn remaining(&self, total: usize) -> impl Iterator<Item = usize> + use<> {
        let (shard, done) = (self.shard, self.done);
        (0..total).filter(move |&unit| shard.has(unit)).skip(done)
    }

    /// How many units are finished.
    pub(crate) const fn done(&self) -> usize {
        self.done
    }

    /// Adds all rows of the next unit.
    pub(crate) fn append<R: Row>(&mut self, rows: &[R]) -> Result<(), JournalError> {
        let lines: String = rows.iter().map(line).collect();
        self.write(&lines)?;
        self.done += 1;
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), JournalError> {
        let written = (self.file.write_all(text.as_bytes())).and_then(|()| self.file.sync_data());
        written.map_err(|source| JournalError::File {
            path: self.path.clone(),
            source,
        })
    }
}

fn line(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string(value).expect("rows have text as keys");
    format!("{json}\n")
}

/// How many bytes of a file hold finished units, and how many units those are.
fn finished<R: Row>(
    path: &Path,
    text: &str,
    setup: &Setup,
    shard: Shard,
    rows_of: impl Fn(usize) -> usize,
) -> Result<(usize, usize), JournalError> {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole == 0 {
        return Ok((0, 0));
    }
    let (found, rows) = parse::<R>(path, &text[..whole])?;
    if let Some(difference) = setup.difference(&found) {
        let path = path.to_owned();
        return Err(JournalError::OtherSetup { path, difference });
    }
    let lines: Vec<&str> = text[..whole].split_inclusive('\n').collect();
    let mut kept = lines[0].len();
    let (mut at, mut done) = (0, 0);
    let mut units = (0..).filter(|&unit| shard.has(unit));
    while at < rows.len() {
        let unit = units.next().unwrap_or_default();
        let expected = rows_of(unit).max(1);
        let found = rows[at..]
            .iter()
            .take_while(|row| row.unit() == unit)
            .count();
        if found < expected && at + found == rows.len() {
            break; // what a killed run has not finished
        }
        if found != expected {
            let path = path.to_owned();
            return Err(JournalError::Damaged {
                path,
                unit,
                found,
                expected,
            });
        }
        kept += lines[1 + at..1 + at + found]
            .iter()
            .map(|line| line.len())
            .sum::<usize>();
        at += found;
        done += 1;
    }
    Ok((kept, done))
}

/// The setup and the rows of whole lines.
fn parse<R: Row>(path: &Path, text: &str) -> Result<(Setup, Vec<R>), JournalError> {
    let failed = |line: usize| {
        move |source| JournalError::Line {
            path: path.to_owned(),
            line: line + 1,
            source,
        }
    };
    let mut lines = text.lines().enumerate();
    let (number, first) = lines.next().ok_or_else(|| JournalError::NoSetup {
        path: path.to_owned(),
    })?;
    let setup = serde_json::from_str(first).map_err(failed(number))?;
    let rows = lines.map(|(number, line)| serde_json::from_str(line).map_err(failed(number)));
    Ok((setup, rows.collect::<Result<_, _>>()?))
}

/// The merged rows of a command.
#[derive(Debug, Clone)]
pub(crate) struct Table<R> {
    pub(crate) setup: Setup,
    /// In the order of their units.
    pub(crate) rows: Vec<R>,
    /// The folder that each row is from.
    pub(crate) folders: Vec<PathBuf>,
}

/// The rows of a command in folders, shards merged; `None` where there are none. A unit that a run has not finished is taken
/// as far as it goes.
///
/// # Errors
///
/// [`JournalError`] for files of different setups, and for units that are there twice with other rows.
pub(crate) fn read<R: Row + PartialEq + Clone>(
    folders: &[PathBuf],
    command: &str,
) -> Result<Option<Table<R>>, JournalError> {
    let mut first: Option<(PathBuf, Setup)> = None;
    let mut units: BTreeMap<usize, (PathBuf, Vec<R>)> = BTreeMap::new();
    for path in files(folders, command)? {
        let text = fs::read_to_string(&path).map_err(|source| JournalError::File {
            path: path.clone(),
            source,
        })?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (setup, rows) = parse::<R>(&path, &text[..whole])?;
        match &first {
            None => first = Some((path.clone(), setup)),
            Some((other, expected)) => {
                if let Some(difference) = expected.difference(&setup) {
                    return Err(JournalError::Mixed {
                        first: other.clone(),
                        second: path,
                        difference,
                    });
                }
            }
        }
        for rows in rows.chunk_by(|a, b| a.unit() == b.unit()) {
            let unit = rows[0].unit();
            match units.get(&unit) {
                Some((_, known)) if known == rows => {}
                Some((other, _)) => {
                    return Err(JournalError::Twice {
                        unit,
                        first: other.clone(),
                        second: path,
                    });
                }
                None => drop(units.insert(unit, (path.clone(), rows.to_vec()))),
            }
        }
    }
    Ok(first.map(|(_, setup)| {
        let (mut rows, mut folders) = (Vec::new(), Vec::new());
        for (path, of_unit) in units.into_values() {
            let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
            folders.extend(std::iter::repeat_n(folder, of_unit.len()));
            rows.extend(of_unit);
        }
        Table {
            setup,
            rows,
            folders,
        }
    }))
}

/// The files of rows of a command, in order of their names.
fn files(folders: &[PathBuf], command: &str) -> Result<Vec<PathBuf>, JournalError> {
    let mut files = Vec::new();
    for folder in folders {
        let failed = |source| JournalError::File {
            path: folder.clone(),
            source,
        };
        let mut here = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let rest = name.and_then(|name| name.strip_prefix(command)?.strip_suffix(".jsonl"));
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                here.push(path);
            }
        }
        here.sort();
        files.extend(here);
    }
    Ok(files)
}
