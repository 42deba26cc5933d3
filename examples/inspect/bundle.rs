//! Files that hold several models.

use conceptrol_core::models::weights::Checkpoint;

/// What single files call their parts, and what a part of that name is.
const PARTS: [(&str, &str); 11] = [
    ("model.diffusion_model.", "denoiser"),
    ("first_stage_model.", "autoencoder"),
    ("vae.", "autoencoder"),
    ("cond_stage_model.", "text encoder"),
    ("conditioner.embedders.0.", "text encoder"),
    ("conditioner.embedders.1.", "second text encoder"),
    ("text_encoders.clip_l.", "text encoder"),
    ("text_encoders.clip_g.", "second text encoder"),
    ("text_encoders.t5xxl.", "second text encoder"),
    ("model_ema.", "averages of training, not used"),
    ("state_dict.", "all of it"),
];

/// The models of a file that holds several, each below its prefix, with what it is; nothing for a file of one model.
pub(crate) fn parts(file: &Checkpoint) -> Vec<(&'static str, &'static str, Checkpoint)> {
    let file = match file.has_below("state_dict.") {
        true => file.strip_prefix("state_dict."),
        false => file.clone(),
    };
    let here = PARTS.iter().filter(|(prefix, _)| file.has_below(prefix));
    let parts = here.map(|(prefix, what)| (*prefix, *what, file.strip_prefix(prefix)));
    let parts: Vec<_> = parts.collect();
    match parts.len() {
        0 | 1 => Vec::new(),
        _ => parts,
    }
}

/// Floating point tensors of such a file that are in none of its parts.
pub(crate) fn outside(file: &Checkpoint) -> Vec<String> {
    let others = file.tensors().filter(|tensor| {
        let inside = PARTS
            .iter()
            .any(|(prefix, _)| tensor.name.starts_with(prefix));
        tensor.dtype.is_float() && !inside
    });
    others.map(|tensor| tensor.name).collect()
}
