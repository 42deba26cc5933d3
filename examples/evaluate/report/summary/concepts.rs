//! `concepts`: how well the concept block finds concepts, by their kind, their place in the prompt and what else is named.

use std::collections::BTreeMap;

use super::{Estimate, estimate::mean, variant::paired};
use crate::{
    report::{
        part::Part,
        plot::{Chart, Dots},
        table::{Cell, Table},
    },
    rows::{self, Concept},
};

/// The order of prompts; what is not among them comes after.
const POSITIONS: [&str; 4] = ["only", "first", "middle", "last"];

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) all: Group,
    pub(crate) kinds: Vec<Group>,
    pub(crate) positions: Vec<Group>,
    pub(crate) competitors: Vec<Group>,
    pub(crate) concepts: Vec<OfConcept>,
}

/// Rows that have something in common.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) pictures: usize,
    /// Pictures in which the oracle found the concept.
    pub(crate) found: usize,
    /// Mean over concepts.
    pub(crate) auc: Option<Estimate>,
    /// What is lost against the first group, paired by concept: positive is worse.
    pub(crate) loss: Option<Estimate>,
}

#[derive(Debug)]
pub(crate) struct OfConcept {
    pub(crate) concept: String,
    pub(crate) kind: String,
    pub(crate) pictures: usize,
    pub(crate) found: usize,
    /// Over pictures.
    pub(crate) auc: Option<Estimate>,
}

impl Summary {
    pub(crate) fn of(table: &rows::Table<Concept>) -> Self {
        let rows: Vec<&Concept> = table.rows.iter().collect();
        let all = Group::of("all", &rows);
        let by = |key: fn(&Concept) -> String| {
            let mut groups: BTreeMap<String, Vec<&Concept>> = BTreeMap::new();
            for row in &rows {
                groups.entry(key(row)).or_default().push(row);
            }
            groups
        };
        let kinds = (by(|row| row.kind.clone()).iter())
            .map(|(kind, rows)| Group::of(kind, rows))
            .collect();
        Self {
            all,
            kinds,
            positions: positions(by(|row| row.position.clone())),
            competitors: competitors(&rows),
            concepts: (by(|row| row.concept.clone()).into_values())
                .map(|rows| OfConcept::of(&rows))
                .collect(),
        }
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let rows = [
            ("", std::slice::from_ref(&self.all)),
            ("kind", &self.kinds),
            ("position", &self.positions),
            ("competitors", &self.competitors),
        ];
        let cells = rows.iter().flat_map(|(by, groups)| {
            groups.iter().map(|group| {
                vec![
                    Cell::text(*by),
                    Cell::text(&group.name),
                    Cell::count(group.pictures),
                    Cell::count(group.found),
                    Cell::score(group.auc),
                    Cell::score(group.loss),
                ]
            })
        });
        let head = ["by", "group", "pictures", "with the concept", "AUC", "loss"];
        let dots = rows.iter().flat_map(|(by, groups)| {
            groups
                .iter()
                .map(move |group| (format!("{by} {}", group.name).trim().to_owned(), group.auc))
        });
        vec![
            Part::Chart(Chart::Dots(Dots {
                title: "AUC of the concept block by kind, position and competitors".to_owned(),
                axis: "AUC, with 95 % intervals over concepts".to_owned(),
                series: vec![Dots::series("concept block", dots)],
            })),
            Part::Table(Table {
                id: "groups".to_owned(),
                title: "AUC of the concept block, mean over concepts".to_owned(),
                head: head.map(str::to_owned).to_vec(),
                rows: cells.collect(),
            }),
            Part::Note(
                "Losses are paired by concept: positions against the first, among prompts with as many competitors; numbers of \
                 competitors against the least. A positive loss is worse. Pictures in which the oracle does not find the concept \
                 have no AUC."
                    .to_owned(),
            ),
            Part::Table(self.list()),
        ]
    }

