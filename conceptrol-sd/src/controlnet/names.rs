//! The names of the original repositories (`control_model.input_blocks.1.0.in_layers.2`).

use conceptrol_core::models::weights::{Checkpoint, KeyRule, WeightError};

use crate::config::ControlNetConfig;
use crate::unet::original_modules;

/// Prefixes of a `ControlNet` in files that hold other models as well.
const PREFIXES: &[&str] = &["control_model.", "controlnet."];
/// A tensor that each file under the original names has.
const MARK: &str = "input_hint_block.0.weight";
/// A tensor that each file under the names of diffusers has.
const OWN_MARK: &str = "controlnet_cond_embedding.conv_in.weight";

/// The tensors of a `ControlNet` alone, whatever else is in its file, under the names the file has.
pub(super) fn alone(file: &Checkpoint) -> Checkpoint {
    file.below(PREFIXES, &[MARK, OWN_MARK])
}

/// Whether the tensors have the names of the original repositories.
pub(super) fn is_original(file: &Checkpoint) -> bool {
    file.contains(MARK)
}

/// The tensors of a file under the names that [`ControlNetModel`](super::ControlNetModel) asks for, be they those of diffusers
/// or the original ones, with or without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn own_names(config: &ControlNetConfig, file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let file = alone(file);
    match is_original(&file) {
        true => file.map(&rules(config)),
        false => Ok(file),
    }
}

/// The tensors of a file under the original names, without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn original_names(
    config: &ControlNetConfig,
    file: &Checkpoint,
) -> Result<Checkpoint, WeightError> {
    own_names(config, file)?.unmap(&rules(config))
}

/// The table of the UNet's down half, and what a `ControlNet` has beside it.
fn rules(config: &ControlNetConfig) -> Vec<KeyRule<'static>> {
    let encoder = original_modules(&config.encoder).into_iter();
    let mut modules: Vec<_> = encoder.collect();
    let mut add = |original: String, own: String| modules.push((original, own));
    // the picture's convolutions and activations are one list there
    let embedding = 2 * (config.embedding_channels.len() - 1);
    let name = |index: usize| format!("input_hint_block.{}", 2 * index);
    let own = |part: &str| format!("controlnet_cond_embedding.{part}");
    add(name(0), own("conv_in"));
    for block in 0..embedding {
        add(name(block + 1), own(&format!("blocks.{block}")));
    }
    add(name(embedding + 1), own("conv_out"));
    add("zero_convs.{}.0".into(), "controlnet_down_blocks.{}".into());
    add("middle_block_out.0".into(), "controlnet_mid_block".into());
    let renamed = modules.into_iter();
    renamed
        .map(|(original, own)| KeyRule::renamed(original, own))
        .collect()
}
