//! One guided step of a full-size UNet with random weights: text only, IP-Adapter plus, and Conceptrol beside it, in turns.
//!
//! `cargo bench -p conceptrol-benches --bench unet_step [-- --model sdxl --edge 1024 --plan conceptrol --file]`; SD1.5 at 512 pixels
//! and all three plans if absent. With `--file` the weights are those of an f16 checkpoint in the target folder, written at the
//! first run, and loading it is timed.

use std::{path::Path, process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use conceptrol_benches::{
    Failure, GuidedStep, Peak, RandomModel, Size,
    harness::{Bench, Common, Way, run},
    parameters,
};
use conceptrol_core::{AttentionPlan, AttentionSites, SiteSelector};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Whose size the UNet has.
    #[arg(long, default_value = "sd15")]
    model: Size,
    /// Side of the picture in pixels [default: 512; --small: 128].
    #[arg(long)]
    edge: Option<usize>,
    /// Pictures at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pictures: u8,
    /// One plan only.
    #[arg(long)]
    plan: Option<Plan>,
    /// Read the weights from a file.
    #[arg(long)]
    file: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Plan {
    Text,
    Adapter,
    Conceptrol,
}

impl Plan {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text only",
            Self::Adapter => "ip-adapter plus",
            Self::Conceptrol => "conceptrol",
        }
    }
}

fn main() -> ExitCode {
    run("unet_step", |of: &Arguments| &of.common, measure)
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    bench.heading();
    let small = arguments.common.small;
    let edge = arguments.edge.unwrap_or(if small { 128 } else { 512 });
    let mut model = match small {
        true => RandomModel::small(bench.place()),
        false => RandomModel::new(arguments.model, bench.place()),
    };
    if arguments.file {
        model = model.in_files(Path::new(env!("CARGO_TARGET_TMPDIR")));
    }
    let bytes = bench.bytes_of(parameters(&model.unet_tensors()?));
    let (peak, start) = (Peak::start(), Instant::now());
    let unet = model.unet()?;
    println!(
        "{}, {:.3} GB of weights, {} in {:.1} s, peak {:.3} GB",
        model.name,
        bytes as f64 / 1e9,
        if arguments.file {
            "loaded from an f16 file"
        } else {
            "drawn at random"
        },
        start.elapsed().as_secs_f64(),
        peak.total().unwrap_or(0) as f64 / 1e9
    );
    let pictures = usize::from(arguments.pictures);
    let mut steps = Vec::new();
    for (plan, installed) in plans(&model, &unet.attention_sites())? {
        if arguments.plan.is_none_or(|only| only == plan) {
            let step = GuidedStep::new(&model, &installed, pictures, edge / 8)?;
            steps.push((plan, step));
        }
    }
    // Conceptrol is compared with the plain adapter
    let base = steps.iter().position(|(plan, _)| *plan == Plan::Adapter);
    let mut ways: Vec<Way<'_>> = steps
        .iter_mut()
        .map(|(plan, step)| Way::new(plan.name(), || step.run(&unet)))
        .collect();
    let title = format!("{} {edge}x{edge}, {pictures} guided", model.name);
    let all = bench.compare(&title, 3, base.unwrap_or(0), &mut ways)?;
    for measured in all {
        let peak = measured.device_peak.or(measured.host_peak).unwrap_or(0);
        let over = peak as f64 / bytes as f64;
        println!("{}: peak / weights of the UNet {over:.3}", measured.name);
    }
    Ok(())
}

fn plans(
    model: &RandomModel,
    sites: &AttentionSites,
) -> Result<[(Plan, AttentionPlan); 3], Failure> {
    let tensors = model.adapter_tensors(sites)?.into_iter();
    let keys_values = tensors.filter(|tensor| tensor.name.starts_with("ip_adapter."));
    let bytes = 2 * parameters(&keys_values.collect::<Vec<_>>());
    println!(
        "keys and values of the adapter {:.3} GB in f16",
        bytes as f64 / 1e9
    );
    let adapter = model.adapter(sites)?;
    let plain = AttentionPlan::builder(sites).layer(SiteSelector::cross(), adapter.clone());
    Ok([
        (Plan::Text, AttentionPlan::plain(sites)),
        (Plan::Adapter, plain.build()?),
        (Plan::Conceptrol, model.conceptrol(sites, &adapter)?),
    ])
}
