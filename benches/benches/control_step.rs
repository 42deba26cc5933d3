//! One guided step of a full-size UNet with random weights, alone and with a `ControlNet`, in turns, and what the net makes of its
//! picture once a generation.
//!
//! `cargo bench -p conceptrol-benches --bench control_step [-- --model sdxl --edge 1024]`; SD1.5 at 512 pixels if absent.

use std::process::ExitCode;

use burn::tensor::{DType, Tensor};
use clap::Parser;
use conceptrol_benches::{
    Failure, GuidedStep, RandomModel, Size,
    harness::{Bench, Common, Way, run},
};
use conceptrol_core::AttentionPlan;

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
}

fn main() -> ExitCode {
    run("control_step", |of: &Arguments| &of.common, measure)
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    bench.heading();
    let small = arguments.common.small;
    let edge = arguments.edge.unwrap_or(if small { 128 } else { 512 });
    let model = match small {
        true => RandomModel::small(bench.place()),
        false => RandomModel::new(arguments.model, bench.place()),
    };
    let (unet, net) = (model.unet()?, model.controlnet()?);
    let grey = Tensor::<4>::full([1, 3, edge, edge], 0.5, (bench.device(), DType::F32));
    let pixels = grey.cast(bench.dtype());
    let embed = || net.embedding().forward(pixels.clone());
    let title = format!("{} {edge}x{edge}", model.name);
    bench.compare(
        &title,
        3,
        0,
        &mut [Way::new("picture embedded, once", || Ok(embed()))],
    )?;

    let hint = embed();
    let plan = AttentionPlan::plain(&unet.attention_sites());
    let step = || GuidedStep::new(&model, &plan, 1, edge / 8);
    let (mut plain, mut controlled) = (step()?, step()?);
    let mut ways = [
        Way::new("alone", || plain.run(&unet)),
        Way::new("with the net", || {
            controlled.run_controlled(&unet, Some((&net, &hint)))
        }),
    ];
    bench.compare(&format!("{title}, guided step"), 3, 0, &mut ways)?;
    Ok(())
}
