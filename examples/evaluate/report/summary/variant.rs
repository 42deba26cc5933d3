//! Pictures that were made in the same way, and which of them are pairs.

use std::collections::BTreeMap;

use conceptrol_core::analysis::Scores;

use super::{
    Estimate,
    estimate::mean,
    metric::{Metric, scores},
};
use crate::rows::{Picture, Settings, Table};

/// The method that others are compared with, by its name or by the end of it (`Plus: vanilla`).
pub(crate) const VANILLA: &str = "vanilla";
/// The method of the paper.
pub(crate) const CONCEPT_BLOCK: &str = "concept block";
/// Between the name of a group of methods and that of a method in it: methods of one group are compared with its own vanilla.
const GROUP: &str = ": ";

/// A method with its settings: the rows of each unit.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) method: String,
    pub(crate) settings: Settings,
    /// Unit -> rows of the table.
    pub(crate) units: BTreeMap<usize, Vec<usize>>,
}

impl Variant {
    /// All of a table, in the order in which they are first met.
    pub(crate) fn all(table: &Table<Picture>) -> Vec<Self> {
        let mut variants: Vec<Self> = Vec::new();
        for (index, row) in table.rows.iter().enumerate() {
            let known = (variants.iter_mut())
                .find(|known| known.method == row.method && known.settings == row.settings);
            let variant = match known {
                Some(known) => known,
                None => {
                    variants.push(Self {
                        method: row.method.clone(),
                        settings: row.settings.clone(),
                        units: BTreeMap::new(),
                    });
                    variants.last_mut().expect("it was added")
                }
            };
            variant.units.entry(row.unit).or_default().push(index);
        }
        variants
    }

    /// The group's name, if it is in one, and the method's within it.
    pub(crate) fn group(&self) -> (Option<&str>, &str) {
        match self.method.rsplit_once(GROUP) {
            Some((group, method)) => (Some(group), method),
            None => (None, &self.method),
        }
    }

    /// Whether it is this method, in whatever group.
    pub(crate) fn is(&self, method: &str) -> bool {
        self.group().1 == method
    }

    /// What it is compared with: vanilla of its group, or else of no group, with settings as near as there are.
    pub(crate) fn baseline<'a>(&self, variants: &'a [Self]) -> Option<&'a Self> {
        if self.is(VANILLA) {
            return None;
        }
        let of = |group: Option<&str>| {
            let vanilla = variants
                .iter()
                .filter(move |other| other.is(VANILLA) && other.group().0 == group);
            // the first of the nearest
            vanilla
                .rev()
                .max_by_key(|other| self.shared(&other.settings))
        };
        of(self.group().0).or_else(|| of(None))
    }

    /// How many settings are the same. The warm-up decides last: there is none without a mask.
    fn shared(&self, other: &Settings) -> usize {
        let Settings {
            scale,
            warmup,
            steps,
            guidance,
        } = &self.settings;
        2 * usize::from(*scale == other.scale)
            + usize::from(*warmup == other.warmup)
            + 2 * usize::from(*steps == other.steps)
            + 2 * usize::from(*guidance == other.guidance)
    }

    /// One value a unit that has one.
    pub(crate) fn sample(&self, table: &Table<Picture>, metric: Metric) -> BTreeMap<usize, f64> {
        let of = |rows: &Vec<usize>| {
            let values: Vec<f64> = (rows.iter())
                .filter_map(|&row| (metric.of)(&table.rows[row].scores))
                .collect();
            mean(&values)
        };
        (self.units.iter())
            .filter_map(|(&unit, rows)| Some((unit, of(rows)?)))
            .collect()
    }

    pub(crate) fn mean(&self, table: &Table<Picture>, metric: Metric) -> Option<Estimate> {
        let sample: Vec<f64> = self.sample(table, metric).into_values().collect();
        Estimate::mean(&sample)
    }

    /// The mean difference over the units that both have.
    pub(crate) fn difference(
        &self,
        other: &Self,
        table: &Table<Picture>,
        metric: Metric,
    ) -> Option<Estimate> {
        let pairs = paired(self.sample(table, metric), &other.sample(table, metric));
        Estimate::difference(&pairs)
    }

    /// CP and PF of each unit.
    pub(crate) fn scores(&self, table: &Table<Picture>) -> BTreeMap<usize, Scores> {
        let of = |rows: &Vec<usize>| {
            let all: Vec<Scores> = (rows.iter())
                .map(|&row| scores(&table.rows[row].scores))
                .collect();
            Scores::mean(&all).ok()
        };
        (self.units.iter())
            .filter_map(|(&unit, rows)| Some((unit, of(rows)?)))
            .collect()
    }

    pub(crate) fn product(&self, table: &Table<Picture>) -> Option<Estimate> {
        Estimate::product(&self.scores(table).into_values().collect::<Vec<_>>())
    }

    /// Scores of the units that both have.
    pub(crate) fn pairs(&self, other: &Self, table: &Table<Picture>) -> Vec<(Scores, Scores)> {
        paired(self.scores(table), &other.scores(table))
    }
}

/// Values of the units that both have.
pub(crate) fn paired<K: Ord, V: Copy>(
    first: BTreeMap<K, V>,
    second: &BTreeMap<K, V>,
) -> Vec<(V, V)> {
    (first.into_iter())
        .filter_map(|(key, value)| Some((value, *second.get(&key)?)))
        .collect()
}

/// What each variant is called: its method, with those settings in which variants of the method differ.
pub(crate) fn names(variants: &[Variant]) -> Vec<String> {
    let name = |variant: &Variant| {
        let of_method = || {
            variants
                .iter()
                .filter(|other| other.method == variant.method)
        };
        let mut differing = Vec::new();
        for axis in AXES {
            let value = (axis.of)(&variant.settings);
            if of_method().any(|other| (axis.of)(&other.settings) != value) {
                differing.push(format!("{} {value}", axis.name));
            }
        }
        match differing.is_empty() {
            true => variant.method.clone(),
            false => format!("{}, {}", variant.method, differing.join(", ")),
        }
    };
    variants.iter().map(name).collect()
}

/// A setting that may be varied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettingsAxis {
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Settings) -> f64,
}

pub(crate) const AXES: [SettingsAxis; 4] = [
    SettingsAxis {
        name: "scale",
        of: |settings| settings.scale,
    },
    SettingsAxis {
        name: "warm-up",
        of: |settings| settings.warmup,
    },
    SettingsAxis {
        name: "steps",
        of: |settings| settings.steps as f64,
    },
    SettingsAxis {
        name: "guidance",
        of: |settings| settings.guidance,
    },
];
