//! Which phrases does a prompt have, and how sharply does the concept block see each of them?
//!
//! `cargo run --release --example locate -- --prompt "an apple and a rocket on the beach"`

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use conceptrol_core::{
    analysis::sharpness,
    models::image::save_png,
    noun_phrases,
    pipeline::{LoadOptions, Pipeline, Request, Silent, localize},
};
use conceptrol_examples::{
    device::Backend,
    heat::{first, heat},
    model::{PartArguments, is_flux},
    output::ended,
    say,
    sheet::sheet,
};
use conceptrol_flux::Flux;
use conceptrol_sd::StableDiffusion;

/// List the noun phrases of a prompt and draw where the concept block sees each.
#[derive(Debug, Parser)]
struct Arguments {
    /// A diffusers folder or a single file, of Stable Diffusion or FLUX.
    #[arg(long, value_name = "DIR|FILE|NAME", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny-sd"))]
    model: PathBuf,
    #[command(flatten)]
    parts: PartArguments,
    /// The prompt.
    #[arg(long, default_value = "an apple and a rocket on the beach")]
    prompt: String,
    /// Number of steps.
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// Seed of the picture.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Backend to run on.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// The file to write.
    #[arg(long, default_value = "target/locate.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ended(arguments.backend.guard(|| run(&arguments)))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let folder = arguments.parts.locate(&arguments.model)?;
    let device = arguments.backend.device()?;
    if is_flux(&folder)? {
        let options = arguments.parts.set(LoadOptions::new(device));
        look(&Flux::open(&folder, options)?, arguments)
    } else {
        let options = arguments.parts.set(LoadOptions::new(device));
        look(&StableDiffusion::open(&folder, options)?, arguments)
    }
}

fn look<P: Pipeline>(pipeline: &P, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let phrases = noun_phrases(&arguments.prompt);
    if phrases.is_empty() {
        return Err("the prompt has no noun phrase".into());
    }
    let request = Request::new(&arguments.prompt)
        .steps(arguments.steps)
        .seed(arguments.seed);
    let (found, generation) = localize(pipeline, &request, &phrases, &mut Silent)?;
    let mut pictures = vec![("picture".to_owned(), generation.images[0].clone())];
    say!("{:<32} {:<8} sharpness", "phrase", "role");
    for place in &found {
        let map = first(&place.map)?;
        let value = sharpness(map.view())?;
        let (text, role) = (&place.phrase.text, place.phrase.role.to_string());
        say!("{text:<32} {role:<8} {value:.3}");
        pictures.push((format!("{text} {value:.3}"), heat(&place.map)?));
    }
    let labelled: Vec<_> = pictures
        .iter()
        .map(|(label, picture)| (label.as_str(), picture.clone()))
        .collect();
    if let Some(folder) = arguments.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    save_png(&arguments.out, &sheet(&labelled, 4, 192), &[])?;
    say!("wrote {}", arguments.out.display());
    Ok(())
}
