//! The models this workspace can build.

use burn::tensor::Device;
use conceptrol_core::models::clip_vision::{ClipVisionConfig, ClipVisionModel};
use conceptrol_core::models::siglip_vision::{SiglipVisionConfig, SiglipVisionModel};
use conceptrol_core::models::t5::{T5Config, T5Encoder};
use conceptrol_core::{
    AttentionSites,
    models::{
        autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig},
        clip_text::{ClipTextConfig, ClipTextModel},
        weights::Weights,
    },
};
use conceptrol_flux::{
    FluxConfig,
    adapter::{ImageProjection, IpAdapterLayout, IpAdapterSites},
    mmdit::FluxTransformer,
    redux::ReduxEmbedder,
};
use conceptrol_sd::{
    adapter::{AdapterKind, IpAdapterWeights},
    config::{ControlNetConfig, UNetConfig},
    controlnet::ControlNetModel,
    unet::UNet2DConditionModel,
};

/// A model with everything its construction needs.
#[derive(Debug)]
pub(crate) enum Model {
    Unet(UNetConfig),
    ControlNet(Box<ControlNetConfig>),
    Autoencoder(AutoencoderKlConfig),
    ClipText(ClipTextConfig),
    ClipVision(ClipVisionConfig),
    T5(T5Config),
    Flux(FluxConfig),
    IpAdapter(AdapterKind, AttentionSites),
    FluxIpAdapter(IpAdapterLayout, FluxConfig),
    /// Width of the picture's states, width of the text.
    Redux(usize, usize),
    SiglipVision(SiglipVisionConfig),
}

impl Model {
    /// Asks `weights` for every tensor of the model. The model itself is not wanted.
    pub(crate) fn ask(&self, weights: &Weights) {
        match self {
            Self::Unet(config) => drop(UNet2DConditionModel::new(config, weights)),
            Self::ControlNet(config) => drop(ControlNetModel::new(config, weights)),
            Self::Autoencoder(config) => drop(AutoencoderKl::new(config, weights)),
            Self::ClipText(config) => drop(ClipTextModel::new(config, weights)),
            Self::ClipVision(config) => drop(ClipVisionModel::new(config, weights)),
            Self::T5(config) => drop(T5Encoder::new(config, weights)),
            Self::Flux(config) => drop(FluxTransformer::new(config, weights)),
            Self::Redux(redux_dim, text_dim) => {
                drop(ReduxEmbedder::new(*redux_dim, *text_dim, weights));
            }
            Self::FluxIpAdapter(layout, config) => {
                drop(ImageProjection::new(layout, weights));
                drop(IpAdapterSites::new(layout, config, weights));
            }
            Self::SiglipVision(config) => drop(SiglipVisionModel::new(config, weights)),
            Self::IpAdapter(kind, sites) => {
                drop(IpAdapterWeights::new(kind.clone(), sites, weights));
            }
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Unet(config) => match (config.context_dim, config.linear_projection) {
                (768, false) => "U-Net of Stable Diffusion 1.x".to_owned(),
                (2048, _) if config.added.is_some() => "U-Net of Stable Diffusion XL".to_owned(),
                (width, _) => format!("U-Net for text states of width {width}"),
            },
            Self::ControlNet(config) => {
                format!(
                    "ControlNet for text states of width {}",
                    config.encoder.context_dim
                )
            }
            Self::Autoencoder(config) => {
                format!(
                    "autoencoder with {} latent channels",
                    config.latent_channels
                )
            }
            Self::ClipText(config) => format!(
                "CLIP text encoder, {} layers of width {}",
                config.encoder.num_hidden_layers, config.encoder.hidden_size
            ),
            Self::ClipVision(config) => format!(
                "CLIP vision encoder, {} layers of width {}",
                config.encoder.num_hidden_layers, config.encoder.hidden_size
            ),
            Self::T5(config) => {
                format!(
                    "T5 encoder, {} layers of width {}",
                    config.num_layers, config.d_model
                )
            }
            Self::Flux(config) => format!(
                "FLUX transformer{}, {} double and {} single blocks, {} guidance input",
                match config.guidance_embeds && !config.reads_region() {
                    true => " (dev or Kontext, which have the same tensors)",
                    false => "",
                },
                config.num_layers,
                config.num_single_layers,
                if config.guidance_embeds {
                    "with"
                } else {
                    "without"
                }
            ),
            Self::Redux(redux_dim, text_dim) => format!(
                "FLUX Redux, from picture states of width {redux_dim} to text of width {text_dim}"
            ),
            Self::FluxIpAdapter(layout, _) => format!(
                "IP-Adapter of {} for FLUX, {} tokens a picture, {} blocks; its image encoder is {}",
                layout.kind.name(),
                layout.tokens,
                layout.blocks,
                layout.kind.encoder()
            ),
            Self::SiglipVision(config) => format!(
                "SigLIP vision encoder, {} layers of width {}",
                config.encoder.num_hidden_layers, config.encoder.hidden_size
            ),
            Self::IpAdapter(kind, _) => {
                let kind_name = match kind {
                    AdapterKind::Base { .. } => "base",
                    AdapterKind::Plus(_) => "plus",
                    AdapterKind::Full { .. } => "full",
                    AdapterKind::Face(config) => match (&config.perceiver, config.shortcut) {
                        (None, _) => "faceid",
                        (Some(_), false) => "faceid-plus",
                        (Some(_), true) => "faceid-plusv2",
                    },
                    _ => "other",
                };
                format!(
                    "IP-Adapter ({kind_name}) for text states of width {}",
                    kind.output_dim()
                )
            }
        }
    }
}

/// A device to name tensors on; nothing is put on it.
pub(crate) fn device() -> Device {
    Device::flex()
}
