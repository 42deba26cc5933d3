//! `training`: how the loss of a fine-tuning falls.

use std::collections::BTreeMap;

use super::estimate::mean;
use crate::{
    report::{
        part::Part,
        plot::{Axis, Chart, Line, Lines},
        table::{Cell, Table},
    },
    rows::{self, Baseline},
};

/// Points of a curve: each is the mean over as many steps as that takes.
const POINTS: usize = 60;

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) subjects: Vec<Subject>,
    /// (middle step, mean over subjects)
    pub(crate) loss: Vec<(f64, f64)>,
    pub(crate) prior: Vec<(f64, f64)>,
    /// Steps of one point.
    bucket: usize,
}

#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) steps: usize,
    /// Mean over the first and over the last tenth of the steps.
    pub(crate) first: Option<f64>,
    pub(crate) last: Option<f64>,
}

impl Summary {
    pub(crate) fn of(table: &rows::Table<Baseline>) -> Self {
        let mut subjects: BTreeMap<&str, BTreeMap<usize, f64>> = BTreeMap::new();
        for row in &table.rows {
            subjects
                .entry(&row.subject)
                .or_default()
                .insert(row.step, row.loss);
        }
        let steps = table.rows.iter().map(|row| row.step).max().unwrap_or(0);
        let bucket = steps.div_ceil(POINTS).max(1);
        let curve = |of: fn(&Baseline) -> Option<f64>| {
            let mut buckets: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
            for row in &table.rows {
                buckets
                    .entry(row.step.saturating_sub(1) / bucket)
                    .or_default()
                    .extend(of(row));
            }
            let middle = |index: usize| (index * bucket) as f64 + (bucket + 1) as f64 / 2.0;
            (buckets.iter())
                .filter_map(|(&index, losses)| Some((middle(index), mean(losses)?)))
                .collect()
        };
        Self {
            subjects: subjects
                .into_iter()
                .map(|(name, losses)| Subject::of(name, losses))
                .collect(),
            loss: curve(|row| Some(row.loss)),
            prior: curve(|row| row.prior_loss),
            bucket,
        }
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let line = |name: &str, points: &Vec<(f64, f64)>| Line {
            name: name.to_owned(),
            points: points.clone(),
            labels: Vec::new(),
            joined: true,
        };
        let mut lines = vec![line("loss", &self.loss)];
        if !self.prior.is_empty() {
            lines.push(line("of class pictures", &self.prior));
        }
        let row = |subject: &Subject| {
            vec![
                Cell::text(&subject.name),
                Cell::count(subject.steps),
                Cell::number(subject.first, 4),
                Cell::number(subject.last, 4),
            ]
        };
        let head = ["subject", "steps", "loss, first tenth", "loss, last tenth"];
        vec![
            Part::Chart(Chart::Lines(Lines {
                title: format!("Loss, mean over subjects and {} steps a point", self.bucket),
                x: Axis::new("step"),
                y: Axis::new("loss"),
                lines,
            })),
            Part::Table(Table {
                id: "subjects".to_owned(),
                title: "Training of each subject".to_owned(),
                head: head.map(str::to_owned).to_vec(),
                rows: self.subjects.iter().map(row).collect(),
            }),
        ]
    }
}

impl Subject {
    fn of(name: &str, losses: BTreeMap<usize, f64>) -> Self {
        let losses: Vec<f64> = losses.into_values().collect();
        let tenth = losses.len().div_ceil(10);
        Self {
            name: name.to_owned(),
            steps: losses.len(),
            first: mean(&losses[..tenth]),
            last: mean(&losses[losses.len() - tenth..]),
        }
    }
}
