//! One guided step of a full-size UNet with random weights, alone and with a `ControlNet`, in turns. Prints seconds and peak
//! memory, and what the net makes of its picture once a generation.
//!
//! `cargo bench -p conceptrol-benches --bench control_step [-- sd15|sdxl [EDGE [ROUNDS]]]`, the edge in pixels; SD1.5 at 512
//! and 3 rounds if absent.

use std::time::Instant;

use burn::tensor::{DType, Device, Tensor};
use conceptrol_benches::{Failure, GuidedStep, Peak, RandomModel};
use conceptrol_core::AttentionPlan;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let number = |index: usize| {
        let argument = arguments.get(index);
        argument.and_then(|argument| argument.parse::<usize>().ok())
    };
    let (edge, rounds) = (number(1).unwrap_or(512), number(2).unwrap_or(3));
    let model = match arguments.first().map(String::as_str) {
        Some("sdxl") => RandomModel::sdxl(),
        _ => RandomModel::sd15(),
    };
    let start = Instant::now();
    let (unet, net) = (model.unet()?, model.controlnet()?);
    println!(
        "{} at {edge}x{edge}, UNet and ControlNet drawn at random in {:.1} s",
        model.name,
        start.elapsed().as_secs_f64()
    );

    let pixels = Tensor::<4>::full([1, 3, edge, edge], 0.5, (&Device::flex(), DType::F32));
    let (peak, start) = (Peak::start(), Instant::now());
    let hint = net.embedding().forward(pixels);
    println!(
        "picture embedded once: {:.3} s, {:.3} GB above what was there",
        start.elapsed().as_secs_f64(),
        gigabytes(peak.added())
    );

    let plan = AttentionPlan::plain(&unet.attention_sites());
    let step = || GuidedStep::new(&model.config, &plan, 1, edge / 8);
    let (mut plain, mut controlled) = (step()?, step()?);
    for round in 0..=rounds {
        let alone = plain.run(&unet)?;
        let both = controlled.run_controlled(&unet, Some((&net, &hint)))?;
        println!(
            "round {round}: alone {:.3} s, {:.3} GB; with the net {:.3} s, {:.3} GB; {:+.1} %",
            alone.seconds,
            gigabytes(Some(alone.peak)),
            both.seconds,
            gigabytes(Some(both.peak)),
            (both.seconds / alone.seconds - 1.0) * 100.0
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn gigabytes(bytes: Option<u64>) -> f64 {
    bytes.unwrap_or(0) as f64 / 1e9
}
