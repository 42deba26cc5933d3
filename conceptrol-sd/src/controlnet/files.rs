//! Opening a `ControlNet`: a folder of diffusers, or a file.

use std::path::{Path, PathBuf};

use conceptrol_core::{
    models::weights::{Checkpoint, WeightError},
    pipeline::{LoadOptions, PipelineError},
};

use super::{
    ControlNetError, ControlNetModel, PictureEmbedding,
    model::skip_channels,
    names::{alone, own_names},
};
use crate::{
    config::{ControlNetConfig, UNetConfig},
    published::Published,
};

/// What other kinds of control have in their files, and what they are. Their `config.json` may well say `ControlNetModel`.
const OTHERS: [(&str, &str); 9] = [
    ("task_embedding", UNION),
    ("control_add_embedding.", UNION),
    ("transformer_layes.", UNION),
    ("lora_controlnet", "a low-rank Control-LoRA"),
    ("lllite_", "a ControlNet-LLLite"),
    ("adapter.", T2I),
    ("body.", T2I),
    ("controlnet_x_embedder.", "a ControlNet of a transformer"),
    ("controlnet_blocks.", "a ControlNet of a transformer"),
];
const UNION: &str = "a union ControlNet of several kinds of control";
const T2I: &str = "a T2I-Adapter";
/// How people name what has no file.
const REFERENCE_ONLY: [&str; 3] = ["reference_only", "reference_adain", "reference"];

/// The files of a `ControlNet`, compared with the UNet it is to control. Weights are read when they are needed.
#[derive(Debug, Clone)]
pub struct ControlNetFiles {
    path: PathBuf,
    config: ControlNetConfig,
    checkpoint: Checkpoint,
    bytes: u64,
}

impl ControlNetFiles {
    /// Opens a folder with `config.json` and weights, or a file under the names of diffusers or the original ones
    /// (`control_model.`). A file's configuration lies beside it or is that of the published models.
    ///
    /// # Errors
    ///
    /// [`ControlNetError`] for other kinds of control and `ControlNets` of other models, and files that cannot be read.
    pub fn open<X>(
        path: &Path,
        unet: &UNetConfig,
        latent_channels: usize,
        options: &LoadOptions<X>,
    ) -> Result<Self, PipelineError> {
        refuse_reference_only(path)?;
        let config = path.is_dir().then(|| path.join("config.json"));
        let config = config.or_else(|| Some(path.with_file_name("config.json")));
        let config = config.filter(|file| path.is_dir() || file.exists());
        // what a configuration says of its class is said before a folder without the usual names
        let config = config.map(ControlNetConfig::from_file).transpose();
        let file = alone(&Checkpoint::open_as(path, options.files)?);
        if let Some((_, what)) = OTHERS.iter().find(|(mark, _)| file.has_below(mark)) {
            let path = path.to_owned();
            return Err(ControlNetError::Unsupported { path, what }.into());
        }
        let config = match config? {
            Some(config) => config,
            None => published(path, &file)?,
        };
        compare(path, &config, unet, latent_channels)?;
        let checkpoint = own_names(&config, &file)?;
        let bytes = options.check(checkpoint.clone(), options.dtype, |weights| {
            ControlNetModel::new(&config, weights)
        })?;
        Ok(Self {
            path: path.to_owned(),
            config,
            checkpoint,
            bytes,
        })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration.
    pub const fn config(&self) -> &ControlNetConfig {
        &self.config
    }

    /// Bytes of its weights in memory.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The model.
    ///
    /// # Errors
    ///
    /// A file that cannot be read any more.
    pub fn load<X>(&self, options: &LoadOptions<X>) -> Result<ControlNetModel, WeightError> {
        options.load(self.checkpoint.clone(), options.dtype, |weights| {
            ControlNetModel::new(&self.config, weights)
        })
    }

    /// What it makes of its picture alone: a few megabytes.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_embedding<X>(
        &self,
        options: &LoadOptions<X>,
    ) -> Result<PictureEmbedding, WeightError> {
        let part = |name: &str| name.starts_with("controlnet_cond_embedding.");
        let part = (self.checkpoint).rename(|name| part(name).then(|| name.to_owned()));
        options.load(part, options.dtype, |weights| {
            PictureEmbedding::new(&self.config, weights)
        })
    }
}

fn refuse_reference_only(path: &Path) -> Result<(), ControlNetError> {
    let name = path.to_string_lossy().replace('-', "_");
    if path.exists() || !REFERENCE_ONLY.contains(&name.as_str()) {
        return Ok(());
    }
    Err(ControlNetError::Unsupported {
        path: path.to_owned(),
        what: "reference-only control, which has no file",
    })
}

/// The configuration of a file by itself: what a published model was made from. Nothing in a file tells whether its net gives
/// one number a channel; its name does: `shuffle`, the only one of the published nets.
fn published(path: &Path, file: &Checkpoint) -> Result<ControlNetConfig, ControlNetError> {
    let published = Published::of_unet(file);
    let published = published.map_err(|width| ControlNetError::NoConfiguration {
        path: path.to_owned(),
        width,
    })?;
    let mut config = ControlNetConfig::for_unet(published.unet());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    config.global_pool = name.to_lowercase().contains("shuffle");
    Ok(config)
}

/// That its residuals fit the UNet, and that it reads what the UNet reads.
fn compare(
    path: &Path,
    config: &ControlNetConfig,
    unet: &UNetConfig,
    latent_channels: usize,
) -> Result<(), ControlNetError> {
    let expect = |axis: String, found: usize, expected: usize| match found == expected {
        true => Ok(()),
        false => Err(ControlNetError::WrongModel {
            path: path.to_owned(),
            axis,
            found,
            expected,
        }),
    };
    let own = &config.encoder;
    expect("text width".into(), own.context_dim, unet.context_dim)?;
    expect("latent channels".into(), own.in_channels, latent_channels)?;
    let pooled = |config: &UNetConfig| config.added.as_ref().map_or(0, |added| added.input_dim);
    let what = "width of pooled text and picture sizes".to_owned();
    expect(what, pooled(own), pooled(unet))?;
    let skips = skip_channels(&ControlNetConfig::for_unet(unet.clone()));
    let found = skip_channels(config);
    expect("skip connections".into(), found.len(), skips.len())?;
    for (index, (found, expected)) in found.into_iter().zip(skips).enumerate() {
        expect(
            format!("channels of skip connection {index}"),
            found,
            expected,
        )?;
    }
    let middle = |config: &UNetConfig| usize::from(config.mid.is_some());
    expect("blocks in the middle".into(), middle(own), middle(unet))
}
