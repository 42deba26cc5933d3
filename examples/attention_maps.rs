//! Every cross-attention site's map for a word, as one sheet: which block knows where the word is?
//!
//! `cargo run --release --example attention_maps -- --word rocket --step 12`

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use conceptrol_core::{
    SiteSelector,
    models::image::save_png,
    pipeline::{ConceptRequest, LoadOptions, Mode, Pipeline, Silent},
    processors::CaptureLayer,
};
use conceptrol_examples::{device::Backend, heat::heat, output::ended, say, say_err, sheet::sheet};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

/// Draw where every cross-attention block looks for a word.
#[derive(Debug, Parser)]
struct Arguments {
    /// A diffusers folder of Stable Diffusion 1.5 or XL.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny-sd"))]
    model: PathBuf,
    /// The prompt.
    #[arg(long, default_value = "an apple and a rocket on the beach")]
    prompt: String,
    /// The word or phrase of the prompt.
    #[arg(long, default_value = "rocket")]
    word: String,
    /// Number of steps.
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// The step to look at, counted from 1; the middle one if absent.
    #[arg(long)]
    step: Option<usize>,
    /// Seed of the picture.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Backend to run on.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// The file to write.
    #[arg(long, default_value = "target/attention_maps.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ended(arguments.backend.guard(|| run(&arguments)))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pipeline = StableDiffusion::open(
        &arguments.model,
        LoadOptions::new(arguments.backend.device()?),
    )?;
    let request = Request::new(&arguments.prompt)
        .concept(ConceptRequest::words_only(&arguments.word))
        .mode(Mode::TextOnly)
        .steps(arguments.steps)
        .seed(arguments.seed);
    let plan = pipeline.plan_around(&request, SiteSelector::cross(), CaptureLayer::new())?;
    let generation = pipeline.generate_with(&plan, &request, &mut Silent)?;
    if generation.captures.dropped() > 0 {
        say_err!(
            "warning: {} maps did not fit the capture budget",
            generation.captures.dropped()
        );
    }

    let step = arguments
        .step
        .unwrap_or(arguments.steps.div_ceil(2))
        .saturating_sub(1);
    let mut pictures = vec![("picture".to_owned(), generation.images[0].clone())];
    for capture in generation.captures.iter() {
        let Some(stamp) = capture.map.stamp().filter(|stamp| stamp.step == step) else {
            continue;
        };
        let site = pipeline
            .attention_sites()
            .get(stamp.site)
            .map_or("", |site| site.name.as_str());
        pictures.push((short(site), heat(&capture.map)?));
    }
    if pictures.len() == 1 {
        return Err(format!("there is no step {} of {}", step + 1, arguments.steps).into());
    }
    let labelled: Vec<_> = pictures
        .iter()
        .map(|(label, picture)| (label.as_str(), picture.clone()))
        .collect();
    if let Some(folder) = arguments.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    save_png(&arguments.out, &sheet(&labelled, 4, 192), &[])?;
    say!(
        "wrote {} ({} sites at step {})",
        arguments.out.display(),
        pictures.len() - 1,
        step + 1
    );
    Ok(())
}

/// `up_blocks.1.attentions.0.transformer_blocks.0.attn2` as the paper writes it: `UP 1.0.0`.
fn short(site: &str) -> String {
    let numbers: Vec<&str> = site
        .split('.')
        .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let block = site.split('_').next().unwrap_or(site).to_uppercase();
    format!("{block} {}", numbers.join("."))
}
