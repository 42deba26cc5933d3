//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};
use conceptrol_core::{
    MaskRole,
    models::{
        scheduler::SchedulerName,
        weights::{Files, Keep},
    },
    pipeline::{Fidelity, Mode},
};
use conceptrol_examples::{
    device::{Backend, Precision},
    map::map,
    model::PartArguments,
    values::{at_least_one, finite, fraction},
};

use crate::{
    concepts::{ConceptArgument, MaskArgument, Phrase, concept, embedding, mask, style},
    control::ControlArguments,
    mask_source::MaskSourceArguments,
    prompts::PromptArguments,
    references::ReferenceArguments,
    start::StartArguments,
};

/// Personalise a picture with a reference for a phrase of the prompt.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// A diffusers folder, a single file of Stable Diffusion 1.x or XL (.safetensors, .ckpt), or owner/name[@revision] on the
    /// Hugging Face hub; the embedded model if absent.
    #[arg(long, value_name = "DIR|FILE|NAME")]
    pub model: Option<PathBuf>,
    /// The adapter that reads reference pictures or faces: an IP-Adapter (.safetensors or .bin; for FLUX those of `XLabs` and
    /// `InstantX`), or OminiControl's `LoRA` for FLUX. Several are numbered from 1, and "cat@2=cat.png" is read by the second.
    #[arg(long = "adapter", value_name = "FILE")]
    pub adapters: Vec<PathBuf>,
    /// Folder of the image encoder that the IP-Adapter was trained with [default: `image_encoder` of the model; FLUX: also
    /// beside the adapter, and may be a file]. One for all adapters, or one each.
    #[arg(long = "image-encoder", value_name = "DIR")]
    pub image_encoders: Vec<PathBuf>,
    /// Whose face a phrase is, for `FaceID` adapters: the embedding of a face as .npy, .json, or .safetensors.
    #[arg(long = "identity", value_name = "PHRASE[#N]=FILE", value_parser = mask())]
    pub identities: Vec<MaskArgument>,
    /// A low-rank adapter (`LoRA`, `LoHa`, `LoKr`; a file, or a folder of peft) with an optional strength, which may be negative:
    /// "ink.safetensors:0.8". Several add up.
    #[arg(long = "lora", value_name = "FILE[:STRENGTH]", value_parser = style())]
    pub loras: Vec<(PathBuf, f64)>,
    /// A low-rank adapter that acts where a phrase of the prompt acts: "cat=ink.safetensors:0.8".
    #[arg(long = "lora-at", value_name = "PHRASE[#N]=FILE[:STRENGTH]", value_parser = concept())]
    pub loras_at: Vec<ConceptArgument>,
    /// Words of textual inversion, under the name in the file or another: "my-cat=learned_embeds.safetensors".
    #[arg(long = "embedding", value_name = "[WORD=]FILE", value_parser = embedding())]
    pub embeddings: Vec<(Option<String>, PathBuf)>,
    /// A phrase of the prompt and its reference picture, with an optional scale: "cat=cat.png:0.8". "cat#2=tom.png" is the
    /// second cat of the prompt, "auto=cat.png" what the prompt shows, if that is one thing.
    #[arg(long = "concept", value_name = "PHRASE[#N]=FILE[:SCALE]", value_parser = concept())]
    pub concepts: Vec<ConceptArgument>,
    /// A further picture of a phrase's concept, read with the first in one attention. Not for OminiControl.
    #[arg(long = "more-images", value_name = "PHRASE[#N]=FILE", value_parser = mask())]
    pub more_images: Vec<MaskArgument>,
    /// Where a concept may act: "cat=mask.png", white or opaque is everywhere.
    #[arg(long = "mask", value_name = "PHRASE[#N]=FILE", value_parser = mask())]
    pub masks: Vec<MaskArgument>,
    /// Whether a drawn mask bounds what attention says, or takes its place.
    #[arg(long, default_value = "within")]
    pub mask_role: MaskRoleArgument,
    /// What the picture shows.
    #[arg(long)]
    pub prompt: Option<String>,
    /// What it is not to show. FLUX needs --true-cfg-scale with it.
    #[arg(long)]
    pub negative_prompt: Option<String>,
    /// Strength of the reference [default: 1.0].
    #[arg(long, value_parser = finite::<f32>)]
    pub scale: Option<f32>,
    /// Factor on that strength at some sites: "`up_blocks.1=0.5`". The last one that names a site wins.
    #[arg(long = "site-scale", value_name = "SITES=FACTOR", value_parser = site_scale)]
    pub site_scales: Vec<(String, f32)>,
    /// Fraction of the steps before the reference acts [default: 0.2; OminiControl: 0].
    #[arg(long, value_parser = fraction)]
    pub warmup: Option<f64>,
    /// Fraction of the steps after which it acts no more [default: 1.0].
    #[arg(long, value_parser = fraction)]
    pub until: Option<f64>,
    /// Number of steps [default: 50; FLUX: 20].
    #[arg(long, value_parser = at_least_one)]
    pub steps: Option<usize>,
    /// Guidance scale; off at 1 [default: 7.5; FLUX: 3.5].
    #[arg(long, value_parser = finite::<f32>)]
    pub guidance: Option<f32>,
    #[arg(long, help = scheduler_help())]
    pub scheduler: Option<String>,
    /// Seed of the first picture [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Number of pictures.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub images: u32,
    /// Width in pixels [default: that of the picture to start from; the model's own; FLUX: 512; Kontext: a megapixel of the
    /// reference's aspect].
    #[arg(long, value_parser = edge)]
    pub width: Option<usize>,
    /// Height in pixels [default: as the width].
    #[arg(long, value_parser = edge)]
    pub height: Option<usize>,
    /// Backend to run on.
    #[arg(long, default_value = "flex")]
    pub backend: Backend,
    /// Type to compute in.
    #[arg(long, default_value = "f32")]
    pub dtype: Precision,
    /// Drop each part of the model after use, for machines with little memory.
    #[arg(long)]
    pub low_memory: bool,
    /// Map the model's files instead of reading them: loads in no time, but nothing may change them meanwhile.
    #[arg(long)]
    pub map: bool,
    /// Decode in tiles of this many pixels, for large pictures.
    #[arg(long, value_name = "PIXELS", value_parser = edge)]
    pub vae_tile: Option<usize>,
    /// Write a preview every N steps.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub preview_every: Option<usize>,
    /// Only this instead of the plain adapter beside Conceptrol.
    #[arg(long)]
    pub mode: Option<ModeArgument>,
    /// Whose details to follow where the paper and the authors' code differ.
    #[arg(long, default_value = "paper")]
    pub fidelity: FidelityArgument,
    /// Where to write.
    #[arg(long, value_name = "DIR", default_value = "target/personalize")]
    pub out: PathBuf,
    #[command(flatten)]
    pub prompts: PromptArguments,
    #[command(flatten)]
    pub start: StartArguments,
    #[command(flatten)]
    pub control: ControlArguments,
    #[command(flatten)]
    pub parts: PartArguments,
    #[command(flatten)]
    pub flux: FluxArguments,
    #[command(flatten)]
    pub references: ReferenceArguments,
    #[command(flatten)]
    pub mask_source: MaskSourceArguments,
}

