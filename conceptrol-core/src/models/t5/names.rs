//! The names in which files hold T5 beside those of transformers.

use crate::models::weights::{Checkpoint, KeyRule, WeightError};

/// Prefixes of a T5 in files that hold other models as well.
const PREFIXES: &[&str] = &[
    "text_encoders.t5xxl.transformer.",
    "text_encoders.t5xxl.",
    "t5xxl.transformer.",
];
/// A tensor that each file under the names of transformers has.
const OWN_MARK: &str = "encoder.block.0.layer.0.SelfAttention.q.weight";
/// A tensor that each file under the names of llama.cpp has.
const GGUF_MARK: &str = "enc.blk.0.attn_q.weight";

/// From the names of llama.cpp, which GGUF files have.
const GGUF: &[KeyRule<'static>] = &[
    KeyRule::rename("token_embd", "shared"),
    KeyRule::rename("enc.output_norm", "encoder.final_layer_norm"),
    KeyRule::rename(
        "enc.blk.{}.attn_q",
        "encoder.block.{}.layer.0.SelfAttention.q",
    ),
    KeyRule::rename(
        "enc.blk.{}.attn_k",
        "encoder.block.{}.layer.0.SelfAttention.k",
    ),
    KeyRule::rename(
        "enc.blk.{}.attn_v",
        "encoder.block.{}.layer.0.SelfAttention.v",
    ),
    KeyRule::rename(
        "enc.blk.{}.attn_o",
        "encoder.block.{}.layer.0.SelfAttention.o",
    ),
    KeyRule::rename(
        "enc.blk.{}.attn_norm",
        "encoder.block.{}.layer.0.layer_norm",
    ),
    KeyRule::rename(
        "enc.blk.{}.attn_rel_b",
        "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias",
    ),
    KeyRule::rename(
        "enc.blk.{}.ffn_gate",
        "encoder.block.{}.layer.1.DenseReluDense.wi_0",
    ),
    KeyRule::rename(
        "enc.blk.{}.ffn_up",
        "encoder.block.{}.layer.1.DenseReluDense.wi_1",
    ),
    KeyRule::rename(
        "enc.blk.{}.ffn_down",
        "encoder.block.{}.layer.1.DenseReluDense.wo",
    ),
    KeyRule::rename("enc.blk.{}.ffn_norm", "encoder.block.{}.layer.1.layer_norm"),
    KeyRule::drop("dec"),
    KeyRule::drop("output"),
];

/// The tensors of a file under the names that [`T5Encoder`](super::T5Encoder) asks for, be they those of transformers or of
/// llama.cpp, with or without a prefix.
///
/// # Errors
///
/// [`WeightError::Map`] if two tensors get the same name.
pub fn own_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let file = file.below(PREFIXES, &[OWN_MARK]);
    match file.contains(GGUF_MARK) {
        true => file.map(GGUF),
        false => Ok(file),
    }
}
