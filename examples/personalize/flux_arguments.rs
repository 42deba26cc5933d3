//! Options that only FLUX has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use conceptrol_flux::omini::Placement;

#[derive(Debug, Args)]
#[command(next_help_heading = "FLUX")]
pub(crate) struct FluxArguments {
    /// Keep the large models on disk and bring one block at a time into memory.
    #[arg(long, conflicts_with = "low_memory")]
    pub stream_weights: bool,
    /// Another transformer than the folder's: a single file in the original or diffusers layout, fp8 too.
    #[arg(long, value_name = "FILE")]
    pub transformer: Option<PathBuf>,
    /// A style `LoRA` with an optional strength: "ink.safetensors:0.8". Several add up.
    #[arg(long = "lora", value_name = "FILE[:STRENGTH]", value_parser = parse_lora)]
    pub loras: Vec<LoraArgument>,
    /// Where the adapter was trained to see the reference [default: right, as `subject_512`].
    #[arg(long)]
    pub placement: Option<PlacementArgument>,
}

/// A style adapter of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoraArgument {
    pub file: PathBuf,
    pub strength: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlacementArgument {
    /// Right of the picture, as `subject_512`.
    Right,
    /// Left of the picture, as `subject_1024_beta`.
    Left,
    /// On top of it, as the adapters for depth and edges.
    Aligned,
}

impl From<PlacementArgument> for Placement {
    fn from(placement: PlacementArgument) -> Self {
        match placement {
            PlacementArgument::Right => Self::RightOfPicture,
            PlacementArgument::Left => Self::LeftOfPicture,
            PlacementArgument::Aligned => Self::Aligned,
        }
    }
}

impl FluxArguments {
    /// The first of these options that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        [
            ("--stream-weights", self.stream_weights),
            ("--transformer", self.transformer.is_some()),
            ("--lora", !self.loras.is_empty()),
            ("--placement", self.placement.is_some()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
}

fn parse_lora(text: &str) -> Result<LoraArgument, String> {
    // a colon may be part of a path; only a number after the last one is a strength
    let with_strength = text
        .rsplit_once(':')
        .and_then(|(file, strength)| Some((file, strength.parse::<f64>().ok()?)));
    let (file, strength) = with_strength.unwrap_or((text, 1.0));
    match (file, strength.is_finite()) {
        ("", _) => Err("expected FILE[:STRENGTH]".into()),
        (_, false) => Err(format!("the strength {strength} is not finite")),
        _ => Ok(LoraArgument {
            file: file.into(),
            strength,
        }),
    }
}
