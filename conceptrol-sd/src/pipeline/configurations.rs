//! What the files of a model say of its parts, or the published model that a single file is.

use conceptrol_core::{
    models::{autoencoder_kl::AutoencoderKlConfig, scheduler::SchedulerConfig},
    pipeline::{Layout, ModelFiles, ModelIndex, Part, PipelineError, checked_scheduler},
};

use crate::{config::UNetConfig, published::Published, text::TextParts};

pub(super) const FAMILY: &str = "Stable Diffusion";
/// Classes of the pipelines that are read. Those that start from a picture or edit one have the same parts.
const CLASSES: [&str; 8] = [
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionXLInpaintPipeline",
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionXLInstructPix2PixPipeline",
];

/// Single files of Stable Diffusion 1.x and XL.
pub(super) const LAYOUT: Layout = Layout {
    family: FAMILY,
    parts: &[
        Part {
            name: "unet",
            prefixes: &["model.diffusion_model."],
        },
        Part {
            name: "vae",
            prefixes: &["first_stage_model."],
        },
        Part {
            name: "text_encoder",
            prefixes: &["cond_stage_model.", "conditioner.embedders.0."],
        },
        Part {
            name: "text_encoder_2",
            prefixes: &["conditioner.embedders.1."],
        },
    ],
    left: &[
        "model_ema.",
        // the schedule
        "betas",
        "alphas_cumprod",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_",
        "logvar",
        "scale_factor",
        "denoiser.sigmas",
        // what trainers keep
        "optimizer_states.",
        "callbacks.",
        "lr_schedulers.",
        "loops.",
    ],
};

/// The configurations of all parts.
pub(super) struct Configurations {
    pub(super) unet: UNetConfig,
    pub(super) vae: AutoencoderKlConfig,
    pub(super) text: TextParts,
    pub(super) scheduler: SchedulerConfig,
    /// Whether an absent negative prompt of SDXL is zeros.
    pub(super) force_zeros: bool,
}

impl Configurations {
    pub(super) fn read(files: &ModelFiles) -> Result<Self, PipelineError> {
        let file = |name: &str| files.configuration(name);
        let index = file("model_index.json")
            .map(|path| ModelIndex::open(&path, &CLASSES))
            .transpose()?;
        // looked for only where a configuration is missing
        let published = || published(files);
        let unet = match file("unet/config.json") {
            // the model's own, for another UNet
            Some(path) if files.is_bare("unet") && path.starts_with(files.path()) => {
                with_own_input(UNetConfig::from_file(path)?, files)?
            }
            Some(path) => UNetConfig::from_file(path)?,
            None => with_own_input(published()?.unet(), files)?,
        };
        let vae = match file("vae/config.json") {
            Some(path) => AutoencoderKlConfig::from_file(path)?,
            None => published()?.vae(),
        };
        let scheduler = match file("scheduler/scheduler_config.json") {
            Some(path) => checked_scheduler(SchedulerConfig::open(&path)?)?,
            None => published()?.scheduler(),
        };
        let of_file = files.whole().and_then(|_| published().ok());
        Ok(Self {
            unet,
            vae,
            text: TextParts::open(files, of_file)?,
            scheduler,
            force_zeros: index.is_none_or(|index| index.force_zeros_for_empty_prompt),
        })
    }
}

/// The configuration of a UNet with the input that the file of this one has: one that repaints or edits reads more.
fn with_own_input(mut config: UNetConfig, files: &ModelFiles) -> Result<UNetConfig, PipelineError> {
    let unet = files.headers("unet")?;
    let mut first = ["input_blocks.0.0.weight", "conv_in.weight"].into_iter();
    if let Some((_, [_, channels, ..])) = first.find_map(|name| unet.get(name)) {
        config.in_channels = *channels;
    }
    Ok(config)
}

/// The published model that a single file is, whatever replaces its UNet.
pub(super) fn published(files: &ModelFiles) -> Result<Published, PipelineError> {
    let unet = files.replaced("unet")?;
    Published::of_unet(&unet).map_err(|width| PipelineError::Unsupported {
        family: FAMILY,
        what: match width {
            Some(width) => format!(
                "published model for text of width {width}: give a folder of configurations"
            ),
            None => "UNet in this file: no model.diffusion_model.input_blocks".to_owned(),
        },
    })
}
