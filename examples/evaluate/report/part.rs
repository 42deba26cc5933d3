//! What a report is made of, whoever shows it.

use std::path::PathBuf;

use super::{plot::Chart, table::Table};
use crate::rows::Setup;

/// What the rows of one command say.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) setup: Setup,
    /// Numbers of rows, units and seeds.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug)]
pub(crate) enum Part {
    /// A sentence that the numbers say.
    Finding(String),
    /// How the numbers next to it came about.
    Note(String),
    Table(Table),
    Chart(Chart),
    Sheet(Sheet),
}

/// Pictures side by side, a row a case.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// Part of the name of its file.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) caption: String,
    pub(crate) shots: Vec<Shot>,
}

#[derive(Debug)]
pub(crate) struct Shot {
    pub(crate) label: String,
    /// What is written below the label.
    pub(crate) detail: String,
    /// Where the file may be; the first that exists is taken.
    pub(crate) files: Vec<PathBuf>,
}
