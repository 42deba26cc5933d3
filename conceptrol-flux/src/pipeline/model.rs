//! Opening a FLUX folder with its adapters.

use std::{path::Path, sync::Arc};

use burn::tensor::FloatDType;
use conceptrol_core::{
    SiteSelector,
    mask::ConceptBlock,
    models::{
        autoencoder_kl::{self, AutoencoderKl, AutoencoderKlConfig},
        clip_text::{self, ClipTextConfig, ClipTextModel},
        lora::{self, Deltas},
        noise::NoiseDtype,
        scheduler::SchedulerConfig,
        t5::{self, T5Config, T5Encoder},
        tokenizer::{ClipTokenizer, T5Tokenizer},
        weights::{Checkpoint, Keep, Weights},
    },
    pipeline::{
        Footprint, Frame, Gating, ImageSize, InputKind, Layout, LoadOptions, Loras, ModelFiles,
        ModelIndex, Part, PipelineError, Profile, Residency, Slot, checked_scheduler,
        concept_block_of, decoding_bytes, kept_bytes, product, size_of, weight_bytes,
    },
};

use crate::config::FluxConfig;
use crate::latents::{PIXELS_PER_TOKEN, SIDE_LIMIT};
use crate::load::{config_of, load_transformer, lora_targets, transformer_checkpoint};
use crate::mmdit::{FluxTransformer, Reading};
use crate::pipeline::{FluxOptions, Kind, PromptEncoders, Tokenizers, readers::Readers};
use crate::sites::attention_sites;

const TRANSFORMER: &str = "transformer";

/// The parts of a FLUX folder. A single file holds the transformer, perhaps with others, and is given as that part.
const LAYOUT: Layout = Layout {
    family: "FLUX",
    parts: &[
        Part {
            name: TRANSFORMER,
            prefixes: &[],
        },
        Part {
            name: "vae",
            prefixes: &[],
        },
        Part {
            name: "text_encoder",
            prefixes: &[],
        },
        Part {
            name: "text_encoder_2",
            prefixes: &[],
        },
    ],
    left: &[],
};

/// FLUX.1 with OminiControl. Shared by threads: a generation takes `&self`.
///
/// Opening reads configurations, tokenizers and adapters, and compares the transformer's and autoencoder's files with
/// their configurations; weights are loaded when they are first needed.
#[derive(Debug)]
pub struct Flux {
    files: ModelFiles,
    pub(super) options: LoadOptions<FluxOptions>,
    pub(super) profile: Profile,
    kind: Kind,
    config: FluxConfig,
    /// Bytes of the weights of transformer and autoencoder.
    bytes: [u64; 2],
    vae_config: AutoencoderKlConfig,
    clip_config: ClipTextConfig,
    t5_config: T5Config,
    tokenizers: Tokenizers,
    concept_block: Option<ConceptBlock>,
    pub(super) readers: Readers,
    pub(super) loras: Loras,
    encoders: Slot<PromptEncoders>,
    transformer: Slot<FluxTransformer>,
    vae: Slot<AutoencoderKl>,
}

