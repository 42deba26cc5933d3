//! The models a low-rank adapter may change.

use burn::tensor::Device;
use conceptrol_core::models::{
    clip_text::{ClipTextConfig, ClipTextModel},
    lora::{LoraTarget, Part},
};

use super::{processors::processor_name, sgm::SgmNames};
use crate::{config::UNetConfig, unet::UNet2DConditionModel};

/// The UNet, under diffusers' names, those of the original repositories and those of attention processors.
pub fn unet_target(config: &UNetConfig, device: &Device) -> LoraTarget {
    let sgm = SgmNames::new(config);
    let unet = |w: &_| drop(UNet2DConditionModel::new(config, w));
    LoraTarget::new(Part::Denoiser, "unet", device, unet)
        .names("SGM", move |module| sgm.of(module))
        .names("attention processors", processor_name)
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
