//! Names that diffusers gave the layers of its attention processors, before it used peft.

/// The layer a processor kept for a projection: `attn1.processor.to_q_lora`.
pub(super) fn processor_name(module: &str) -> Option<String> {
    let module = module.strip_suffix(".0").unwrap_or(module);
    let (attention, projection) = module.rsplit_once('.')?;
    let is_attention = attention.ends_with(".attn1") || attention.ends_with(".attn2");
    let is_projection = ["to_q", "to_k", "to_v", "to_out"].contains(&projection);
    (is_attention && is_projection).then(|| format!("{attention}.processor.{projection}_lora"))
}
