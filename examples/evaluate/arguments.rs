//! The command line.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use conceptrol_examples::{
    device::{Backend, Precision},
    values::{at_least_one, finite, fraction},
};

use crate::{baseline::RARE_WORD, rows::Shard};

/// Measure what Conceptrol does: the paper's experiments, on the embedded model or on your own.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Every experiment, one after the other, and the report.
    All,
    /// Which attention block knows where a word acts? Names it and writes `conceptrol.json`.
    Blocks(Blocks),
    /// Which mask is the best gate: none, random, another block's, each block's own, the concept block's, the truth?
    Masks(Masks),
    /// What do warm-up, scale, steps and guidance do?
    Sweep(Sweep),
    /// Does the concept block find 50 concepts, wherever they stand in a prompt and whatever stands beside them?
    Concepts,
    /// Does the gate work on other adapters? The `IP-Adapter` and the baseline's `LoRA`s, each everywhere and gated.
    Adapters(Baseline),
    /// Is a LoRA that was trained for the subject better? Trains one for each (`DreamBooth`, Stable Diffusion 1.x only).
    Baseline(Baseline),
    /// What do the adapter, Conceptrol and captures cost, in time and memory?
    Overhead(Overhead),
    /// The table of ratings that people or a judge gave, in DreamBench++'s format.
    Ratings(Ratings),
    /// Merge rows and write the report.
    Report {
        /// Folders with rows.
        #[arg(required = true, value_name = "DIR")]
        folders: Vec<PathBuf>,
    },
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// A diffusers folder; the embedded model if absent.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The adapter that reads reference pictures; the embedded model has one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) adapter: Option<PathBuf>,
    /// Folder of the image encoder that the IP-Adapter was trained with [default: `image_encoder` of the model].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) image_encoder: Option<PathBuf>,
    /// Scenes, subjects, prompts and concepts: a folder as `examples/assets/world`, or one of DreamBench++.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A whole CLIP (`CLIPModel`) that measures likeness; the embedded world has one.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,
    /// A segmenter that finds things in pictures; the embedded model has one. Without it, regions are read from the model's
    /// own maps.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) segmenter: Option<PathBuf>,
    /// How many prompts, scenes or concepts, from the first on; a large number is all [default: 100 scenes, 60 prompts (sweep:
    /// 30), 50 concepts; --quick: 16, 8 (sweep: 4), 12].
    #[arg(long, global = true, value_name = "N", value_parser = at_least_one)]
    pub(crate) count: Option<usize>,
    /// Seeds a prompt [default: 2; --quick: 1].
    #[arg(long, global = true, value_name = "N", value_parser = at_least_one)]
    pub(crate) seeds: Option<usize>,
    /// The first seed.
    #[arg(long, global = true, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Number of steps [default: the model's; --quick: 20].
    #[arg(long, global = true, value_parser = at_least_one)]
    pub(crate) steps: Option<usize>,
    /// Guidance scale [default: the model's].
    #[arg(long, global = true, value_parser = finite::<f64>)]
    pub(crate) guidance: Option<f64>,
    /// Strength of the reference.
    #[arg(long, global = true, default_value_t = 1.0, value_parser = finite::<f64>)]
    pub(crate) scale: f64,
    /// Fraction of the steps before the reference acts [default: 0.2; FLUX: 0].
    #[arg(long, global = true, value_parser = fraction)]
    pub(crate) warmup: Option<f64>,
    /// Few pictures and steps: minutes instead of an hour.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Compute a part only, as 0/4, 1/4, ..; the part that an array job's environment names if absent.
    #[arg(long, global = true, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Backend to run on.
    #[arg(long, global = true, default_value = "flex")]
    pub(crate) backend: Backend,
    /// Type to compute in.
    #[arg(long, global = true, default_value = "f32")]
    pub(crate) dtype: Precision,
    /// Where rows, pictures and the report are written. Rows that are there are continued.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "target/evaluate"
    )]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Blocks {
    /// Masks of the pictures that this command generates, made by you: `PICTURE.0.png` for the concept, `PICTURE.1.png` for
    /// the first other thing of its prompt, ..; in place of the segmenter.
    #[arg(long, value_name = "DIR")]
    pub(crate) oracle_masks: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Masks {
    /// The block that does not know where words act [default: the first in the middle of a UNet, the first of a
    /// transformer].
    #[arg(long, value_name = "SITE")]
    pub(crate) non_specific: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Sweep {
    /// Values of an axis: `warmup=0,0.1,0.2`, `scale=..`, `steps=..` or `guidance=..`. Several axes make a grid
    /// [default: scale=0.5,0.75,1,1.25,1.5 and warmup=0,0.1,0.2,0.3,0.4, one after the other].
    #[arg(long = "axis", value_name = "NAME=VALUES", value_parser = axis)]
    pub(crate) axes: Vec<Axis>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Baseline {
    /// How many subjects, in the order of the prompts [default: 4; --quick: 1].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) subjects: Option<usize>,
    /// Steps of each training [default: 400; --quick: 60].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) training_steps: Option<usize>,
    /// The rare word that comes to mean the subject [default: one that is rare in the embedded model's vocabulary; "sks" is usual
    /// for SD1.5].
    #[arg(long, value_name = "WORD", default_value = RARE_WORD)]
    pub(crate) token: String,
    /// Rank of the updates [default: 8].
    #[arg(long, value_parser = at_least_one)]
    pub(crate) rank: Option<usize>,
    /// Learning rate [default: 0.004, for the embedded model; 0.0001 is usual for real ones].
    #[arg(long, value_parser = finite::<f64>)]
    pub(crate) learning_rate: Option<f64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Overhead {
    /// Pictures at once.
    #[arg(long = "batch", value_name = "N", value_delimiter = ',', default_values_t = [1, 2, 4, 8], value_parser = at_least_one)]
    pub(crate) batches: Vec<usize>,
    /// Threads of the CPU [default: 1 and all].
    #[arg(long = "threads", value_name = "N", value_delimiter = ',', value_parser = at_least_one)]
    pub(crate) threads: Vec<usize>,
    /// Turns in which every mode runs once.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub(crate) turns: usize,
    /// Beside the model, a UNet of published size with random weights on the CPU, 512 x 512 pixels; not with --quick.
    #[arg(long, default_value = "sd15")]
    pub(crate) full_size: FullSize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Ratings {
    /// Folders of ratings of concept preservation: `METHOD-COLLECTION-PROMPT.json`, one folder a run of the judge.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    pub(crate) concept: Vec<PathBuf>,
    /// Folders of ratings of prompt following.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    pub(crate) prompt: Vec<PathBuf>,
}

impl Default for Baseline {
    /// What a command line without options asks for.
    fn default() -> Self {
        Self {
            subjects: None,
            training_steps: None,
            token: RARE_WORD.to_owned(),
            rank: None,
            learning_rate: None,
        }
    }
}

impl Default for Overhead {
    /// What a command line without options asks for.
    fn default() -> Self {
        Self {
            batches: vec![1, 2, 4, 8],
            threads: Vec::new(),
            turns: 5,
            full_size: FullSize::Sd15,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FullSize {
    None,
    Sd15,
    Sdxl,
}

/// Values that one setting takes in turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) setting: Setting,
    pub(crate) values: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Warmup,
    Scale,
    Steps,
    Guidance,
}

impl Common {
    /// With the embedded model and its world for what is not given.
    pub(crate) fn with_embedded(mut self, assets: &Path) -> Self {
        if self.model.is_none() {
            let model = assets.join("tiny-sd");
            if self.adapter.is_none() && self.image_encoder.is_none() {
                self.adapter = Some(model.join("ip-adapter.safetensors"));
            }
            if self.data.is_none() {
                self.segmenter.get_or_insert(model.join("segmenter"));
                self.encoder.get_or_insert(assets.join("world/clip"));
            }
            self.model = Some(model);
        }
        self.data.get_or_insert(assets.join("world"));
        self
    }

    /// At most as many of `all` as are asked for: `usual` without an option, `quick` with `--quick`.
    pub(crate) fn count_of(&self, all: usize, usual: usize, quick: usize) -> usize {
        let default = if self.quick { quick } else { usual };
        self.count.unwrap_or(default).min(all)
    }

    pub(crate) fn seeds(&self) -> usize {
        self.seeds.unwrap_or(if self.quick { 1 } else { 2 })
    }
}

/// As on the command line.
impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(f64::to_string).collect();
        let name = match self.setting {
            Setting::Warmup => "warmup",
            Setting::Scale => "scale",
            Setting::Steps => "steps",
            Setting::Guidance => "guidance",
        };
        write!(f, "{name}={}", values.join(","))
    }
}

fn axis(text: &str) -> Result<Axis, String> {
    let (name, values) = text.split_once('=').ok_or("expected NAME=VALUES")?;
    let (setting, check): (_, fn(f64) -> bool) = match name {
        "warmup" => (Setting::Warmup, |x| (0.0..=1.0).contains(&x)),
        "scale" => (Setting::Scale, f64::is_finite),
        "steps" => (Setting::Steps, |x| x >= 1.0 && x.fract() == 0.0),
        "guidance" => (Setting::Guidance, f64::is_finite),
        _ => return Err("the axes are warmup, scale, steps and guidance".into()),
    };
    let values = values.split(',').map(|value| match value.parse() {
        Ok(value) if check(value) => Ok(value),
        _ => Err(format!("`{value}` is no {name}")),
    });
    Ok(Axis {
        setting,
        values: values.collect::<Result<_, _>>()?,
    })
}
