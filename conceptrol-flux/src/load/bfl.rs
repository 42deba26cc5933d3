//! The original single-file layout of FLUX (`double_blocks`, fused projections) and its fp8 re-packagings.

use conceptrol_core::models::config::{ConfigError, Fields};
use conceptrol_core::models::weights::{Checkpoint, KeyRule, WeightError};

use serde_json::Map;

use crate::config::{FluxConfig, MODEL};

/// Prefixes of the transformer, in files that carry other models as well and in others.
const PREFIXES: &[&str] = &["model.diffusion_model.", "diffusion_model.", "transformer."];
/// A tensor every file of diffusers' layout has.
const OWN_MARK: &str = "x_embedder.weight";
/// A tensor every file of this layout has.
const MARK: &str = "double_blocks.0.img_attn.qkv.weight";

pub(super) const RULES: &[KeyRule<'static>] = &[
    KeyRule::rename("img_in", "x_embedder"),
    KeyRule::rename("txt_in", "context_embedder"),
    KeyRule::rename(
        "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_1",
    ),
    KeyRule::rename(
        "time_in.out_layer",
        "time_text_embed.timestep_embedder.linear_2",
    ),
    KeyRule::rename(
        "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_1",
    ),
    KeyRule::rename(
        "guidance_in.out_layer",
        "time_text_embed.guidance_embedder.linear_2",
    ),
    KeyRule::rename(
        "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_1",
    ),
    KeyRule::rename(
        "vector_in.out_layer",
        "time_text_embed.text_embedder.linear_2",
    ),
    KeyRule::rename(
        "double_blocks.{}.img_mod.lin",
        "transformer_blocks.{}.norm1.linear",
    ),
    KeyRule::rename(
        "double_blocks.{}.txt_mod.lin",
        "transformer_blocks.{}.norm1_context.linear",
    ),
    KeyRule::rows(
        "double_blocks.{}.img_attn.qkv",
        &[
            ("transformer_blocks.{}.attn.to_q", 1),
            ("transformer_blocks.{}.attn.to_k", 1),
            ("transformer_blocks.{}.attn.to_v", 1),
        ],
    ),
    KeyRule::rows(
        "double_blocks.{}.txt_attn.qkv",
        &[
            ("transformer_blocks.{}.attn.add_q_proj", 1),
            ("transformer_blocks.{}.attn.add_k_proj", 1),
            ("transformer_blocks.{}.attn.add_v_proj", 1),
        ],
    ),
    KeyRule::rename(
        "double_blocks.{}.img_attn.norm.query_norm.scale",
        "transformer_blocks.{}.attn.norm_q.weight",
    ),
    KeyRule::rename(
        "double_blocks.{}.img_attn.norm.key_norm.scale",
        "transformer_blocks.{}.attn.norm_k.weight",
    ),
    KeyRule::rename(
        "double_blocks.{}.txt_attn.norm.query_norm.scale",
        "transformer_blocks.{}.attn.norm_added_q.weight",
    ),
    KeyRule::rename(
        "double_blocks.{}.txt_attn.norm.key_norm.scale",
        "transformer_blocks.{}.attn.norm_added_k.weight",
    ),
    KeyRule::rename(
        "double_blocks.{}.img_attn.proj",
        "transformer_blocks.{}.attn.to_out.0",
    ),
    KeyRule::rename(
        "double_blocks.{}.txt_attn.proj",
        "transformer_blocks.{}.attn.to_add_out",
    ),
    KeyRule::rename(
        "double_blocks.{}.img_mlp.0",
        "transformer_blocks.{}.ff.net.0.proj",
    ),
    KeyRule::rename(
        "double_blocks.{}.img_mlp.2",
        "transformer_blocks.{}.ff.net.2",
    ),
    KeyRule::rename(
        "double_blocks.{}.txt_mlp.0",
        "transformer_blocks.{}.ff_context.net.0.proj",
    ),
    KeyRule::rename(
        "double_blocks.{}.txt_mlp.2",
        "transformer_blocks.{}.ff_context.net.2",
    ),
    KeyRule::rename(
        "single_blocks.{}.modulation.lin",
        "single_transformer_blocks.{}.norm.linear",
    ),
    KeyRule::rows(
        "single_blocks.{}.linear1",
        &[
            ("single_transformer_blocks.{}.attn.to_q", 1),
            ("single_transformer_blocks.{}.attn.to_k", 1),
            ("single_transformer_blocks.{}.attn.to_v", 1),
            ("single_transformer_blocks.{}.proj_mlp", 4),
        ],
    ),
    KeyRule::rename(
        "single_blocks.{}.linear2",
        "single_transformer_blocks.{}.proj_out",
    ),
    KeyRule::rename(
        "single_blocks.{}.norm.query_norm.scale",
        "single_transformer_blocks.{}.attn.norm_q.weight",
    ),
    KeyRule::rename(
        "single_blocks.{}.norm.key_norm.scale",
        "single_transformer_blocks.{}.attn.norm_k.weight",
    ),
    KeyRule::rename("final_layer.linear", "proj_out"),
    // Shift and scale change places between the two layouts.
    KeyRule::swap_halves("final_layer.adaLN_modulation.1", "norm_out.linear"),
];

