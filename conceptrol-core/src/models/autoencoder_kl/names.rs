//! The names of LDM, in which single files and files of an autoencoder alone hold it.

use super::attention::OLD_NAMES;
use crate::models::weights::{Checkpoint, KeyRule, WeightError};

/// Prefixes of an autoencoder in files that hold other models as well.
const PREFIXES: &[&str] = &["first_stage_model.", "vae."];
/// A tensor that each file under LDM's names has.
const MARK: &str = "encoder.down.0.block.0.norm1.weight";
/// A tensor that each file under the names of diffusers has.
const OWN_MARK: &str = "encoder.down_blocks.0.resnets.0.norm1.weight";
/// What training has left.
const LEFT: &[KeyRule<'static>] = &[KeyRule::drop("loss"), KeyRule::drop("model_ema")];

/// Both halves; `{}` are level and block.
const TABLE: &[KeyRule<'static>] = &[
    KeyRule::rename("encoder.norm_out", "encoder.conv_norm_out"),
    KeyRule::rename("decoder.norm_out", "decoder.conv_norm_out"),
    KeyRule::rename("encoder.mid.block_1", "encoder.mid_block.resnets.0"),
    KeyRule::rename("encoder.mid.block_2", "encoder.mid_block.resnets.1"),
    KeyRule::rename("decoder.mid.block_1", "decoder.mid_block.resnets.0"),
    KeyRule::rename("decoder.mid.block_2", "decoder.mid_block.resnets.1"),
    KeyRule::rename(
        "encoder.mid.attn_1.norm",
        "encoder.mid_block.attentions.0.group_norm",
    ),
    KeyRule::matrix(
        "encoder.mid.attn_1.q",
        "encoder.mid_block.attentions.0.to_q",
    ),
    KeyRule::matrix(
        "encoder.mid.attn_1.k",
        "encoder.mid_block.attentions.0.to_k",
    ),
    KeyRule::matrix(
        "encoder.mid.attn_1.v",
        "encoder.mid_block.attentions.0.to_v",
    ),
    KeyRule::matrix(
        "encoder.mid.attn_1.proj_out",
        "encoder.mid_block.attentions.0.to_out.0",
    ),
    KeyRule::rename(
        "decoder.mid.attn_1.norm",
        "decoder.mid_block.attentions.0.group_norm",
    ),
    KeyRule::matrix(
        "decoder.mid.attn_1.q",
        "decoder.mid_block.attentions.0.to_q",
    ),
    KeyRule::matrix(
        "decoder.mid.attn_1.k",
        "decoder.mid_block.attentions.0.to_k",
    ),
    KeyRule::matrix(
        "decoder.mid.attn_1.v",
        "decoder.mid_block.attentions.0.to_v",
    ),
    KeyRule::matrix(
        "decoder.mid.attn_1.proj_out",
        "decoder.mid_block.attentions.0.to_out.0",
    ),
    KeyRule::rename(
        "encoder.down.{}.block.{}.nin_shortcut",
        "encoder.down_blocks.{}.resnets.{}.conv_shortcut",
    ),
    KeyRule::rename(
        "encoder.down.{}.block.{}",
        "encoder.down_blocks.{}.resnets.{}",
    ),
    KeyRule::rename(
        "encoder.down.{}.downsample",
        "encoder.down_blocks.{}.downsamplers.0",
    ),
];

/// The tensors of a file under the names that [`AutoencoderKl`](super::AutoencoderKl) asks for, be they those of diffusers, its
/// older ones, or LDM's (`first_stage_model.decoder.up.3.block.0.conv1`), with or without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn own_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let file = file.below(PREFIXES, &[MARK, OWN_MARK]);
    if file.contains(MARK) {
        return file.map(&rules(levels(&file, "decoder.up")));
    }
    file.map(&old_names())
}

/// The tensors of a file under LDM's names, as single files have them, without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn original_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let file = own_names(file)?;
    file.unmap(&rules(levels(&file, "decoder.up_blocks")))
}

/// The whole table. Levels of the decoder are counted from the picture in LDM, from the latents in diffusers.
fn rules(levels: usize) -> Vec<KeyRule<'static>> {
    let level = |level: usize| {
        let from = format!("decoder.up.{level}");
        let to = format!("decoder.up_blocks.{}", levels - 1 - level);
        [
            ("block.{}.nin_shortcut", "resnets.{}.conv_shortcut"),
            ("block.{}", "resnets.{}"),
            ("upsample", "upsamplers.0"),
        ]
        .map(|(ldm, own)| KeyRule::renamed(format!("{from}.{ldm}"), format!("{to}.{own}")))
    };
    let fixed = TABLE.iter().chain(LEFT).cloned();
    fixed.chain((0..levels).flat_map(level)).collect()
}

/// How many children of `scope` are numbered from 0 on.
fn levels(file: &Checkpoint, scope: &str) -> usize {
    let has = |level: &usize| {
        let prefix = format!("{scope}.{level}.");
        file.has_below(&prefix)
    };
    (0..).take_while(has).count()
}

/// What attention was called before.
fn old_names() -> Vec<KeyRule<'static>> {
    let halves = ["encoder", "decoder"].into_iter();
    let names = |half: &'static str| {
        OLD_NAMES.map(|(new, old)| {
            let scope = format!("{half}.mid_block.attentions.0");
            KeyRule::renamed(format!("{scope}.{old}"), format!("{scope}.{new}"))
        })
    };
    halves.flat_map(names).chain(LEFT.iter().cloned()).collect()
}
