//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use conceptrol_core::{
    models::{scheduler::SchedulerName, weights::Files},
    pipeline::Fidelity,
};
use conceptrol_examples::{
    device::{Backend, Precision},
    map::map,
};
use conceptrol_sd::pipeline::Mode;

use crate::flux_arguments::FluxArguments;

/// Personalise a picture with a reference for a phrase of the prompt.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// A diffusers folder; the embedded model if absent.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// IP-Adapter weights (.safetensors or .bin).
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    /// Folder of the image encoder that the adapter was trained with.
    #[arg(long, value_name = "DIR")]
    pub image_encoder: Option<PathBuf>,
    /// A phrase of the prompt and its reference picture, with an optional scale: "cat=cat.png:0.8".
    #[arg(long = "concept", value_name = "PHRASE=FILE[:SCALE]", value_parser = parse_concept)]
    pub concepts: Vec<ConceptArgument>,
    /// Where a concept may act, instead of what attention says: "cat=mask.png", white is everywhere.
    #[arg(long = "mask", value_name = "PHRASE=FILE", value_parser = parse_pair)]
    pub masks: Vec<(String, PathBuf)>,
    /// Which occurrence of each phrase is meant, counted from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub occurrence: u32,
    /// What the picture shows.
    #[arg(long)]
    pub prompt: Option<String>,
    /// What it is not to show.
    #[arg(long)]
    pub negative_prompt: Option<String>,
    /// Strength of the reference [default: 1.0].
    #[arg(long, value_parser = parse_finite)]
    pub scale: Option<f32>,
    /// Fraction of the steps without the reference [default: 0.2].
    #[arg(long, value_parser = parse_fraction)]
    pub warmup: Option<f64>,
    /// Number of steps [default: 50].
    #[arg(long, value_parser = parse_steps)]
    pub steps: Option<usize>,
    /// Guidance scale; off at 1 [default: 7.5].
    #[arg(long, value_parser = parse_finite)]
    pub guidance: Option<f32>,
    /// Another scheduler than the model's, by one of the names of `SchedulerName`.
    #[arg(long, value_name = "NAME", help = format!("Another scheduler: {}", SchedulerName::help()))]
    pub scheduler: Option<String>,
    /// Seed of the first picture [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Number of pictures.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub images: u32,
    /// Width in pixels; the model's own if absent.
    #[arg(long, value_parser = parse_edge)]
    pub width: Option<usize>,
    /// Height in pixels; the model's own if absent.
    #[arg(long, value_parser = parse_edge)]
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
    #[arg(long, value_name = "PIXELS", value_parser = parse_edge)]
    pub vae_tile: Option<usize>,
    /// Write a preview every N steps.
    #[arg(long, value_name = "N", value_parser = parse_steps)]
    pub preview_every: Option<usize>,
    /// Only this instead of IP-Adapter beside Conceptrol.
    #[arg(long)]
    pub mode: Option<ModeArgument>,
    /// Whose details to follow where the paper and the authors' code differ.
    #[arg(long, default_value = "paper")]
    pub fidelity: FidelityArgument,
    /// The site whose attention the masks are read from, for models without a known one.
    #[arg(long, value_name = "SITE")]
    pub concept_block: Option<String>,
    /// Where to write.
    #[arg(long, value_name = "DIR", default_value = "target/personalize")]
    pub out: PathBuf,
    #[command(flatten)]
    pub flux: FluxArguments,
}

impl Arguments {
    /// How the model's files get into memory.
    pub(crate) fn files(&self) -> Files {
        if self.map {
            Files::Mapped(map)
        } else {
            Files::Read
        }
    }
}

/// A concept of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConceptArgument {
    pub phrase: String,
    pub image: PathBuf,
    pub scale: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArgument {
    /// The reference acts where its words act.
    Conceptrol,
    /// The reference acts everywhere.
    IpAdapter,
    /// The reference does not act.
    TextOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FidelityArgument {
    /// As the paper describes.
    Paper,
    /// As the authors' code does.
    Authors,
}

impl From<ModeArgument> for Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::Conceptrol => Self::Conceptrol,
            ModeArgument::IpAdapter => Self::IpAdapter,
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

fn parse_pair(text: &str) -> Result<(String, PathBuf), String> {
    let (phrase, file) = text.split_once('=').ok_or("expected PHRASE=FILE")?;
    if phrase.trim().is_empty() || file.is_empty() {
        return Err("expected PHRASE=FILE, neither empty".into());
    }
    Ok((phrase.trim().to_owned(), file.into()))
}

fn parse_concept(text: &str) -> Result<ConceptArgument, String> {
    let (phrase, image) = parse_pair(text)?;
    let file = image.to_string_lossy();
    // a colon may be part of a path; only a number after the last one is a scale
    let with_scale = file
        .rsplit_once(':')
        .and_then(|(file, scale)| Some((file, scale.parse::<f32>().ok()?)));
    match with_scale {
        Some((_, scale)) if !scale.is_finite() => Err(format!("the scale {scale} is not finite")),
        Some((file, scale)) => Ok(ConceptArgument {
            phrase,
            image: file.into(),
            scale,
        }),
        None => Ok(ConceptArgument {
            phrase,
            image: image.clone(),
            scale: 1.0,
        }),
    }
}

fn parse_finite(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "expected a number")?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err("expected a finite number".into())
    }
}

fn parse_fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "expected a number between 0 and 1")?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err("expected a number between 0 and 1".into())
    }
}

fn parse_steps(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(steps) if steps > 0 => Ok(steps),
        _ => Err("expected a whole number of at least 1".into()),
    }
}

fn parse_edge(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(edge) if edge > 0 && edge % 8 == 0 => Ok(edge),
        _ => Err("expected a multiple of 8".into()),
    }
}
