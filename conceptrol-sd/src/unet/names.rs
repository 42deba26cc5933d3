//! The names of LDM and SGM, in which single files hold the UNet of Stable Diffusion 1.x and XL.
//!
//! They number the blocks of each half through, whichever level they are of, so the table follows from the configuration.

use conceptrol_core::models::weights::{Checkpoint, KeyRule, WeightError};

use crate::config::{BlockConfig, UNetConfig};

/// Prefixes of the UNet in files that hold other models as well.
const PREFIXES: &[&str] = &["model.diffusion_model.", "diffusion_model.", "unet."];
/// A tensor that each file under LDM's names has.
const MARK: &str = "input_blocks.0.0.weight";
/// A tensor that each file under the names of diffusers has.
const OWN_MARK: &str = "conv_in.weight";

/// What is there once.
const OUTER: [(&str, &str); 7] = [
    ("input_blocks.0.0", "conv_in"),
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];
/// The parts of a residual block.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// The tensors of a file under the names that [`UNet2DConditionModel`](super::UNet2DConditionModel) asks for, be they those of
/// diffusers or of LDM (`model.diffusion_model.input_blocks.1.0.in_layers.2`), with or without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn own_names(config: &UNetConfig, file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let file = file.below(PREFIXES, &[MARK, OWN_MARK]);
    match file.contains(MARK) {
        true => file.map(&rules(config)),
        false => Ok(file),
    }
}

/// The tensors of a file under the names of LDM, as single files have them, without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn original_names(config: &UNetConfig, file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    own_names(config, file)?.unmap(&rules(config))
}

/// The modules of a UNet under LDM's names, and what diffusers calls them. What is in a module has the same name in both.
///
/// ```
/// use conceptrol_sd::{config::UNetConfig, unet::original_modules};
///
/// let modules = original_modules(&UNetConfig::sdxl());
/// let of = |ldm: &str| modules.iter().find(|(name, _)| name == ldm).unwrap().1.clone();
/// assert_eq!(of("input_blocks.4.1"), "down_blocks.1.attentions.0");
/// assert_eq!(of("output_blocks.2.2.conv"), "up_blocks.0.upsamplers.0.conv");
/// ```
pub fn original_modules(config: &UNetConfig) -> Vec<(String, String)> {
    let mut modules: Vec<_> = OUTER
        .map(|(ldm, own)| (ldm.to_owned(), own.to_owned()))
        .into();
    let mut index = 1;
    for (level, block) in config.down.iter().enumerate() {
        let own = format!("down_blocks.{level}");
        index = half(&mut modules, block, "input_blocks", index, &own);
        if block.resample {
            modules.push((
                format!("input_blocks.{index}.0.op"),
                format!("{own}.downsamplers.0.conv"),
            ));
            index += 1;
        }
    }
    if let Some(mid) = &config.mid {
        resnet(&mut modules, "middle_block.0", "mid_block.resnets.0");
        if mid.transformer.is_some() {
            modules.push(("middle_block.1".into(), "mid_block.attentions.0".into()));
            resnet(&mut modules, "middle_block.2", "mid_block.resnets.1");
        }
    }
    let mut index = 0;
    for (level, block) in config.up.iter().enumerate() {
        let own = format!("up_blocks.{level}");
        index = half(&mut modules, block, "output_blocks", index, &own);
        if block.resample {
            // behind what else is in the last one
            let place = 1 + usize::from(block.transformer.is_some());
            let ldm = format!("output_blocks.{}.{place}.conv", index - 1);
            modules.push((ldm, format!("{own}.upsamplers.0.conv")));
        }
    }
    modules
}

/// The residual blocks and transformers of one block; the number after them.
fn half(
    modules: &mut Vec<(String, String)>,
    block: &BlockConfig,
    ldm: &str,
    first: usize,
    own: &str,
) -> usize {
    for layer in 0..block.inputs.len() {
        let ldm = format!("{ldm}.{}", first + layer);
        resnet(
            modules,
            &format!("{ldm}.0"),
            &format!("{own}.resnets.{layer}"),
        );
        if block.transformer.is_some() {
            modules.push((format!("{ldm}.1"), format!("{own}.attentions.{layer}")));
        }
    }
    first + block.inputs.len()
}

fn resnet(modules: &mut Vec<(String, String)>, ldm: &str, own: &str) {
    let parts = RESNET.map(|(from, to)| (format!("{ldm}.{from}"), format!("{own}.{to}")));
    modules.extend(parts);
}

fn rules(config: &UNetConfig) -> Vec<KeyRule<'static>> {
    let modules = original_modules(config).into_iter();
    modules
        .map(|(ldm, own)| KeyRule::renamed(ldm, own))
        .collect()
}
