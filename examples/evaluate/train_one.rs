//! Trains the fine-tuned baseline of one subject of a Stable Diffusion folder and draws it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod baseline;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Instant};

use baseline::{Progress, RARE_WORD, TrainingRequest, load_with_lora, train, with_rare_word};
use burn::tensor::Device;
use clap::Parser;
use conceptrol_core::{
    message::chain,
    models::image::{self, save_png},
    pipeline::{LoadOptions, Mode, Pipeline, Silent},
};
use conceptrol_examples::{progress::Interrupt, say, say_err};
use conceptrol_sd::{StableDiffusion, pipeline::Request};

/// Trains a LoRA for a subject (DreamBooth) and draws it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Pictures of the subject.
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    /// A diffusers folder.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/tiny-sd"))]
    model: PathBuf,
    /// Word of the subject's class.
    #[arg(long)]
    class: String,
    /// Its article.
    #[arg(long, default_value = "a")]
    article: String,
    /// Folder of the run.
    #[arg(long, default_value = "target/baseline")]
    out: PathBuf,
    /// Rank of the updates.
    #[arg(long, default_value_t = 8)]
    rank: usize,
    /// Steps of the training.
    #[arg(long, default_value_t = 400)]
    steps: usize,
    /// Rows of the subject in a step.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Pictures of the class.
    #[arg(long, default_value_t = 32)]
    class_pictures: usize,
    /// The constant learning rate.
    #[arg(long, default_value_t = 4e-3)]
    learning_rate: f64,
    /// What follows the subject in the prompts of the pictures drawn at the end.
    #[arg(long, default_values_t = ["on the beach".to_owned(), "in the snow".into(), "and a car on the grass".into()])]
    scene: Vec<String>,
    /// Pictures for each.
    #[arg(long, default_value_t = 4)]
    images: usize,
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let options = || LoadOptions::new(Device::flex());
    let pipeline = StableDiffusion::open(&arguments.model, options())?;
    let pictures: Vec<_> = (arguments.pictures.iter())
        .map(image::open)
        .collect::<Result<_, _>>()?;
    let class = format!("{} {}", arguments.article, arguments.class);
    let subject = with_rare_word(&class, &arguments.class, RARE_WORD)
        .unwrap_or_else(|| format!("a {RARE_WORD} {}", arguments.class));
    let interrupt = Interrupt::listen(&arguments.out);
    let request = TrainingRequest {
        rank: arguments.rank,
        steps: arguments.steps,
        batch: arguments.batch,
        class_pictures: arguments.class_pictures,
        learning_rate: arguments.learning_rate,
        cancel: interrupt.cancel(),
        ..TrainingRequest::new(pictures, &subject, &class, &arguments.out)
    };
    let started = Instant::now();
    let trained = train(&pipeline, &request, &mut |progress| match progress {
        Progress::Class { done, total } => say_err!("class {done}/{total}"),
        Progress::Step {
            done,
            total,
            losses,
        } if done % 25 == 0 => {
            let seconds = started.elapsed().as_secs();
            say_err!("step {done}/{total} after {seconds} s: {losses:?}");
        }
        Progress::Step { .. } => {}
    })?;
    say!(
        "{} after {:.1} s",
        trained.path.display(),
        started.elapsed().as_secs_f64()
    );
    say!(
        "{} steps, {} factors",
        trained.losses.len(),
        trained.lora.factors().count()
    );
    let tuned = load_with_lora(&arguments.model, options(), &trained.path)?;
    for (index, scene) in arguments.scene.iter().enumerate() {
        for (name, pipeline, what) in [
            ("base", &pipeline, &class),
            ("tuned", &tuned, &subject),
            ("prior", &tuned, &class),
        ] {
            let request = Request::new(format!("{what} {scene}"))
                .images_per_prompt(arguments.images)
                .mode(Mode::TextOnly)
                .steps(30)
                .seed(100);
            for (picture, image) in pipeline
                .generate(&request, &mut Silent)?
                .images
                .iter()
                .enumerate()
            {
                save_png(
                    arguments.out.join(format!("{index}-{name}-{picture}.png")),
                    image,
                    &[],
                )?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_err!("error: {}", chain(&*error));
            ExitCode::from(2)
        }
    }
}
