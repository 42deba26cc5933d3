//! From a checkpoint to the model it should be.

use std::path::{Path, PathBuf};

use conceptrol_core::models::clip_vision::ClipVisionConfig;
use conceptrol_core::models::siglip_vision::SiglipVisionConfig;
use conceptrol_core::models::t5::T5Config;
use conceptrol_core::models::{
    autoencoder_kl::AutoencoderKlConfig,
    clip_text::ClipTextConfig,
    config::Fields,
    weights::{Checkpoint, Weights},
};
use conceptrol_flux::{
    FluxConfig,
    adapter::{IpAdapterLayout as FluxIpAdapterLayout, other_kind},
    load,
};
use conceptrol_sd::{
    adapter::IpAdapterLayout,
    config::{ControlNetConfig, UNetConfig},
    sites::attention_sites,
};

use crate::{
    find::beside,
    model::{Model, device},
    names::own_names,
    published,
};

/// A failure that is told and not handled.
pub(crate) type Error = Box<dyn std::error::Error>;

/// What a checkpoint turned out to be.
pub(crate) enum Identity {
    /// A model, the checkpoint under the names that model uses, and the convention of the file if it has others.
    Known(Box<Model>, Checkpoint, Option<&'static str>),
    /// Something that cannot be compared, in words.
    Unknown(String),
}

/// Finds the model by the configuration beside the file, or else by the tensors in it.
pub(crate) fn identify(file: &Checkpoint) -> Result<Identity, Error> {
    let (file, convention) = own_names(file)?;
    if let Some(path) = beside(&file, "config.json")
        && let Some(model) = by_config(&path)?
    {
        return Ok(Identity::Known(Box::new(model), file, convention));
    }
    if let Some((_, [inner, redux_dim])) = file.get("redux_up.weight") {
        let redux = Model::Redux(*redux_dim, inner / 3);
        return Ok(Identity::Known(Box::new(redux), file, convention));
    }
    if let Some(layout) = FluxIpAdapterLayout::of(&file)? {
        let config = match config_above(file.path(), "transformer") {
            Some(path) => FluxConfig::from_file(path)?,
            None => FluxConfig::dev(),
        };
        let model = Model::FluxIpAdapter(layout, config);
        return Ok(Identity::Known(Box::new(model), file, convention));
    }
    if file.contains("ip_adapter.1.to_k_ip.weight") {
        return adapter(file);
    }
    let model = if file.contains("transformer_blocks.0.attn.add_q_proj.weight") {
        Some(Model::Flux(load::config_of(&file)?))
    } else {
        closest(&file)
    };
    Ok(match model {
        Some(model) => Identity::Known(Box::new(model), file, convention),
        None => Identity::Unknown(match other_kind(&file) {
            Some(kind) => format!("{kind}, which is not built here"),
            None => "no published model, and no config.json that says which".to_owned(),
        }),
    })
}

/// The model of the class that `config.json` names.
fn by_config(path: &Path) -> Result<Option<Model>, Error> {
    let fields = Fields::open("model", path)?;
    let architectures = fields.value("architectures");
    let class = match fields.optional_text("_class_name")? {
        None => architectures.and_then(|names| names.get(0)?.as_str()),
        class => class,
    };
    Ok(Some(match class {
        Some("UNet2DConditionModel") => Model::Unet(UNetConfig::from_file(path)?),
        Some("ControlNetModel") => Model::ControlNet(Box::new(ControlNetConfig::from_file(path)?)),
        Some("AutoencoderKL") => Model::Autoencoder(AutoencoderKlConfig::from_file(path)?),
        Some("CLIPTextModel" | "CLIPTextModelWithProjection") => {
            Model::ClipText(ClipTextConfig::from_file(path)?)
        }
        Some("CLIPVisionModel" | "CLIPVisionModelWithProjection") => {
            Model::ClipVision(ClipVisionConfig::from_file(path)?)
        }
        // both towers; an IP-Adapter wants the one for pictures
        Some("CLIPModel") => Model::ClipVision(ClipVisionConfig::from_file(path)?),
        Some("SiglipVisionModel" | "SiglipModel") => {
            Model::SiglipVision(SiglipVisionConfig::from_file(path)?)
        }
        Some("T5EncoderModel" | "T5Model" | "T5ForConditionalGeneration") => {
            Model::T5(T5Config::from_file(path)?)
        }
        Some("FluxTransformer2DModel") => Model::Flux(FluxConfig::from_file(path)?),
        _ => return Ok(None),
    }))
}

/// An adapter, for the U-Net it lies beside or else the published one of its width.
fn adapter(file: Checkpoint) -> Result<Identity, Error> {
    let layout = IpAdapterLayout::of(&file)?;
    let width = layout.kind.output_dim();
    let unet = match config_above(file.path(), "unet") {
        Some(path) => Some(UNetConfig::from_file(path)?),
        None => [UNetConfig::sd15(), UNetConfig::sdxl()]
            .into_iter()
            .find(|unet| unet.context_dim == width),
    };
    Ok(match unet {
        Some(unet) => {
            let sites = attention_sites(&unet);
            Identity::Known(Box::new(Model::IpAdapter(layout.kind, sites)), file, None)
        }
        None => Identity::Unknown(format!(
            "IP-Adapter for a U-Net of width {width} that is not here"
        )),
    })
}

/// `part/config.json` in one of the folders above, as in a pipeline's folder.
pub(crate) fn config_above(file: &Path, part: &str) -> Option<PathBuf> {
    file.ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join(part).join("config.json"))
        .find(|path| path.is_file())
}

/// The published model most of whose tensors are there.
fn closest(file: &Checkpoint) -> Option<Model> {
    let scored = published::models()
        .into_iter()
        .map(|model| (matched(&model, file), model));
    let (matched, model) = scored.max_by_key(|(matched, _)| *matched)?;
    (matched * 2 > file.len()).then_some(model)
}

/// How many tensors the file has as the model wants them, less those it lacks.
fn matched(model: &Model, file: &Checkpoint) -> usize {
    let names = Weights::names(&device());
    model.ask(&names);
    let wanted = names.finish().unwrap_or_default();
    let found = wanted.iter().filter(|tensor| {
        file.get(&tensor.name)
            .is_some_and(|(_, shape)| shape == tensor.shape)
    });
    let found = found.count();
    found.saturating_sub(wanted.len() - found)
}
