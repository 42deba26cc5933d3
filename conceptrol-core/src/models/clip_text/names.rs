//! The names in which single files hold text encoders: those of transformers below a prefix, or those of `OpenCLIP`.

use crate::models::weights::{Checkpoint, KeyRule, WeightError};

/// Prefixes of a text encoder in files that hold other models as well. The order is that of the parts of a file: one that
/// holds several encoders is cut before.
const PREFIXES: &[&str] = &[
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "cond_stage_model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.0.model.",
    "conditioner.embedders.1.model.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.",
    "transformer.",
    "model.",
];
/// Scope that transformers puts the model into, and old single files do not.
const SCOPE: &str = "text_model";
/// A tensor that each file under the names of transformers has, without that scope.
const MARK: &str = "embeddings.token_embedding.weight";
/// A tensor that each file under the names of transformers has.
const OWN_MARK: &str = "text_model.embeddings.token_embedding.weight";
/// A tensor that each file under the names of `OpenCLIP` has.
const OPEN_CLIP_MARK: &str = "transformer.resblocks.0.ln_1.weight";

/// From `OpenCLIP` to transformers: one matrix makes queries, keys and values; the projection is multiplied from the left.
const OPEN_CLIP: &[KeyRule<'static>] = &[
    KeyRule::rename(
        "positional_embedding",
        "text_model.embeddings.position_embedding.weight",
    ),
    KeyRule::rename("token_embedding", "text_model.embeddings.token_embedding"),
    KeyRule::rename("ln_final", "text_model.final_layer_norm"),
    KeyRule::transposed("text_projection", "text_projection.weight"),
    KeyRule::rename(
        "transformer.resblocks.{}.ln_1",
        "text_model.encoder.layers.{}.layer_norm1",
    ),
    KeyRule::rename(
        "transformer.resblocks.{}.ln_2",
        "text_model.encoder.layers.{}.layer_norm2",
    ),
    KeyRule::rename(
        "transformer.resblocks.{}.mlp.c_fc",
        "text_model.encoder.layers.{}.mlp.fc1",
    ),
    KeyRule::rename(
        "transformer.resblocks.{}.mlp.c_proj",
        "text_model.encoder.layers.{}.mlp.fc2",
    ),
    KeyRule::rename(
        "transformer.resblocks.{}.attn.out_proj",
        "text_model.encoder.layers.{}.self_attn.out_proj",
    ),
    KeyRule::rows(
        "transformer.resblocks.{}.attn.in_proj_weight",
        &[
            ("text_model.encoder.layers.{}.self_attn.q_proj.weight", 1),
            ("text_model.encoder.layers.{}.self_attn.k_proj.weight", 1),
            ("text_model.encoder.layers.{}.self_attn.v_proj.weight", 1),
        ],
    ),
    KeyRule::rows(
        "transformer.resblocks.{}.attn.in_proj_bias",
        &[
            ("text_model.encoder.layers.{}.self_attn.q_proj.bias", 1),
            ("text_model.encoder.layers.{}.self_attn.k_proj.bias", 1),
            ("text_model.encoder.layers.{}.self_attn.v_proj.bias", 1),
        ],
    ),
];

/// The tensors of a file under the names that [`ClipTextModel`](super::ClipTextModel) asks for, be they those of transformers
/// or of `OpenCLIP`, with or without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if a fused tensor cannot be cut.
pub fn own_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    if file.contains(OWN_MARK) {
        return Ok(file.clone());
    }
    if file.contains(OPEN_CLIP_MARK) {
        return file.map(OPEN_CLIP);
    }
    let file = file.below(PREFIXES, &[OWN_MARK, OPEN_CLIP_MARK, MARK]);
    if file.contains(OPEN_CLIP_MARK) {
        return file.map(OPEN_CLIP);
    }
    if file.contains(OWN_MARK) || !file.contains(MARK) {
        return Ok(file);
    }
    Ok(file.rename(|name| {
        let bare = name.starts_with("text_projection") || name == "logit_scale";
        Some(if bare {
            name.to_owned()
        } else {
            format!("{SCOPE}.{name}")
        })
    }))
}

/// The tensors of a file under the names of `OpenCLIP`, as SDXL's single files have its second encoder.
///
/// # Errors
///
/// [`WeightError::Map`] if queries, keys and values cannot be put into one matrix.
pub fn open_clip_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    own_names(file)?.unmap(OPEN_CLIP)
}