/// Options that only FLUX has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "FLUX")]
pub(crate) struct FluxArguments {
    /// Keep the large models on disk and bring one block at a time into memory.
    #[arg(long, conflicts_with = "low_memory")]
    pub stream_weights: bool,
    /// Round the weights of transformer and T5 to 8 or 4 bits as they are loaded, unless the files have them in as few. GGUF, fp8
    /// and 16-bit files take no more memory than on disk as they are.
    #[arg(long, value_name = "BITS", conflicts_with = "stream_weights")]
    pub quantize: Option<QuantizeArgument>,
    /// Scale of mixing with the negative prompt, beside the guidance that is built in: above 1, a step costs two.
    #[arg(long, value_name = "SCALE", value_parser = finite::<f64>)]
    pub true_cfg_scale: Option<f64>,
    /// What IP-Adapters see instead of a phrase's picture when the negative prompt is predicted [default: a black picture].
    #[arg(long = "negative-image", value_name = "PHRASE[#N]=FILE", value_parser = mask())]
    pub negative_images: Vec<MaskArgument>,
    /// The text rows of single blocks do not look at the pictures of `InstantX`'s IP-Adapter; officially they do.
    #[arg(long)]
    pub no_text_rows: bool,
}

impl Arguments {
    /// With the embedded model, where no other is named: what to show with it, see its model card.
    pub(crate) fn with_embedded(mut self, assets: &Path) -> Self {
        if self.model.is_some() {
            return self;
        }
        let folder = assets.join("tiny-sd");
        if self.prompt.is_none() {
            self.prompt = Some("an elephant and a car on the grass".into());
            if self.concepts.is_empty() {
                self.concepts.push(ConceptArgument {
                    phrase: Phrase::first("elephant"),
                    image: folder.join("references/purple_elephant.png"),
                    scale: 1.0,
                });
            }
        }
        if self.adapters.is_empty() && self.image_encoders.is_empty() {
            self.adapters.push(folder.join("ip-adapter.safetensors"));
        }
        self.model = Some(folder);
        self
    }

