//! What a guided SD1.5 step with IP-Adapter plus and Conceptrol costs against the latents' side, the number of pictures and
//! threads: seconds and peak memory, of random weights.
//!
//! `cargo bench -p conceptrol-benches --bench scaling [-- [--threads N] [SIDExPICTURES]..]`, on the CPU for 1 and 2 threads, and all
//! sizes if absent. Prints a table; on the CPU in `f32` also keeps what was measured in `docs/images/scaling.csv`, and draws
//! `docs/images/scaling.svg` of all that is there (`-- --draw` only draws). Each row is a process of its own, so that its peak is not that
//! of another.

mod chart;
mod plot;
mod row;

use std::{
    fmt,
    path::Path,
    process::{Command, ExitCode, Stdio},
    str::FromStr,
};

use clap::Parser;
use conceptrol_benches::{
    Cost, Failure, GuidedStep, RandomModel,
    device::{Backend, Precision},
    harness::{Bench, Common, Times, run},
};
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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('x')
            .and_then(|(side, pictures)| Some((side.parse().ok()?, pictures.parse().ok()?)));
        match parts {
            Some((side, pictures)) if side > 0 && pictures > 0 => Ok(Self { side, pictures }),
            _ => Err(format!("{text} is not SIDExPICTURES")),
        }
    }
}

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Threads of the CPU [default: 1 and 2].
    #[arg(long)]
    threads: Option<usize>,
    /// Draw what is there.
    #[arg(long)]
    draw: bool,
    /// Take a step in this process.
    #[arg(long, hide = true)]
    step: bool,
    /// `SIDExPICTURES`, the side in latent cells [default: one picture of 32, 64, 96 and 128; 2, 4 and 8 of 32].
    sizes: Vec<Size>,
}

fn main() -> ExitCode {
    run(
        "scaling",
        |of: &Arguments| &of.common,
        |arguments, bench| match &arguments.sizes[..] {
            [size] if arguments.step => step(*size, arguments.common.small, bench),
            _ => table(arguments, bench),
        },
    )
}

fn table(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    let images = Path::new(IMAGES);
    let (file, picture) = (images.join("scaling.csv"), images.join("scaling.svg"));
    if arguments.draw {
        return plot::draw(&picture, &row::read(&file)?);
    }
    bench.heading();
    let common = &arguments.common;
    let on_cpu = common.backend == Backend::Flex;
    // the drawing is of published sizes
    let is_drawn = on_cpu && common.dtype == Precision::F32 && !common.small;
    let threads = match arguments.threads {
        Some(threads) => vec![Some(threads)],
        None if on_cpu => vec![Some(1), Some(2)],
        None => vec![None],
    };
    let sizes = match &arguments.sizes[..] {
        [] => all(common.small),
        given => given.to_vec(),
    };
    let mut rows = row::read(&file)?;
    println!("{}", Row::HEADER);
    for threads in threads {
        for size in &sizes {
            let cost = measure(*size, threads, common)?;
            let row = Row {
                size: *size,
                threads: threads.unwrap_or(0),
                cost,
            };
            println!("{row}");
            let named = threads.map_or(String::new(), |threads| format!(", {threads} threads"));
            let Size { side, pictures } = *size;
            let mut kept = bench.row(format!(
                "{pictures} pictures of {side}x{side} latent cells{named}"
            ));
            kept.seconds = Times::of(&[cost.seconds]);
            kept.host_peak = Some(cost.peak);
            bench.put(kept)?;
            if is_drawn {
                row::put(&mut rows, row);
                row::write(&file, &rows)?;
            }
        }
    }
    match is_drawn {
        true => plot::draw(&picture, &rows),
        false => Ok(()),
    }
}

fn all(small: bool) -> Vec<Size> {
    if small {
        return [1, 2].map(|pictures| Size { side: 16, pictures }).into();
    }
    let areas = [32, 64, 96, 128].map(|side| Size { side, pictures: 1 });
    let batches = [2, 4, 8].map(|pictures| Size { side: 32, pictures });
    [&areas[..], &batches].concat()
}

/// Has a process of its own take the step.
fn measure(size: Size, threads: Option<usize>, common: &Common) -> Result<Cost, Failure> {
    let mut child = Command::new(std::env::current_exe()?);
    child
        .args(["--step", &size.to_string()])
        .args(["--backend", &common.backend.to_string()])
        .args(["--dtype", common.dtype.name()])
        .stderr(Stdio::inherit());
    if common.small {
        child.arg("--small");
    }
    if let Some(threads) = threads {
        child.env("RAYON_NUM_THREADS", threads.to_string());
    }
    let child = child.output()?;
    let answer = String::from_utf8(child.stdout)?;
    let line = answer.lines().last().unwrap_or_default();
    let [seconds, peak] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("{size} failed: {}", child.status).into());
    };
    Ok(Cost {
        seconds: seconds.parse()?,
        peak: peak.parse()?,
    })
}

/// Prints the best time of a step and the highest peak.
fn step(size: Size, small: bool, bench: &Bench) -> Result<(), Failure> {
    let model = match small {
        true => RandomModel::small(bench.place()),
        false => RandomModel::sd15(bench.place()),
    };
    let unet = model.unet()?;
    let sites = unet.attention_sites();
    let plan = model.conceptrol(&sites, &model.adapter(&sites)?)?;
    let mut step = GuidedStep::new(&model, &plan, size.pictures, size.side)?;
    let first = step.cost(&unet)?;
    let mut best = step.cost(&unet)?;
    if first.seconds < LONG {
        let again = step.cost(&unet)?;
        best = Cost {
            seconds: best.seconds.min(again.seconds),
            peak: best.peak.max(again.peak),
        };
    }
    // on a card, memory of the card
    let on_device = bench.device().memory_pool_usage();
    let peak = on_device.map_or(best.peak.max(first.peak), |usage| usage.bytes_reserved);
    println!("{} {peak}", best.seconds);
    Ok(())
}
