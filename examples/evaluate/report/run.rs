//! Reads rows, writes the page and the CSV files.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use conceptrol_core::models::file::write_whole;

use super::{
    csv::{self, Flat},
    html,
    part::{Part, Section},
    picture,
    summary::{Concepts, Methods, Overheads, Sweep, Training, blocks},
};
use crate::rows::{JournalError, Table, read};

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReportError {
    #[error("the rows cannot be read")]
    Rows(#[from] JournalError),
    #[error("there are no rows in {}", folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoRows { folders: Vec<PathBuf> },
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What was written, and what it says. It is displayed as the tables of a terminal.
#[derive(Debug)]
pub(crate) struct Report {
    /// The page.
    pub(crate) page: PathBuf,
    /// The page and the CSV files beside it.
    pub(crate) files: Vec<PathBuf>,
    sections: Vec<Section>,
}

/// Sums up the rows of all commands in `folders`, and writes `report.html` and CSV files into `out`.
///
/// The same rows give the same bytes. Everything is computed before the first file is written, and each file is there
/// completely or not at all.
///
/// # Errors
///
/// [`ReportError`] for folders without rows, with rows of different setups, or that cannot be read; and if `out` cannot be
/// written.
pub(crate) fn report(folders: &[PathBuf], out: &Path) -> Result<Report, ReportError> {
    let mut draft = Draft {
        folders,
        files: Vec::new(),
        sections: Vec::new(),
    };
    let mut best = None;
    draft.section("blocks", "Which block knows where a word acts", |table| {
        let summary = blocks::Summary::of(table);
        let parts = summary.parts();
        best = Some(summary);
        parts
    })?;
    let named = best.as_ref().and_then(blocks::Summary::concept_block);
    draft
        .files
        .extend(named.map(|json| ("conceptrol.json".to_owned(), json.into_bytes())));
    draft.section("masks", "Which mask to gate the reference with", |table| {
        Methods::of(table).parts(table)
    })?;
    draft.section("sweep", "What the settings do", |table| {
        Sweep::of(table).parts(table)
    })?;
    draft.section("concepts", "Which concepts are found", |table| {
        Concepts::of(table).parts()
    })?;
    draft.section("adapters", "Other adapters behind the same gate", |table| {
        Methods::of(table).parts(table)
    })?;
    draft.section("baseline", "Against fine-tuning", |table| {
        Methods::of(table).parts(table)
    })?;
    draft.section("training", "The training of the baseline", |table| {
        Training::of(table).parts()
    })?;
    draft.section("overhead", "What it costs", |table| {
        Overheads::of(table).parts()
    })?;
    if draft.sections.is_empty() {
        let folders = folders.to_owned();
        return Err(ReportError::NoRows { folders });
    }
    let page = html::page(&draft.sections);
    draft.files.push((PAGE.to_owned(), page.into_bytes()));
    Ok(Report {
        page: out.join(PAGE),
        files: write(out, draft.files)?,
        sections: draft.sections,
    })
}

const PAGE: &str = "report.html";

/// A report that is not written yet.
struct Draft<'a> {
    folders: &'a [PathBuf],
    /// Names and contents.
    files: Vec<(String, Vec<u8>)>,
    sections: Vec<Section>,
}

impl Draft<'_> {
    /// Adds what the rows of a command say, if there are any.
    fn section<R: Flat + PartialEq + Clone>(
        &mut self,
        command: &str,
        title: &'static str,
        parts: impl FnOnce(&Table<R>) -> Vec<Part>,
    ) -> Result<(), ReportError> {
        let Some(table) = read::<R>(self.folders, command)? else {
            return Ok(());
        };
        let parts = match table.rows.is_empty() {
            true => vec![Part::Note("There are no rows yet.".to_owned())],
            false => parts(&table),
        };
        self.files
            .push((format!("{command}.csv"), csv::rows(&table.rows)));
        for part in &parts {
            match part {
                Part::Table(table) => {
                    let name = format!("{command}.{}.csv", table.id);
                    self.files.push((name, csv::table(table)));
                }
                Part::Sheet(sheet) => {
                    let name = format!("{command}.{}.png", sheet.id);
                    self.files
                        .extend(picture::sheet(sheet).map(|png| (name, png)));
                }
                _ => {}
            }
        }
        self.sections.push(Section {
            title,
            facts: facts(&table),
            setup: table.setup,
            parts,
        });
        Ok(())
    }
}

fn facts<R: Flat>(table: &Table<R>) -> Vec<(&'static str, String)> {
    let units: BTreeSet<usize> = table.rows.iter().map(R::unit).collect();
    let seeds: BTreeSet<u64> = table.rows.iter().filter_map(R::seed).collect();
    let mut facts = vec![
        ("rows", table.rows.len().to_string()),
        ("units", units.len().to_string()),
    ];
    if let (Some(first), Some(last)) = (seeds.first(), seeds.last()) {
        let range = match first == last {
            true => first.to_string(),
            false => format!("{} from {first} to {last}", seeds.len()),
        };
        facts.push(("seeds", range));
    }
    facts
}

fn write(out: &Path, files: Vec<(String, Vec<u8>)>) -> Result<Vec<PathBuf>, ReportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Write { path, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let mut written = Vec::new();
    for (name, bytes) in files {
        let path = out.join(name);
        write_whole(&path, |file| file.write_all(&bytes)).map_err(failed(&path))?;
        written.push(path);
    }
    Ok(written)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}: {}\n", section.setup.command, section.title)?;
            for part in &section.parts {
                match part {
                    Part::Finding(text) | Part::Note(text) => writeln!(f, "{text}\n")?,
                    Part::Table(table) => writeln!(f, "{table}")?,
                    Part::Chart(_) | Part::Sheet(_) => {}
                }
            }
        }
        Ok(())
    }
}