    /// How the model's files get into memory.
    pub(crate) fn files(&self) -> Files {
        if self.map {
            Files::Mapped(map)
        } else {
            Files::Read
        }
    }

    /// The first option that is given and only FLUX has.
    pub(crate) fn flux_only(&self) -> Option<&'static str> {
        let own = [
            ("--stream-weights", self.flux.stream_weights),
            ("--quantize", self.flux.quantize.is_some()),
            ("--true-cfg-scale", self.flux.true_cfg_scale.is_some()),
            ("--negative-image", !self.flux.negative_images.is_empty()),
            ("--no-text-rows", self.flux.no_text_rows),
        ];
        first_given(&own).or_else(|| first_given(&self.references.given()))
    }

    /// The first option that is given and does nothing if references act in none of these modes.
    pub(crate) fn idle_in(&self, modes: &[Mode]) -> Option<&'static str> {
        let act = modes.iter().any(|mode| *mode != Mode::TextOnly);
        let places = !self.loras_at.is_empty() || self.control.places().next().is_some();
        let masks = modes.contains(&Mode::Conceptrol) || places;
        let of_references = [
            ("--scale", self.scale.is_some()),
            ("--site-scale", !self.site_scales.is_empty()),
            ("--warmup", self.warmup.is_some()),
            ("--until", self.until.is_some()),
        ];
        let drawn = [("--mask", !self.masks.is_empty())];
        let of_masks = || first_given(&drawn).or_else(|| first_given(&self.mask_source.given()));
        let idle_references = (!act).then(|| first_given(&of_references)).flatten();
        idle_references.or_else(|| (!masks).then(of_masks).flatten())
    }
}

fn first_given(options: &[(&'static str, bool)]) -> Option<&'static str> {
    let given = options.iter().find(|(_, given)| *given);
    given.map(|(option, _)| *option)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArgument {
    /// The reference acts where its words act.
    Conceptrol,
    /// The reference acts everywhere: the plain adapter.
    #[value(alias = "ip-adapter", alias = "ominicontrol")]
    Adapter,
    /// The reference does not act.
    TextOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QuantizeArgument {
    /// 8.5 bits a weight (`Q8_0`).
    Q8,
    /// 4.5 bits a weight (`Q4_0`).
    Q4,
}

impl From<QuantizeArgument> for Keep {
    fn from(bits: QuantizeArgument) -> Self {
        match bits {
            QuantizeArgument::Q8 => Self::Q8_0,
            QuantizeArgument::Q4 => Self::Q4_0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FidelityArgument {
    /// As the paper describes.
    Paper,
    /// As the authors' code does.
    Authors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MaskRoleArgument {
    /// Attention's mask, within the drawn one.
    Within,
    /// The drawn mask instead of attention's.
    Instead,
}

impl From<ModeArgument> for Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::Conceptrol => Self::Conceptrol,
            ModeArgument::Adapter => Self::Adapter,
            ModeArgument::TextOnly => Self::TextOnly,
        }
    }
}

impl From<FidelityArgument> for Fidelity {
    fn from(fidelity: FidelityArgument) -> Self {
        match fidelity {
            FidelityArgument::Paper => Self::Paper,
            FidelityArgument::Authors => Self::Authors,
        }
    }
}

impl From<MaskRoleArgument> for MaskRole {
    fn from(role: MaskRoleArgument) -> Self {
        match role {
            MaskRoleArgument::Within => Self::Within,
            MaskRoleArgument::Instead => Self::Instead,
        }
    }
}

fn scheduler_help() -> String {
    let names = SchedulerName::help();
    format!("Another scheduler than the model's: {names}. FLUX: flow matching only")
}

fn site_scale(text: &str) -> Result<(String, f32), String> {
    let (sites, factor) = text.split_once('=').ok_or("expected SITES=FACTOR")?;
    if sites.is_empty() {
        return Err("expected SITES=FACTOR".into());
    }
    Ok((sites.to_owned(), finite(factor)?))
}

fn edge(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(edge) if edge > 0 && edge % 8 == 0 => Ok(edge),
        _ => Err("expected a multiple of 8".into()),
    }
}