impl Flux {
    /// Opens a diffusers folder, perhaps with [parts](conceptrol_core::pipeline::LoadOptions::part) of other files: a
    /// transformer in diffusers' or the original layout, the original autoencoder, a T5 as GGUF, any of them in fp8.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a folder of another family, with missing or malformed files, or with parts that do not fit each
    /// other.
    pub fn open(
        folder: impl AsRef<Path>,
        options: LoadOptions<FluxOptions>,
    ) -> Result<Self, PipelineError> {
        if folder.as_ref().is_file() {
            return Err(single_file());
        }
        if !options.embeddings.is_empty() {
            return Err(PipelineError::Unsupported {
                family: "FLUX",
                what: "textual inversion: its words would have to be learnt by T5 as well".into(),
            });
        }
        if !options.controlnets.is_empty() {
            return Err(PipelineError::Unsupported {
                family: "FLUX",
                what: "ControlNets here: those of Stable Diffusion are computed only".into(),
            });
        }
        let rounds = !matches!(options.extra.weights, Keep::Computed | Keep::Stored);
        if rounds && options.residency == Residency::Disk {
            return Err(PipelineError::Unsupported {
                family: "FLUX",
                what: "rounding of weights that stay on disk: they are rounded once, into memory"
                    .into(),
            });
        }
        let scale = options.extra.position_scale;
        if !(scale.is_finite() && scale > 0.0) {
            let name = "the scale of positions";
            return Err(PipelineError::bad_request(name, scale, "above 0"));
        }
        let files = ModelFiles::open(folder.as_ref(), LAYOUT, &options)?;
        let file = |name: &str| files.configuration(name).ok_or_else(single_file);
        let index = ModelIndex::open(&file("model_index.json")?, &Kind::classes())?;
        let of_class = Kind::of_class(&index.class_name).unwrap_or(Kind::TextToImage);
        let kind = options.extra.kind.unwrap_or(of_class);
        let (config, transformer) =
            transformer_file(&files, &files.headers(TRANSFORMER)?, &options)?;
        let keep = options.extra.weights.on(&options.device);
        let transformer_bytes = kept_bytes(&transformer, options.dtype, keep);
        let compact = transformer_bytes < weight_bytes(&transformer, options.dtype);
        let checked = options.weights(transformer, options.dtype);
        drop(load_transformer(&config, checked, Residency::Disk)?);
        let vae_config = AutoencoderKlConfig::from_file(file("vae/config.json")?)?;
        let clip_config = ClipTextConfig::from_file(file("text_encoder/config.json")?)?;
        let t5_config = T5Config::from_file(file("text_encoder_2/config.json")?)?;
        check_parts(&config, &vae_config, &clip_config, &t5_config)?;
        let vae_dtype = vae_config.compute_dtype(options.dtype);
        let vae = autoencoder_kl::own_names(&files.headers("vae")?)?;
        let vae_bytes = options.check(vae, vae_dtype, |weights| {
            AutoencoderKl::new(&vae_config, weights)
        })?;
        let tokenizers = Tokenizers {
            clip: ClipTokenizer::open(file("tokenizer")?)?,
            t5: T5Tokenizer::open(file("tokenizer_2")?)?,
        };
        let scheduler = SchedulerConfig::open(&file("scheduler/scheduler_config.json")?)?;
        let scheduler = checked_scheduler(scheduler)?;

        let (sites, device) = (attention_sites(&config), options.device.clone());
        let mut profile = Profile::new("FLUX", sites, SiteSelector::joint(), device, scheduler);
        profile.dtype = options.dtype;
        profile.noise = match options.dtype {
            FloatDType::F16 => NoiseDtype::F16,
            FloatDType::BF16 => NoiseDtype::Bf16,
            _ => NoiseDtype::F32,
        };
        profile.input = match config.reads_region() {
            true => InputKind::Region,
            false => InputKind::Latents,
        };
        profile.latent_channels = config.latent_channels();
        profile.downscale = vae_config.downscale();
        profile.multiple = 2 * profile.downscale;
        profile.max_edge = SIDE_LIMIT;
        profile.mixes_guidance = false;
        profile.defaults.size = ImageSize::square(match kind {
            Kind::TextToImage => vae_config.sample_size.min(512),
            Kind::Kontext => 1024,
        });
        profile.defaults.steps = 20;
        profile.defaults.guidance = match config.reads_region() {
            true => 30.0,
            false => 3.5,
        };

        let targets = || lora_targets(&config, &clip_config, &t5_config, &options.device);
        let readers = Readers::open(kind, &config, files.path(), &options, targets)?;
        if readers.has_terms() {
            profile.gating = Gating::Factor;
        } else {
            // the authors' 0.5, below which OminiControl loses the reference altogether
            profile.defaults.outside = 0.5;
        }
        let gating = profile.gating;
        // the additions of a style are for text and latents: they are not merged where condition tokens share the weights, nor
        // where sums would have to be rounded again
        let merges = readers.additions.is_empty() && !compact;
        let loras = Loras::open(&options, targets, merges)?;
        Ok(Self {
            concept_block: concept_block_of(&file("conceptrol.json")?, |sites| {
                gating.block_at(sites)
            })?,
            files,
            profile,
            kind,
            config,
            bytes: [transformer_bytes, vae_bytes],
            vae_config,
            clip_config,
            t5_config,
            tokenizers,
            readers,
            loras,
            encoders: Slot::new(options.residency),
            // with its blocks on disk it is small
            transformer: match options.residency {
                Residency::WhileUsed => Slot::new(Residency::WhileUsed),
                _ => Slot::kept(),
            },
            vae: Slot::new(options.residency),
            options,
        })
    }

