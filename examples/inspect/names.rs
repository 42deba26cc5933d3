//! The conventions in which the tensors of a model are named, and the model's own names for them.

use conceptrol_core::models::{
    autoencoder_kl, clip_text, t5,
    weights::{Checkpoint, WeightError},
};
use conceptrol_flux::load::transformer_checkpoint;
use conceptrol_sd::{config::ControlNetConfig, controlnet, published::Published, unet};

/// Names that are not those of diffusers or transformers, and how to get from them to these.
type Convention = (
    &'static str,
    fn(&Checkpoint) -> Result<Checkpoint, WeightError>,
);

const CONVENTIONS: [Convention; 6] = [
    ("the original ControlNet", net_names),
    ("the original FLUX (BFL)", transformer_checkpoint),
    ("LDM / SGM", unet_names),
    ("LDM / SGM", autoencoder_kl::own_names),
    ("OpenCLIP or below a prefix", clip_text::own_names),
    ("llama.cpp or below a prefix", t5::own_names),
];

/// The checkpoint under the names that models ask for, and the convention it has if it is another.
pub(crate) fn own_names(
    file: &Checkpoint,
) -> Result<(Checkpoint, Option<&'static str>), WeightError> {
    for (convention, rename) in CONVENTIONS {
        let own = rename(file)?;
        let same =
            own.len() == file.len() && own.tensors().all(|tensor| file.contains(&tensor.name));
        if !same {
            return Ok((own, Some(convention)));
        }
    }
    Ok((file.clone(), None))
}

/// Those of a `ControlNet` of a published model.
fn net_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let below = file.below(&["control_model."], &["input_hint_block.0.weight"]);
    match Published::of_unet(&below) {
        Ok(published) if below.contains("input_hint_block.0.weight") => {
            let config = ControlNetConfig::for_unet(published.unet());
            controlnet::own_names(&config, &below)
        }
        _ => Ok(file.clone()),
    }
}

/// Those of a UNet of a published model; others have to be beside their configuration.
fn unet_names(file: &Checkpoint) -> Result<Checkpoint, WeightError> {
    let below = file.below(
        &["model.diffusion_model.", "diffusion_model."],
        &["input_blocks.0.0.weight"],
    );
    match Published::of_unet(&below) {
        Ok(published) => unet::own_names(&published.unet(), &below),
        Err(_) => Ok(file.clone()),
    }
}
