//! Low-rank adapters, compared with the layers of the FLUX transformer.

use std::collections::{BTreeMap, BTreeSet};

use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_flux::FluxConfig;

use crate::{
    identify::{Error, config_above},
    model::{Model, device},
};

const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";

/// What a low-rank adapter changes, and what of it does not fit.
#[derive(Debug)]
pub(crate) struct Lora {
    pub(crate) layers: usize,
    pub(crate) ranks: BTreeSet<usize>,
    pub(crate) problems: Vec<String>,
}

/// Reads the names and shapes of a peft file; nothing if it is none.
pub(crate) fn lora(file: &Checkpoint) -> Result<Option<Lora>, Error> {
    let layers: Vec<String> = file
        .tensors()
        .filter_map(|tensor| tensor.name.strip_suffix(DOWN).map(str::to_owned))
        .collect();
    if layers.is_empty() {
        return Ok(None);
    }
    let config = match config_above(file.path(), "transformer") {
        Some(path) => FluxConfig::from_file(path)?,
        None => FluxConfig::dev(),
    };
    let base = base(config);
    let mut found = Lora {
        layers: layers.len(),
        ranks: BTreeSet::new(),
        problems: Vec::new(),
    };
    for layer in &layers {
        let shape = |ending| {
            file.get(&format!("{layer}{ending}"))
                .map(|(_, shape)| shape)
        };
        let target = base.get(layer.strip_prefix("transformer.").unwrap_or(layer));
        match (shape(DOWN), shape(UP), target) {
            (Some([rank, inputs]), Some([outputs, again]), Some(target))
                if rank == again && target == &[*outputs, *inputs] =>
            {
                found.ranks.insert(*rank);
            }
            (_, _, None) => found
                .problems
                .push(format!("{layer} is no layer of the transformer")),
            (down, up, Some(target)) => found.problems.push(format!(
                "{layer} is {target:?}, its factors are {:?} and {:?}",
                up.unwrap_or_default(),
                down.unwrap_or_default()
            )),
        }
    }
    Ok(Some(found))
}

/// Shapes of the transformer's matrices by layer.
fn base(config: FluxConfig) -> BTreeMap<String, [usize; 2]> {
    let weights = Weights::names(&device());
    Model::Flux(config).ask(&weights);
    let tensors = weights.finish().unwrap_or_default();
    let matrix = |name: &str, shape: &[usize]| {
        Some((
            name.strip_suffix(".weight")?.to_owned(),
            shape.try_into().ok()?,
        ))
    };
    tensors
        .iter()
        .filter_map(|tensor| matrix(&tensor.name, &tensor.shape))
        .collect()
}