    fn list(&self) -> Table {
        let row = |concept: &OfConcept| {
            vec![
                Cell::text(&concept.concept),
                Cell::text(&concept.kind),
                Cell::count(concept.pictures),
                Cell::count(concept.found),
                Cell::score(concept.auc),
            ]
        };
        let head = ["concept", "kind", "pictures", "with the concept", "AUC"];
        Table {
            id: "concepts".to_owned(),
            title: format!("{} concepts", self.concepts.len()),
            head: head.map(str::to_owned).to_vec(),
            rows: self.concepts.iter().map(row).collect(),
        }
    }
}

impl Group {
    fn of(name: &str, rows: &[&Concept]) -> Self {
        let sample: Vec<f64> = by_concept(rows, |_| ()).into_values().collect();
        Self {
            name: name.to_owned(),
            pictures: rows.len(),
            found: rows.iter().filter(|row| row.auc.is_some()).count(),
            auc: Estimate::mean(&sample),
            loss: None,
        }
    }
}

impl OfConcept {
    /// All rows are of one concept.
    fn of(rows: &[&Concept]) -> Self {
        let areas: Vec<f64> = rows.iter().filter_map(|row| row.auc).collect();
        let first = rows.first();
        Self {
            concept: first.map_or_else(String::new, |row| row.concept.clone()),
            kind: first.map_or_else(String::new, |row| row.kind.clone()),
            pictures: rows.len(),
            found: areas.len(),
            auc: Estimate::mean(&areas),
        }
    }
}

fn positions(groups: BTreeMap<String, Vec<&Concept>>) -> Vec<Group> {
    let place = |name: &str| POSITIONS.iter().position(|known| *known == name);
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(name, _)| place(name).unwrap_or(POSITIONS.len()));
    let first = groups.iter().find(|(name, _)| name == POSITIONS[1]);
    let first = first.map(|(_, rows)| by_concept(rows, |row| row.competitors));
    let group = |(name, rows): &(String, Vec<&Concept>)| {
        let mut group = Group::of(name, rows);
        if let Some(first) = first.as_ref().filter(|_| name != POSITIONS[1]) {
            // concept -> losses at each number of competitors that both positions have
            let here = by_concept(rows, |row| row.competitors);
            let mut losses: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for ((concept, competitors), value) in here {
                if let Some(first) = first.get(&(concept, competitors)) {
                    losses.entry(concept).or_default().push(first - value);
                }
            }
            let losses: Vec<f64> = losses.values().filter_map(|losses| mean(losses)).collect();
            group.loss = Estimate::mean(&losses);
        }
        group
    };
    groups.iter().map(group).collect()
}

fn competitors(rows: &[&Concept]) -> Vec<Group> {
    let mut groups: BTreeMap<usize, Vec<&Concept>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.competitors).or_default().push(row);
    }
    let fewest = groups.values().next().map(|rows| by_concept(rows, |_| ()));
    let group = |(index, (number, rows)): (usize, (&usize, &Vec<&Concept>))| {
        let mut group = Group::of(&number.to_string(), rows);
        if let Some(fewest) = fewest.as_ref().filter(|_| index > 0) {
            let pairs = paired(fewest.clone(), &by_concept(rows, |_| ()));
            group.loss = Estimate::difference(&pairs);
        }
        group
    };
    groups.iter().enumerate().map(group).collect()
}

/// Mean over the pictures of each concept and key.
fn by_concept<'a, K: Ord>(
    rows: &[&'a Concept],
    key: impl Fn(&Concept) -> K,
) -> BTreeMap<(&'a str, K), f64> {
    let mut areas: BTreeMap<(&str, K), Vec<f64>> = BTreeMap::new();
    for row in rows {
        areas
            .entry((&row.concept, key(row)))
            .or_default()
            .extend(row.auc);
    }
    (areas.into_iter())
        .filter_map(|(key, areas)| Some((key, mean(&areas)?)))
        .collect()
}