/// The transformer of a single file under diffusers names, whichever of the two layouts it has.
///
/// # Errors
/// [`WeightError::Map`] if a fused tensor cannot be cut.
pub fn transformer_checkpoint(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let file = file.below(PREFIXES, &[MARK, OWN_MARK]);
    match file.contains(MARK) {
        true => file.map(RULES),
        false => Ok(file),
    }
}

/// The transformer of a file under the names of the original single file, without a prefix.
///
/// # Errors
/// [`WeightError::Map`] if a piece of a fused tensor is not there, or is of another type than the others.
pub fn original_checkpoint(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    transformer_checkpoint(file)?.unmap(RULES)
}

/// Channels of a head that turn with the first axis: an eighth, or the next number that leaves two even halves.
fn rotary_of_index(head_dim: usize) -> usize {
    let fits = |axis: &usize| head_dim.saturating_sub(*axis).is_multiple_of(4);
    let mut axes = (head_dim / 16 * 2).max(2)..=head_dim;
    axes.find(fits).unwrap_or(0)
}

/// The sizes of a transformer, read off the shapes of its tensors under diffusers names.
///
/// The head size is that of the query norm; rotary axes are not in a file, so they are the published proportions.
///
/// # Errors
/// [`ConfigError`] names the tensor that is missing or does not fit.
pub fn config_of(file: &Checkpoint) -> Result<FluxConfig, ConfigError> {
    let fields = Fields::new(MODEL, Map::new());
    let shape = |name: &'static str, axis: usize| match file.get(name) {
        Some((_, shape)) if axis < shape.len() => Ok(shape[axis]),
        _ => Err(fields.error(name, format!("a tensor of more than {axis} axes"))),
    };
    let count = |prefix: &str| {
        (0..)
            .take_while(|index| file.contains(&format!("{prefix}.{index}.attn.norm_q.weight")))
            .count()
    };
    let head_dim = shape("transformer_blocks.0.attn.norm_q.weight", 0)?;
    let rotary = rotary_of_index(head_dim);
    let sizes = [
        ("in_channels", shape("x_embedder.weight", 1)?),
        ("out_channels", shape("proj_out.weight", 0)?),
        ("num_layers", count("transformer_blocks")),
        ("num_single_layers", count("single_transformer_blocks")),
        ("attention_head_dim", head_dim),
        (
            "num_attention_heads",
            shape("x_embedder.weight", 0)? / head_dim.max(1),
        ),
        ("joint_attention_dim", shape("context_embedder.weight", 1)?),
        (
            "pooled_projection_dim",
            shape("time_text_embed.text_embedder.linear_1.weight", 1)?,
        ),
    ];
    let guidance = file.contains("time_text_embed.guidance_embedder.linear_1.weight");
    let axes = vec![rotary, (head_dim - rotary) / 2, (head_dim - rotary) / 2];
    let fields = sizes
        .into_iter()
        .fold(fields.clone(), |fields, (name, size)| {
            fields.with(name, size)
        })
        .with("guidance_embeds", guidance)
        .with("axes_dims_rope", axes);
    FluxConfig::from_fields(&fields)
}
