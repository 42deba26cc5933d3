//! Where the layers of a file meet the modules of a model.

use std::collections::BTreeMap;
use std::path::Path;

use super::delta::{Delta, Deltas};
use super::dialect::{Piece, Place};
use super::error::LoraError;
use super::file::{Layer, LoraFile};
use super::summary::LoraSummary;
use super::target::{LoraTarget, LoraTargets, Part, Spelling};
use crate::models::weights::closest;

/// A low-rank file for the models of a pipeline.
#[derive(Debug, Clone)]
pub struct Lora {
    /// What it is.
    pub summary: LoraSummary,
    deltas: BTreeMap<Part, Deltas>,
}

impl Lora {
    /// What it changes of each model.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &Deltas)> {
        self.deltas.iter().map(|(part, deltas)| (*part, deltas))
    }
}

impl LoraFile {
    /// What the file changes of these models, with `strength`, which may be negative.
    ///
    /// # Errors
    ///
    /// [`LoraError`] for the first of its [`problems`](Self::problems).
    pub fn read(&self, targets: &LoraTargets, strength: f64) -> Result<Lora, LoraError> {
        let (lora, problems) = self.resolve(targets, strength);
        match problems.into_iter().next() {
            None => Ok(lora),
            Some(problem) => Err(problem),
        }
    }

    /// What the file would change, and all that keeps it from doing so.
    pub fn problems(&self, targets: &LoraTargets) -> (LoraSummary, Vec<LoraError>) {
        let (lora, problems) = self.resolve(targets, 1.0);
        (lora.summary, problems)
    }

    fn resolve(&self, targets: &LoraTargets, strength: f64) -> (Lora, Vec<LoraError>) {
        let mut problems: Vec<LoraError> = self.unknown(targets).into_iter().collect();
        let mut lora = Lora {
            summary: LoraSummary::default(),
            deltas: BTreeMap::new(),
        };
        // which layer of the file changes a module
        let mut changed: BTreeMap<(usize, &str), &str> = BTreeMap::new();
        for (name, layer) in &self.layers {
            let meaning = match self.meaning(targets, name, layer) {
                Ok(Some(meaning)) => meaning,
                Ok(None) => continue,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let target = &targets.targets[meaning.target];
            let scale = strength * self.factor(layer, target, &meaning.local);
            let rank = layer.factors.rank(&self.checkpoint);
            let (convention, kind) = (&meaning.convention, layer.factors.kind());
            (lora.summary).add(convention, kind, target.part, rank, scale);
            if let Err(problem) = self.check_shape(name, layer, target, &meaning.place) {
                problems.push(problem);
                continue;
            }
            if !scale.is_finite() {
                problems.push(LoraError::Strength {
                    path: self.path().to_owned(),
                    layer: name.clone(),
                    strength: scale,
                });
                continue;
            }
            for Piece { module, rows } in &meaning.place.0 {
                if let Some(first) = changed.insert((meaning.target, module), name) {
                    problems.push(LoraError::Twice {
                        path: self.path().to_owned(),
                        first: first.to_owned(),
                        second: name.clone(),
                    });
                }
                let delta = Delta {
                    file: self.checkpoint.clone(),
                    factors: layer.factors.clone(),
                    rows: rows.clone(),
                    scale,
                };
                let deltas = lora.deltas.entry(target.part).or_default();
                deltas.push(module, delta);
            }
        }
        (lora, problems)
    }

    /// The factor on a layer that its strength is.
    fn factor(&self, layer: &Layer, target: &LoraTarget, module: &str) -> f64 {
        let rank = layer.factors.rank(&self.checkpoint);
        // a difference, or two whole factors of a Kronecker product, have no rank: a strength beside them means nothing
        rank.map_or(1.0, |rank| {
            (self.strengths).factor(layer.alpha, target.folder, module, rank)
        })
    }

    /// What a layer's name means; nothing if it is unknown.
    fn meaning<'t>(
        &self,
        targets: &'t LoraTargets,
        name: &str,
        layer: &Layer,
    ) -> Result<Option<&'t Spelling>, LoraError> {
        let meanings = targets.meanings(name);
        let [first, second, ..] = meanings else {
            return Ok(meanings.first());
        };
        // peft writes one folder a model, and the same names for two text encoders
        let target = |meaning: &Spelling| &targets.targets[meaning.target];
        let by_folder = |meaning: &&Spelling| has_component(self.path(), target(meaning).folder);
        let by_shape = |meaning: &&Spelling| {
            (self.check_shape(name, layer, target(meaning), &meaning.place)).is_ok()
        };
        let only = |mut found: Vec<&'t Spelling>| found.pop().filter(|_| found.is_empty());
        (only(meanings.iter().filter(by_folder).collect()))
            .or_else(|| only(meanings.iter().filter(by_shape).collect()))
            .map(Some)
            .ok_or_else(|| LoraError::Ambiguous {
                path: self.path().to_owned(),
                layer: name.to_owned(),
                first: target(first).part,
                second: target(second).part,
            })
    }

    fn check_shape(
        &self,
        name: &str,
        layer: &Layer,
        target: &LoraTarget,
        place: &Place,
    ) -> Result<(), LoraError> {
        let shape = &target.modules[&place.0[0].module];
        let (kernel, inputs) = (shape[2..].iter().product(), shape[1..].iter().product());
        let ends = place.0.iter().flat_map(|piece| piece.rows.iter().flatten());
        let outputs = ends.map(|rows| rows.end).max().unwrap_or(shape[0]);
        if layer.factors.dims(&self.checkpoint, kernel) == Some([outputs, inputs]) {
            return Ok(());
        }
        let factor = |name: &String| match self.checkpoint.get(name) {
            Some((_, shape)) => format!("{shape:?}"),
            None => String::new(),
        };
        Err(LoraError::Shape {
            path: self.path().to_owned(),
            layer: name.to_owned(),
            outputs,
            inputs,
            factors: layer.tensors.iter().map(factor).collect(),
        })
    }

    /// Layers and other tensors that these models do not know, if there are any.
    fn unknown(&self, targets: &LoraTargets) -> Option<LoraError> {
        let unknown = || {
            let layers = self
                .layers
                .keys()
                .filter(|name| targets.meanings(name).is_empty());
            layers.chain(&self.strays)
        };
        let layer = unknown().next()?.clone();
        let like = closest(&layer, targets.known().map(|(name, _)| name));
        let convention = |name: &str| {
            let first = targets.meanings(name).first()?;
            Some((first.convention.clone(), name.to_owned()))
        };
        Some(LoraError::Unknown {
            path: self.path().to_owned(),
            unknown: unknown().count(),
            layers: self.layers.len() + self.strays.len(),
            closest: like.and_then(convention),
            layer,
        })
    }
}

fn has_component(path: &Path, name: &str) -> bool {
    path.components()
        .any(|component| component.as_os_str() == name)
}
