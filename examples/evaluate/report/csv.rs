//! Rows and tables as CSV (RFC 4180, with line feeds).

use std::borrow::Cow;

use super::table::{Cell, Table};
use crate::rows::{Attention, Baseline, Concept, Overhead, Picture, PictureScores, Row, Settings};

/// A row as lines of a table whose columns have one number or text each.
pub(crate) trait Flat: Row {
    const COLUMNS: &'static [&'static str];

    fn lines(&self) -> Vec<Vec<String>>;

    /// What the noise was drawn from, if that is a column of its own.
    fn seed(&self) -> Option<u64> {
        None
    }
}

/// All rows of a command.
pub(crate) fn rows<R: Flat>(rows: &[R]) -> Vec<u8> {
    write(R::COLUMNS, rows.iter().flat_map(Flat::lines))
}

/// A table; columns of estimates are followed by the ends of their intervals.
pub(crate) fn table(table: &Table) -> Vec<u8> {
    let estimates: Vec<bool> = (0..table.head.len())
        .map(|column| {
            let mut cells = table.rows.iter().filter_map(|row| row.get(column));
            cells.any(|cell| matches!(cell, Cell::Estimate { .. }))
        })
        .collect();
    let mut head = Vec::new();
    for (name, &estimate) in table.head.iter().zip(&estimates) {
        head.push(name.clone());
        if estimate {
            head.extend([format!("{name} low"), format!("{name} high")]);
        }
    }
    let lines = table.rows.iter().map(|row| {
        let mut line = Vec::new();
        for (cell, &estimate) in row.iter().zip(&estimates) {
            match cell {
                Cell::Text(text) | Cell::Name(text) => line.push(text.clone()),
                Cell::Number { value, .. } => line.push(value.to_string()),
                Cell::Missing => line.push(String::new()),
                Cell::Estimate { estimate, .. } => {
                    line.push(estimate.value.to_string());
                    let (low, high) = estimate.interval.unzip();
                    line.extend([shown(low), shown(high)]);
                }
            }
            if estimate && !matches!(cell, Cell::Estimate { .. }) {
                line.extend([String::new(), String::new()]);
            }
        }
        line
    });
    write(&head, lines)
}

fn write(head: &[impl AsRef<str>], lines: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let line = |fields: Vec<Cow<'_, str>>| fields.join(",") + "\n";
    let mut text = line(head.iter().map(|field| quoted(field.as_ref())).collect());
    text.extend(lines.map(|fields| line(fields.iter().map(|field| quoted(field)).collect())));
    text.into_bytes()
}

/// A field as it is, or in quotes where it holds what separates fields.
fn quoted(field: &str) -> Cow<'_, str> {
    match field.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", field.replace('"', "\"\""))),
        false => Cow::Borrowed(field),
    }
}

/// Nothing where there is nothing.
fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

impl Flat for Attention {
    const COLUMNS: &'static [&'static str] = &[
        "unit",
        "source",
        "picture",
        "phrase",
        "site",
        "step",
        "timestep",
        "auc",
        "auc_of_objects",
    ];

    /// One line a site and step.
    fn lines(&self) -> Vec<Vec<String>> {
        let Self {
            unit,
            source,
            picture,
            phrase,
            timesteps,
            auc,
            auc_of_objects,
        } = self;
        let mut lines = Vec::new();
        for (site, areas) in auc {
            for (step, area) in areas.iter().enumerate() {
                let of_objects = auc_of_objects.get(site).and_then(|areas| *areas.get(step)?);
                lines.push(vec![
                    unit.to_string(),
                    source.clone(),
                    picture.clone(),
                    phrase.clone(),
                    site.clone(),
                    step.to_string(),
                    shown(timesteps.get(step)),
                    shown(*area),
                    shown(of_objects),
                ]);
            }
        }
        lines
    }
}

impl Flat for Picture {
    const COLUMNS: &'static [&'static str] = &[
        "unit",
        "method",
        "scale",
        "warmup",
        "steps",
        "guidance",
        "prompt",
        "subject",
        "phrase",
        "seed",
        "file",
        "reference",
        "cp",
        "pf",
        "clip_i",
        "clip_t",
        "leak",
        "found",
        "others_found",
        "setting_right",
    ];

    fn lines(&self) -> Vec<Vec<String>> {
        let Self {
            unit,
            method,
            settings,
            prompt,
            subject,
            phrase,
            seed,
            file,
            reference,
            scores,
        } = self;
        let Settings {
            scale,
            warmup,
            steps,
            guidance,
        } = settings;
        let PictureScores {
            cp,
            pf,
            clip_i,
            clip_t,
            leak,
            found,
            others_found,
            setting_right,
        } = scores;
        vec![vec![
            unit.to_string(),
            method.clone(),
            scale.to_string(),
            warmup.to_string(),
            steps.to_string(),
            guidance.to_string(),
            prompt.clone(),
            subject.clone(),
            phrase.clone(),
            seed.to_string(),
            file.clone(),
            reference.clone(),
            cp.to_string(),
            pf.to_string(),
            clip_i.to_string(),
            clip_t.to_string(),
            shown(*leak),
            found.to_string(),
            shown(*others_found),
            shown(*setting_right),
        ]]
    }

    fn seed(&self) -> Option<u64> {
        Some(self.seed)
    }
}

impl Flat for Concept {
    const COLUMNS: &'static [&'static str] = &[
        "unit",
        "concept",
        "kind",
        "prompt",
        "position",
        "competitors",
        "seed",
        "auc",
    ];

    fn lines(&self) -> Vec<Vec<String>> {
        let Self {
            unit,
            concept,
            kind,
            prompt,
            position,
            competitors,
            seed,
            auc,
        } = self;
        vec![vec![
            unit.to_string(),
            concept.clone(),
            kind.clone(),
            prompt.clone(),
            position.clone(),
            competitors.to_string(),
            seed.to_string(),
            shown(*auc),
        ]]
    }

    fn seed(&self) -> Option<u64> {
        Some(self.seed)
    }
}

impl Flat for Overhead {
    const COLUMNS: &'static [&'static str] = &[
        "unit", "machine", "model", "backend", "dtype", "threads", "batch", "mode", "turn",
        "seconds", "peak",
    ];

    /// One line a turn.
    fn lines(&self) -> Vec<Vec<String>> {
        let Self {
            unit,
            machine,
            model,
            backend,
            dtype,
            threads,
            batch,
            mode,
            seconds,
            peak,
        } = self;
        let line = |(turn, seconds): (usize, &f64)| {
            vec![
                unit.to_string(),
                machine.clone(),
                model.clone(),
                backend.clone(),
                dtype.clone(),
                threads.to_string(),
                batch.to_string(),
                mode.clone(),
                turn.to_string(),
                seconds.to_string(),
                shown(*peak),
            ]
        };
        seconds.iter().enumerate().map(line).collect()
    }
}

impl Flat for Baseline {
    const COLUMNS: &'static [&'static str] = &["unit", "subject", "step", "loss", "prior_loss"];

    fn lines(&self) -> Vec<Vec<String>> {
        let Self {
            unit,
            subject,
            step,
            loss,
            prior_loss,
        } = self;
        vec![vec![
            unit.to_string(),
            subject.clone(),
            step.to_string(),
            loss.to_string(),
            shown(*prior_loss),
        ]]
    }
}