    /// What reads reference pictures, by the numbers that concepts name: `kontext`, `ominicontrol`, `redux`, `ip_adapter`.
    pub fn readers(&self) -> impl Iterator<Item = &'static str> {
        self.readers.names()
    }

    /// Which model it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The sizes of the transformer.
    pub const fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// The concept block that the folder names, in place of the [usual one](super::concept_block).
    pub(super) const fn named_concept_block(&self) -> Option<&ConceptBlock> {
        self.concept_block.as_ref()
    }

    /// The low-rank adapters.
    pub const fn loras(&self) -> &Loras {
        &self.loras
    }

    /// The tokenizers of the text encoders.
    pub const fn tokenizers(&self) -> &Tokenizers {
        &self.tokenizers
    }

    /// The text encoders.
    ///
    /// # Errors
    ///
    /// Those of loading them.
    pub fn prompt_encoders(&self) -> Result<Arc<PromptEncoders>, PipelineError> {
        self.encoders.get(|| {
            let merged = |part| self.loras.merged(part);
            self.load_encoders(merged(lora::Part::ClipL), merged(lora::Part::T5))
        })
    }

    /// The text encoders with these changes.
    pub(super) fn load_encoders(
        &self,
        clip_deltas: Arc<Deltas>,
        t5_deltas: Arc<Deltas>,
    ) -> Result<PromptEncoders, PipelineError> {
        let file = clip_text::own_names(&self.files.checkpoint("text_encoder")?)?;
        let clip = |weights: &_| ClipTextModel::new(&self.clip_config, weights);
        let weights = self.options.weights(file, self.options.dtype);
        Ok(PromptEncoders {
            clip: weights.merging(clip_deltas).build(clip)?,
            t5: self.t5(t5_deltas)?,
        })
    }

    fn t5(&self, deltas: Arc<Deltas>) -> Result<T5Encoder, PipelineError> {
        let (config, options) = (&self.t5_config, &self.options);
        let file = t5::own_names(&self.files.checkpoint("text_encoder_2")?)?;
        if options.residency != Residency::Disk {
            let t5 = |weights: &_| T5Encoder::new(config, weights);
            return Ok(self.weights(file).merging(deltas).build(t5)?);
        }
        let weights = self.weights(file).merging(deltas);
        drop(T5Encoder::new(config, &weights.unread()));
        weights.clone().finish()?;
        Ok(T5Encoder::streamed(config, &weights))
    }

    /// Weights of transformer or T5.
    fn weights(&self, file: Checkpoint) -> Weights {
        let keep = self.options.extra.weights.on(&self.options.device);
        (self.options.weights(file, self.options.dtype)).keeping(keep)
    }

    /// The transformer with its adapters.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    pub fn transformer(&self) -> Result<Arc<FluxTransformer>, PipelineError> {
        self.transformer.get(|| {
            let options = &self.options;
            let checkpoint = self.files.checkpoint(TRANSFORMER)?;
            let (config, file) = transformer_file(&self.files, &checkpoint, options)?;
            let deltas = self.loras.merged(lora::Part::Denoiser);
            let weights = self.weights(file).merging(deltas);
            let mut transformer = load_transformer(&config, weights, options.residency)?;
            transformer.set_adapters(self.readers.additions.clone());
            transformer.set_reading(match self.options.extra.independent_conditions {
                true => Reading::Independent,
                false => self.kind.reading(),
            });
            Ok(transformer)
        })
    }

    /// The autoencoder; in f32 where the checkpoint says that half precision overflows.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    pub fn vae(&self) -> Result<Arc<AutoencoderKl>, PipelineError> {
        self.vae.get(|| {
            let file = autoencoder_kl::own_names(&self.files.checkpoint("vae")?)?;
            let vae = |weights: &_| AutoencoderKl::new(&self.vae_config, weights);
            Ok(self.options.load(file, self.vae_dtype(), vae)?)
        })
    }

    /// About what a generation needs beyond what is in memory. A step: 24 times the stream of tokens, of which a single block
    /// holds five widths at once and attention three more; with weights on disk two blocks of them, the larger ones.
    pub(super) fn footprint(&self, frame: &Frame, tile: Option<usize>) -> u64 {
        let [transformer, vae] = self.bytes;
        let (config, dtype) = (&self.config, self.options.dtype);
        let text = frame.prompts.iter().map(|prompt| prompt.ids.len()).max();
        let cells = frame.size.pixels() / self.profile.multiple.pow(2);
        let tokens = (2 * cells + text.unwrap_or(0)) as u64; // a reference picture is about as large
        let rows = frame.batch.rows() as u64;
        let width = config.inner_dim() as u64;
        let blocks = (config.num_layers + config.num_single_layers) as u64;
        let need = Footprint {
            denoiser: match self.options.residency {
                Residency::Disk => 4 * transformer / blocks.max(1),
                _ if self.transformer.is_loaded() => 0,
                _ => transformer,
            },
            denoising: product([24, rows, tokens, width, size_of(dtype)]),
            autoencoder: if self.vae.is_loaded() { 0 } else { vae },
            decoding: decoding_bytes(&self.vae_config, frame, tile, self.vae_dtype()),
        };
        need.peak(self.options.residency)
    }

    pub(super) fn vae_dtype(&self) -> FloatDType {
        self.vae_config.compute_dtype(self.options.dtype)
    }
}

