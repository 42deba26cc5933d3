//! Which pictures to look at: where the method wins most over vanilla, and where it loses most.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    metric::scores,
    variant::{CONCEPT_BLOCK, VANILLA, Variant, names},
};
use crate::{
    report::part::{Case, Part, Sheet, Shot},
    rows::{Picture, Table},
};

/// Cases of a sheet.
const CASES: usize = 6;
/// So many methods are shown all; of more, those that the method of the paper is compared with.
const ALL: usize = 5;
const TEXT_ONLY: &str = "text only";

/// Two sheets for the method of the paper in each group of methods.
pub(crate) fn gains_and_losses(table: &Table<Picture>) -> Vec<Part> {
    let variants = Variant::all(table);
    let names = names(&variants);
    let mut parts = Vec::new();
    for (proposed, name) in variants.iter().zip(&names) {
        let Some(baseline) = (proposed.is(CONCEPT_BLOCK))
            .then(|| proposed.baseline(&variants))
            .flatten()
        else {
            continue;
        };
        let group = |variant: &&(&Variant, &String)| {
            let same = variant.0.group().0 == proposed.group().0 || variant.0.group().0.is_none();
            same && (variants.len() <= ALL
                || [TEXT_ONLY, VANILLA, CONCEPT_BLOCK]
                    .iter()
                    .any(|method| variant.0.is(method)))
        };
        let shown: Vec<(&Variant, &String)> = variants
            .iter()
            .zip(&names)
            .filter(|variant| group(&variant))
            .collect();
        let mut gains = gains(proposed, baseline, table);
        gains.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let wins: Vec<_> = gains
            .iter()
            .filter(|gain| gain.1 > 0.0)
            .take(CASES)
            .collect();
        let losses: Vec<_> = gains
            .iter()
            .rev()
            .filter(|gain| gain.1 < 0.0)
            .take(CASES)
            .collect();
        for (what, pictures) in [("gains", wins), ("losses", losses)] {
            if !pictures.is_empty() {
                parts.push(Part::Sheet(Sheet {
                    title: format!("Largest {what} of {name} over vanilla"),
                    cases: pictures
                        .into_iter()
                        .map(|&(key, gain)| case(table, &shown, key, gain))
                        .collect(),
                }));
            }
        }
    }
    parts
}

/// A picture of a unit: its seed tells it from the others.
type Key = (usize, u64);

/// The rows of a variant.
fn by_picture(variant: &Variant, table: &Table<Picture>) -> BTreeMap<Key, usize> {
    let rows = variant.units.values().flatten();
    rows.map(|&row| ((table.rows[row].unit, table.rows[row].seed), row))
        .collect()
}

/// CP times PF of each picture minus that of its pair.
fn gains(proposed: &Variant, baseline: &Variant, table: &Table<Picture>) -> Vec<(Key, f64)> {
    let product = |row: usize| scores(&table.rows[row].scores).product();
    let baseline = by_picture(baseline, table);
    (by_picture(proposed, table).into_iter())
        .filter_map(|(key, row)| Some((key, product(row) - product(*baseline.get(&key)?))))
        .collect()
}

fn case(table: &Table<Picture>, shown: &[(&Variant, &String)], key: Key, gain: f64) -> Case {
    let rows = shown.iter().filter_map(|(variant, name)| {
        let row = *by_picture(variant, table).get(&key)?;
        Some((&table.rows[row], &table.folders[row], (*name).clone()))
    });
    let mut shots = Vec::new();
    let mut caption = String::new();
    for (row, folder, name) in rows {
        if shots.is_empty() {
            caption = format!("{}: {gain:+.3}", asked(row));
            shots.push(reference(row, folder));
        }
        shots.push(shot(row, folder, name));
    }
    Case { caption, shots }
}

/// What a picture was to show.
pub(crate) fn asked(row: &Picture) -> String {
    let Picture {
        prompt,
        subject,
        phrase,
        seed,
        ..
    } = row;
    format!("\u{201c}{prompt}\u{201d}, {subject} as \u{201c}{phrase}\u{201d}, seed {seed}")
}

pub(crate) fn reference(row: &Picture, folder: &Path) -> Shot {
    Shot {
        label: "reference".to_owned(),
        detail: row.subject.clone(),
        files: places(folder, &row.reference),
    }
}

/// A picture with its scores.
pub(crate) fn shot(row: &Picture, folder: &Path, label: String) -> Shot {
    let scores = scores(&row.scores);
    Shot {
        label,
        detail: format!("CP {:.2}, PF {:.2}", scores.concept, scores.prompt),
        files: places(folder, &row.file),
    }
}

/// A file that a row names: in the folder of the rows, as a path of its own, or in the data that come with the program.
fn places(folder: &Path, file: &str) -> Vec<PathBuf> {
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/world");
    vec![
        folder.join(file),
        PathBuf::from(file),
        world.join(file),
        world.join("subjects").join(file),
    ]
}
