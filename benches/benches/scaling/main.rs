//! What a guided SD1.5 step with IP-Adapter plus and Conceptrol costs against the latents' side, the number of pictures and
//! threads: seconds and peak memory, of random weights.
//!
//! `cargo bench -p conceptrol-benches --bench scaling [-- [--threads N] [SIDExPICTURES]..]`, for 1 and 2 threads and all sizes if
//! absent. Prints a table, keeps what was measured in `docs/images/scaling.csv`, and draws `docs/images/scaling.svg` of all that is
//! there (`-- --draw` only draws). Each row is a process of its own, so that its peak is not that of another.

mod chart;
mod plot;
mod row;

use std::{
    fmt,
    path::Path,
    process::{Command, Stdio},
    str::FromStr,
};

use conceptrol_benches::{Cost, Failure, GuidedStep, RandomModel};
use row::Row;

const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/images");

/// A step longer than this is taken once, not twice, after the first.
const LONG: f64 = 15.0; // seconds

/// What is asked of the model: pictures of `side` times `side` latent cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    side: usize,
    pictures: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.side, self.pictures)
    }
}

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (side, pictures) = text
            .split_once('x')
            .ok_or_else(|| format!("{text} is not SIDExPICTURES"))?;
        Ok(Self {
            side: side.parse()?,
            pictures: pictures.parse()?,
        })
    }
}

fn main() -> Result<(), Failure> {
    let images = Path::new(IMAGES);
    let (file, picture) = (images.join("scaling.csv"), images.join("scaling.svg"));
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut threads, mut sizes) = (vec![1, 2], Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} has no value"));
        match argument.as_str() {
            "--step" => return step(value()?.parse()?),
            "--draw" => return plot::draw(&picture, &row::read(&file)?),
            "--threads" => threads = vec![value()?.parse()?],
            size => sizes.push(size.parse()?),
        }
    }
    if sizes.is_empty() {
        sizes = all();
    }
    let mut rows = row::read(&file)?;
    println!("{}", Row::HEADER);
    for threads in threads {
        for size in &sizes {
            let row = measure(*size, threads)?;
            println!("{row}");
            row::put(&mut rows, row);
            row::write(&file, &rows)?;
        }
    }
    plot::draw(&picture, &rows)
}

fn all() -> Vec<Size> {
    let areas = [32, 64, 96, 128].map(|side| Size { side, pictures: 1 });
    let batches = [2, 4, 8].map(|pictures| Size { side: 32, pictures });
    [&areas[..], &batches].concat()
}

/// Has a process of its own take the step.
fn measure(size: Size, threads: usize) -> Result<Row, Failure> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--step", &size.to_string()])
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    let answer = String::from_utf8(child.stdout)?;
    let [seconds, peak] = answer.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("{size} with {threads} threads failed: {}", child.status).into());
    };
    Ok(Row {
        size,
        threads,
        cost: Cost {
            seconds: seconds.parse()?,
            peak: peak.parse()?,
        },
    })
}

/// Prints the best time of a step and the highest peak.
fn step(size: Size) -> Result<(), Failure> {
    let model = RandomModel::sd15();
    let unet = model.unet()?;
    let sites = unet.attention_sites();
    let plan = model.conceptrol(&sites, &model.adapter(&sites)?)?;
    let mut step = GuidedStep::new(&model.config, &plan, size.pictures, size.side)?;
    let first = step.run(&unet)?;
    let mut best = step.run(&unet)?;
    if first.seconds < LONG {
        let again = step.run(&unet)?;
        best = Cost {
            seconds: best.seconds.min(again.seconds),
            peak: best.peak.max(again.peak),
        };
    }
    println!("{} {}", best.seconds, best.peak.max(first.peak));
    Ok(())
}