fn single_file() -> PipelineError {
    PipelineError::Unsupported {
        family: "FLUX",
        what: "tokenizers in a single file: give a folder as the model, and the file as its transformer".into(),
    }
}

/// The transformer's sizes and its tensors under the names of diffusers. A file beside the folder may be of other sizes.
fn transformer_file(
    files: &ModelFiles,
    checkpoint: &Checkpoint,
    options: &LoadOptions<FluxOptions>,
) -> Result<(FluxConfig, Checkpoint), PipelineError> {
    let file = transformer_checkpoint(checkpoint)?;
    let config = format!("{TRANSFORMER}/config.json");
    let given = options.configurations.as_ref();
    let given = given
        .map(|folder| folder.join(&config))
        .filter(|path| path.exists());
    let config = match given.or_else(|| files.own_configuration(TRANSFORMER)) {
        Some(path) => FluxConfig::from_file(path)?,
        None if options.parts.contains_key(TRANSFORMER) => config_of(&file)?,
        None => FluxConfig::from_file(files.path().join(config))?,
    };
    Ok((config, file))
}

/// That the parts give what the transformer takes.
fn check_parts(
    config: &FluxConfig,
    vae: &AutoencoderKlConfig,
    clip: &ClipTextConfig,
    t5: &T5Config,
) -> Result<(), PipelineError> {
    let channels = "channels";
    // what Fill reads of a region are the pixels of a token
    let pixels = 2 * vae.downscale();
    let fits = match config.reads_region() {
        true => PIXELS_PER_TOKEN,
        false => pixels,
    };
    for (part, axis, found, expected) in [
        (
            "the autoencoder",
            channels,
            vae.latent_channels,
            config.latent_channels(),
        ),
        ("the autoencoder", "pixels a token", pixels, fits),
        (
            "the text (T5)",
            channels,
            t5.d_model,
            config.joint_attention_dim,
        ),
        (
            "the pooled text (CLIP)",
            channels,
            clip.encoder.hidden_size,
            config.pooled_projection_dim,
        ),
    ] {
        if found != expected {
            return Err(PipelineError::Mismatch {
                part,
                axis,
                found,
                expected,
            });
        }
    }
    Ok(())
}
