//! The pictures of the book's page on masks, scale and warm-up, from the embedded model.
//!
//! `cargo run --release --example figures -- --out docs/images`

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use burn::tensor::Device;
use clap::Parser;
use conceptrol_core::{
    SiteSelector, StepWindow,
    models::image::{open, save_png},
    pipeline::{ConceptRequest, LoadOptions, Mode, Pipeline, Silent},
    processors::CaptureLayer,
};
use conceptrol_examples::{heat::heat, output::ended, say, sheet::sheet};
use conceptrol_sd::{StableDiffusion, pipeline::Request};
use image::RgbImage;

/// The concept block of the embedded model, as its `conceptrol.json` has it.
const CONCEPT_BLOCK: &str = "up_blocks.2.attentions.0.transformer_blocks.0.attn2";
/// Edge of a picture on a sheet, in pixels.
const EDGE: u32 = 128;

/// Draw the pictures of the book.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of steps.
    #[arg(long, default_value_t = 50)]
    steps: usize,
    /// The folder to write into.
    #[arg(long, default_value = "target/figures")]
    out: PathBuf,
}

fn main() -> ExitCode {
    ended(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let model = assets.join("tiny-sd");
    let options = LoadOptions::new(Device::flex()).adapter((
        model.join("ip-adapter.safetensors"),
        model.join("image_encoder"),
    ));
    let pipeline = StableDiffusion::open(&model, options)?;
    let reference = open(model.join("references/green_cat.png"))?;
    let request = Request::new("a cat and a house on the beach")
        .concept(ConceptRequest::new("cat", reference))
        .steps(arguments.steps)
        .seed(2);

    std::fs::create_dir_all(&arguments.out)?;
    let write = |name: &str, pictures: Vec<(String, RgbImage)>, columns| {
        let labelled: Vec<_> = pictures
            .iter()
            .map(|(label, picture)| (label.as_str(), picture.clone()))
            .collect();
        let path = arguments.out.join(name);
        save_png(&path, &sheet(&labelled, columns, EDGE), &[])?;
        say!("wrote {}", path.display());
        Ok::<_, Box<dyn Error>>(())
    };
    write("mask_steps.png", masks(&pipeline, &request)?, 6)?;
    let scales = [0.0, 0.5, 1.0, 1.5, 2.0];
    let scaled = |scale: f32| Ok(request.clone().scale(scale));
    write("scale.png", methods(&pipeline, &scales, scaled)?, 5)?;
    let warmups = [0.0, 0.1, 0.2, 0.4, 0.6];
    let warmed = |warmup: f32| {
        let window = StepWindow::after_warmup(f64::from(warmup))?;
        Ok(request.clone().window(window))
    };
    write("warmup.png", methods(&pipeline, &warmups, warmed)?, 5)
}

/// The mask of the concept at its block in five steps, and the picture.
fn masks(
    pipeline: &StableDiffusion,
    request: &Request,
) -> Result<Vec<(String, RgbImage)>, Box<dyn Error>> {
    let block = SiteSelector::named(CONCEPT_BLOCK);
    let plan = pipeline.plan_around(request, block, CaptureLayer::new())?;
    let generation = pipeline.generate_with(&plan, request, &mut Silent)?;
    let last = request.steps.unwrap_or(1) - 1;
    let shown = [0, last / 10, last / 4, last / 2, last];
    let mut pictures = Vec::new();
    for capture in generation.captures.iter() {
        let stamp = capture.map.stamp();
        if let Some(stamp) = stamp.filter(|stamp| shown.contains(&stamp.step)) {
            pictures.push((format!("step {}", stamp.step + 1), heat(&capture.map)?));
        }
    }
    pictures.push(("picture".into(), generation.images[0].clone()));
    Ok(pictures)
}

/// A row of pictures under the plain adapter, and one under Conceptrol, of what `changed` makes of the values.
fn methods(
    pipeline: &StableDiffusion,
    values: &[f32],
    changed: impl Fn(f32) -> Result<Request, Box<dyn Error>>,
) -> Result<Vec<(String, RgbImage)>, Box<dyn Error>> {
    let mut pictures = Vec::new();
    for (method, mode) in [("plain", Mode::Adapter), ("gated", Mode::Conceptrol)] {
        for value in values {
            let request = changed(*value)?.mode(mode);
            let generation = pipeline.generate(&request, &mut Silent)?;
            let label = format!("{method} {value}");
            pictures.push((label, generation.images[0].clone()));
        }
    }
    Ok(pictures)
}
