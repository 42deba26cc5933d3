//! `overhead`: what a step costs, and how much more than plain generation, from turns of one run.

use std::collections::BTreeMap;

use super::median;
use crate::{
    report::{
        part::Part,
        table::{Cell, Table},
    },
    rows::{self, Overhead},
};

/// What modes are compared with, where they were measured.
const BASES: [&str; 2] = ["text only", "adapter"];

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) costs: Vec<Cost>,
    machines: Vec<String>,
}

/// Everything but the mode: turns of these rows alternated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    machine: String,
    model: String,
    backend: String,
    dtype: String,
    threads: usize,
    batch: usize,
}

#[derive(Debug)]
pub(crate) struct Cost {
    place: Place,
    pub(crate) mode: String,
    pub(crate) turns: usize,
    pub(crate) seconds: Option<Spread>,
    pub(crate) peak: Option<u64>,
    /// To each of [`BASES`], turn by turn.
    pub(crate) ratios: Vec<Option<Spread>>,
}

/// The median with the least and the largest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) largest: f64,
}

impl Spread {
    fn of(sample: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(sample)?,
            least: sample.iter().copied().fold(f64::INFINITY, f64::min),
            largest: sample.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    fn cells(of: Option<Self>, digits: usize) -> [Cell; 3] {
        [
            Cell::number(of.map(|spread| spread.median), digits),
            Cell::number(of.map(|spread| spread.least), digits),
            Cell::number(of.map(|spread| spread.largest), digits),
        ]
    }
}

impl Summary {
    pub(crate) fn of(table: &rows::Table<Overhead>) -> Self {
        // modes stay in the order of the rows
        let mut places: BTreeMap<Place, Vec<(String, Vec<&Overhead>)>> = BTreeMap::new();
        let mut machines: Vec<String> = Vec::new();
        for row in &table.rows {
            if !machines.contains(&row.machine) {
                machines.push(row.machine.clone());
            }
            let modes = places.entry(Place::of(row)).or_default();
            match modes.iter_mut().find(|(mode, _)| *mode == row.mode) {
                Some((_, rows)) => rows.push(row),
                None => modes.push((row.mode.clone(), vec![row])),
            }
        }
        let costs = places.iter().flat_map(|(place, modes)| {
            modes.iter().map(move |(mode, rows)| {
                let seconds = all_seconds(rows);
                let ratio = |base: &str| {
                    let (_, rows) = modes
                        .iter()
                        .find(|(other, _)| other == base && other != mode)?;
                    let base = all_seconds(rows);
                    // turns belong together by their number
                    let ratios: Vec<f64> = match base.len() == seconds.len() {
                        true => seconds.iter().zip(&base).map(|(a, b)| a / b).collect(),
                        false => Vec::new(),
                    };
                    Spread::of(&ratios)
                };
                Cost {
                    place: place.clone(),
                    mode: mode.clone(),
                    turns: seconds.len(),
                    peak: rows.iter().filter_map(|row| row.peak).max(),
                    ratios: BASES.into_iter().map(ratio).collect(),
                    seconds: Spread::of(&seconds),
                }
            })
        });
        Self {
            costs: costs.collect(),
            machines,
        }
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        vec![
            Part::Note(format!("Measured on: {}.", self.machines.join("; "))),
            Part::Table(self.table()),
            Part::Note(
                "Seconds are of one step: the median of the turns, with the least and the largest. A ratio is that of two modes in \
                 the same turn, so that a machine that slows down meanwhile does not count; its median, least and largest."
                    .to_owned(),
            ),
        ]
    }

    fn table(&self) -> Table {
        let row = |cost: &Cost| {
            let place = &cost.place;
            let mut row = vec![
                Cell::text(&cost.mode),
                Cell::text(&place.model),
                Cell::text(format!("{}, {}", place.backend, place.dtype)),
                Cell::count(place.threads),
                Cell::count(place.batch),
                Cell::count(cost.turns),
            ];
            row.extend(Spread::cells(cost.seconds, 4));
            row.push(Cell::number(
                cost.peak.map(|bytes| bytes as f64 / 1_048_576.0),
                0,
            ));
            for ratio in &cost.ratios {
                row.extend(Spread::cells(*ratio, 3));
            }
            if self.machines.len() > 1 {
                row.push(Cell::text(&place.machine));
            }
            row
        };
        let mut head: Vec<String> = [
            "mode", "model", "backend", "threads", "batch", "turns", "s/step", "least", "largest",
            "peak MiB",
        ]
        .map(str::to_owned)
        .to_vec();
        for base in BASES {
            head.extend([
                format!("to {base}"),
                "least".to_owned(),
                "largest".to_owned(),
            ]);
        }
        if self.machines.len() > 1 {
            head.push("machine".to_owned());
        }
        Table {
            id: "costs".to_owned(),
            title: "Time of a step and largest memory".to_owned(),
            head,
            rows: self.costs.iter().map(row).collect(),
        }
    }
}

impl Place {
    fn of(row: &Overhead) -> Self {
        Self {
            machine: row.machine.clone(),
            model: row.model.clone(),
            backend: row.backend.clone(),
            dtype: row.dtype.clone(),
            threads: row.threads,
            batch: row.batch,
        }
    }
}

fn all_seconds(rows: &[&Overhead]) -> Vec<f64> {
    rows.iter()
        .flat_map(|row| row.seconds.iter().copied())
        .collect()
}
