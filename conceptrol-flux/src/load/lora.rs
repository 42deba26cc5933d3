//! What low-rank adapters may change of FLUX, and what tools call it.

use burn::tensor::Device;
use conceptrol_core::models::clip_text::{ClipTextConfig, ClipTextModel};
use conceptrol_core::models::lora::{LoraTarget, LoraTargets, Part};
use conceptrol_core::models::t5::{T5Config, T5Encoder};
use conceptrol_core::models::weights::KeyRule;

use super::bfl::RULES;
use crate::config::FluxConfig;
use crate::mmdit::FluxTransformer;

/// Layers of `XLabs`' attention processors: 1 is the picture's side, 2 the text's. That of a single block covers three of
/// the four parts of `linear1`.
const XLABS: &[KeyRule<'static>] = &[
    KeyRule::rows(
        "double_blocks.{}.processor.qkv_lora1",
        &[
            ("transformer_blocks.{}.attn.to_q", 1),
            ("transformer_blocks.{}.attn.to_k", 1),
            ("transformer_blocks.{}.attn.to_v", 1),
        ],
    ),
    KeyRule::rows(
        "double_blocks.{}.processor.qkv_lora2",
        &[
            ("transformer_blocks.{}.attn.add_q_proj", 1),
            ("transformer_blocks.{}.attn.add_k_proj", 1),
            ("transformer_blocks.{}.attn.add_v_proj", 1),
        ],
    ),
    KeyRule::rename(
        "double_blocks.{}.processor.proj_lora1",
        "transformer_blocks.{}.attn.to_out.0",
    ),
    KeyRule::rename(
        "double_blocks.{}.processor.proj_lora2",
        "transformer_blocks.{}.attn.to_add_out",
    ),
    KeyRule::rows(
        "single_blocks.{}.processor.qkv_lora",
        &[
            ("single_transformer_blocks.{}.attn.to_q", 1),
            ("single_transformer_blocks.{}.attn.to_k", 1),
            ("single_transformer_blocks.{}.attn.to_v", 1),
        ],
    ),
    KeyRule::rename(
        "single_blocks.{}.processor.proj_lora",
        "single_transformer_blocks.{}.proj_out",
    ),
];

/// Transformer and text encoders, with every spelling of their modules.
pub fn lora_targets(
    transformer: &FluxConfig,
    clip: &ClipTextConfig,
    t5: &T5Config,
    device: &Device,
) -> LoraTargets {
    LoraTargets::new(vec![
        transformer_target(transformer, device),
        LoraTarget::new(Part::ClipL, "text_encoder", device, |w| {
            drop(ClipTextModel::new(clip, w));
        }),
        LoraTarget::new(Part::T5, "text_encoder_2", device, |w| {
            drop(T5Encoder::new(t5, w))
        }),
    ])
}

/// The transformer, under diffusers' names, BFL's and those of `XLabs`' attention processors.
pub fn transformer_target(config: &FluxConfig, device: &Device) -> LoraTarget {
    let transformer = |w: &_| drop(FluxTransformer::new(config, w));
    LoraTarget::new(Part::Denoiser, "transformer", device, transformer)
        .rules("BFL", RULES)
        .rules("XLabs", XLABS)
}
