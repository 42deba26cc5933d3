//! Low-rank adapters, compared with the modules of the models they may be for.

use std::path::Path;

use conceptrol_core::models::{
    clip_text::ClipTextConfig,
    lora::{LoraError, LoraFile, LoraSummary, LoraTargets},
    t5::T5Config,
    weights::Checkpoint,
};
use conceptrol_flux::{FluxConfig, load::lora_targets};
use conceptrol_sd::{
    config::UNetConfig,
    lora::{text_target, unet_target},
};

use crate::{
    identify::{Error, config_above},
    model::device,
    published,
};

/// What a low-rank adapter changes, and what of it does not fit.
#[derive(Debug)]
pub(crate) struct Lora {
    /// The family it is for.
    pub(crate) family: String,
    pub(crate) summary: LoraSummary,
    pub(crate) problems: Vec<LoraError>,
}

/// Compares a low-rank file with the models above it, or else with the published ones; nothing if it is none.
pub(crate) fn lora(file: &Checkpoint) -> Result<Option<Lora>, Error> {
    // FaceID has low-rank layers, too
    let is_ip_adapter = file.contains("ip_adapter.1.to_k_ip.weight");
    if is_ip_adapter || !LoraFile::is_one(file) {
        return Ok(None);
    }
    let file = LoraFile::of(file.clone())?;
    let compared = models(file.path())?.into_iter().map(|(family, targets)| {
        let (summary, problems) = file.problems(&targets);
        Lora {
            family,
            summary,
            problems,
        }
    });
    // the model that most layers are of; of several the one with the fewest problems
    Ok(compared.max_by_key(|lora| {
        let problems = std::cmp::Reverse(lora.problems.len());
        (lora.summary.total(), problems)
    }))
}

/// The families a file may be for, with their modules.
fn models(file: &Path) -> Result<Vec<(String, LoraTargets)>, Error> {
    if let Some(path) = config_above(file, "transformer") {
        let clip = text_above(file, "text_encoder")?;
        let clip = clip.unwrap_or_else(published::clip_l);
        let t5 = config_above(file, "text_encoder_2").map(T5Config::from_file);
        let t5 = t5.transpose()?.unwrap_or_else(T5Config::xxl);
        let targets = lora_targets(&FluxConfig::from_file(path)?, &clip, &t5, &device());
        return Ok(vec![("FLUX".into(), targets)]);
    }
    if let Some(path) = config_above(file, "unet") {
        let clip = text_above(file, "text_encoder")?;
        let clip = clip.unwrap_or_else(published::clip_l);
        let second = text_above(file, "text_encoder_2")?;
        let targets = stable_diffusion(&UNetConfig::from_file(path)?, &clip, second.as_ref());
        return Ok(vec![("Stable Diffusion".into(), targets)]);
    }
    let (clip, second) = (published::clip_l(), published::clip_g());
    let flux = lora_targets(&FluxConfig::dev(), &clip, &T5Config::xxl(), &device());
    Ok(vec![
        (
            "Stable Diffusion 1.x".into(),
            stable_diffusion(&UNetConfig::sd15(), &clip, None),
        ),
        (
            "Stable Diffusion XL".into(),
            stable_diffusion(&UNetConfig::sdxl(), &clip, Some(&second)),
        ),
        ("FLUX".into(), flux),
    ])
}

fn text_above(file: &Path, folder: &str) -> Result<Option<ClipTextConfig>, Error> {
    let config = config_above(file, folder).map(ClipTextConfig::from_file);
    Ok(config.transpose()?)
}

fn stable_diffusion(
    unet: &UNetConfig,
    clip: &ClipTextConfig,
    second: Option<&ClipTextConfig>,
) -> LoraTargets {
    let mut targets = vec![
        unet_target(unet, &device()),
        text_target(clip, false, &device()),
    ];
    targets.extend(second.map(|config| text_target(config, true, &device())));
    LoraTargets::new(targets)
}
