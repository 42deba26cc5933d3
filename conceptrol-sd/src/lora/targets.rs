//! The models a low-rank adapter may change.

use burn::tensor::Device;
use conceptrol_core::models::{
    clip_text::{ClipTextConfig, ClipTextModel},
    lora::{LoraTarget, Part},
};

use super::processors::processor_name;
use crate::{
    config::UNetConfig,
    unet::{UNet2DConditionModel, original_modules},
};

/// The UNet, under diffusers' names, those of the original repositories and those of attention processors.
pub fn unet_target(config: &UNetConfig, device: &Device) -> LoraTarget {
    let modules = original_modules(config);
    let unet = |w: &_| drop(UNet2DConditionModel::new(config, w));
    LoraTarget::new(Part::Denoiser, "unet", device, unet)
        .names("SGM", |module| original_name(&modules, module))
        .names("attention processors", processor_name)
}

/// What a module is called in the original repositories, by the table of [`original_modules`].
///
/// ```
/// use conceptrol_sd::{config::UNetConfig, lora::original_name, unet::original_modules};
///
/// let modules = original_modules(&UNetConfig::sdxl());
/// let name = original_name(&modules, "down_blocks.1.attentions.0.proj_in");
/// assert_eq!(name.as_deref(), Some("input_blocks.4.1.proj_in"));
/// ```
pub fn original_name(modules: &[(String, String)], module: &str) -> Option<String> {
    let renamed = |(original, own): &(String, String)| {
        let rest = module.strip_prefix(own.as_str())?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{original}{rest}"))
    };
    modules.iter().find_map(renamed)
}

/// A text encoder: the first, or the second of SDXL.
pub fn text_target(config: &ClipTextConfig, second: bool, device: &Device) -> LoraTarget {
    let (part, folder) = match second {
        false => (Part::ClipL, "text_encoder"),
        true => (Part::ClipG, "text_encoder_2"),
    };
    LoraTarget::new(part, folder, device, |w| {
        drop(ClipTextModel::new(config, w))
    })
}
