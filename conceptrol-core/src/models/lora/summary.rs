//! What a low-rank file is, in a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::target::Part;

/// What a low-rank file is and changes.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LoraSummary {
    /// The conventions whose names it has: `kohya (BFL names)`.
    pub conventions: BTreeSet<String>,
    /// `LoRA`, `LoHa`, `LoKr`.
    pub kinds: BTreeSet<&'static str>,
    /// Layers of the file by the model they are of.
    pub layers: BTreeMap<Part, usize>,
    /// Smallest and largest rank.
    pub ranks: Option<(usize, usize)>,
    /// Smallest and largest factor on a layer: its own strength, alpha divided by rank, times the one asked for.
    pub strengths: Option<(f64, f64)>,
}

impl LoraSummary {
    pub(super) fn add(
        &mut self,
        convention: &str,
        kind: &'static str,
        part: Part,
        rank: Option<usize>,
        strength: f64,
    ) {
        if !self.conventions.contains(convention) {
            self.conventions.insert(convention.to_owned());
        }
        self.kinds.insert(kind);
        *self.layers.entry(part).or_default() += 1;
        if let Some(rank) = rank {
            let (least, most) = self.ranks.unwrap_or((rank, rank));
            self.ranks = Some((least.min(rank), most.max(rank)));
        }
        let (least, most) = self.strengths.unwrap_or((strength, strength));
        self.strengths = Some((least.min(strength), most.max(strength)));
    }

    /// Layers of all models.
    pub fn total(&self) -> usize {
        self.layers.values().sum()
    }
}

impl fmt::Display for LoraSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conventions: Vec<&str> = self.conventions.iter().map(String::as_str).collect();
        let kinds: Vec<&str> = self.kinds.iter().copied().collect();
        write!(
            f,
            "{}, names of {}",
            kinds.join(", "),
            conventions.join(", ")
        )?;
        for (part, layers) in &self.layers {
            write!(f, ", {layers} layers of {part}")?;
        }
        if let Some((least, most)) = self.ranks {
            write!(f, ", rank {}", range(least, most))?;
        }
        if let Some((least, most)) = self.strengths {
            write!(f, ", strength {}", range(least, most))?;
        }
        Ok(())
    }
}

fn range<N: PartialEq + fmt::Display>(least: N, most: N) -> String {
    if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    }
}
