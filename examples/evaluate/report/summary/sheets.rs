//! Which pictures to look at: the first ones, where the method wins most over vanilla, and where it loses most.

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

/// Three sheets for the method of the paper in each group of methods: pictures nobody chose, and both ends.
pub(crate) fn to_look_at(table: &Table<Picture>) -> Vec<Part> {
    let variants = Variant::all(table);
    let names = names(&variants);
    let mut parts = Vec::new();
    let mut groups = 0;
    for (proposed, name) in variants.iter().zip(&names) {
        let Some(baseline) = (proposed.is(CONCEPT_BLOCK))
            .then(|| proposed.baseline(&variants))
            .flatten()
        else {
            continue;
        };
        groups += 1;
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
        let first_seed = gains.iter().map(|(key, _)| key.2).min();
        let unchosen = gains.iter().filter(|(key, _)| Some(key.2) == first_seed);
        let unchosen: Vec<_> = unchosen.take(CASES).cloned().collect();
        gains.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let wins = gains.iter().filter(|gain| gain.1 > 0.0);
        let wins: Vec<_> = wins.take(CASES).cloned().collect();
        let losses = gains.iter().rev().filter(|gain| gain.1 < 0.0);
        let losses: Vec<_> = losses.take(CASES).cloned().collect();
        let sheets = [
            (
                "first",
                "The first prompts, first seed: CP·PF over vanilla".to_owned(),
                unchosen,
            ),
            (
                "gains",
                format!("Largest gains of {name} over vanilla"),
                wins,
            ),
            (
                "losses",
                format!("Largest losses of {name} over vanilla"),
                losses,
            ),
        ];
        for (id, title, pictures) in sheets {
            let cases = pictures
                .iter()
                .map(|(key, gain)| case(table, &shown, key, *gain));
            let cases: Vec<Case> = cases.collect();
            if !cases.is_empty() {
                let id = match groups {
                    1 => id.to_owned(),
                    _ => format!("{id}_{groups}"),
                };
                parts.push(Part::Sheet(Sheet { id, title, cases }));
            }
        }
    }
    parts
}

/// A picture of a unit: prompt and seed tell it from the others.
type Key = (usize, String, u64);

/// The rows of a variant.
fn by_picture(variant: &Variant, table: &Table<Picture>) -> BTreeMap<Key, usize> {
    let rows = variant.units.values().flatten();
    let key = |row: &Picture| (row.unit, row.prompt.clone(), row.seed);
    rows.map(|&row| (key(&table.rows[row]), row)).collect()
}

/// CP times PF of each picture minus that of its pair.
fn gains(proposed: &Variant, baseline: &Variant, table: &Table<Picture>) -> Vec<(Key, f64)> {
    let product = |row: usize| scores(&table.rows[row].scores).product();
    let baseline = by_picture(baseline, table);
    (by_picture(proposed, table).into_iter())
        .filter_map(|(key, row)| {
            let gain = product(row) - product(*baseline.get(&key)?);
            Some((key, gain))
        })
        .collect()
}

fn case(table: &Table<Picture>, shown: &[(&Variant, &String)], key: &Key, gain: f64) -> Case {
    let rows = shown.iter().filter_map(|(variant, name)| {
        let row = *by_picture(variant, table).get(key)?;
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
