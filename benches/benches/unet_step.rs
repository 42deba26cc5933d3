//! One guided step of a full-size UNet with random weights: text only, IP-Adapter plus, and
//! Conceptrol beside it, in turns. Prints seconds, ratios and peak memory.
//!
//! `cargo bench -p conceptrol-benches --bench unet_step [-- sd15|sdxl [EDGE [ROUNDS [PLAN]]]] [--file]`,
//! the edge in pixels; SD1.5 at 512, 3 rounds and all three plans if absent. With `--file` the weights
//! are those of an f16 checkpoint in the target folder, written at the first run, and loading it is
//! timed.

use std::{collections::BTreeMap, path::Path, time::Instant};

use conceptrol_benches::{Failure, GuidedStep, Peak, RandomModel, parameters};
use conceptrol_core::{AttentionPlan, AttentionSites, SiteSelector};

fn main() -> Result<(), Failure> {
    let (flags, arguments): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let from_file = flags.iter().any(|flag| flag == "--file");
    let number = |index: usize| {
        arguments
            .get(index)
            .and_then(|argument| argument.parse::<usize>().ok())
    };
    let (edge, rounds) = (number(1).unwrap_or(512), number(2).unwrap_or(3));
    let mut model = if arguments.first().is_some_and(|model| model == "sdxl") {
        RandomModel::sdxl()
    } else {
        RandomModel::sd15()
    };
    if from_file {
        model = model.in_files(Path::new(env!("CARGO_TARGET_TMPDIR")));
    }

    let unet_bytes = 4 * parameters(&model.unet_tensors()?);
    println!(
        "{} at {edge}x{edge}, {:.3} GB of weights in f32",
        model.name,
        unet_bytes as f64 / 1e9
    );
    let (peak, start) = (Peak::start(), Instant::now());
    let unet = model.unet()?;
    println!(
        "{} in {:.1} s, peak {:.3} GB",
        if from_file {
            "loaded from an f16 file"
        } else {
            "drawn at random"
        },
        start.elapsed().as_secs_f64(),
        peak.total().unwrap_or(0) as f64 / 1e9
    );
    let wanted = |name: &str| arguments.get(3).is_none_or(|only| only == name);
    let mut steps = Vec::new();
    for (name, plan) in plans(&model, &unet.attention_sites())? {
        if wanted(name) {
            steps.push((name, GuidedStep::new(&model.config, &plan, 1, edge / 8)?));
        }
    }

    let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut peaks: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..=rounds {
        for (name, step) in &mut steps {
            let cost = step.run(&unet)?;
            println!(
                "round {round}, {name}: {:.3} s, {:.3} GB",
                cost.seconds,
                cost.peak as f64 / 1e9
            );
            let highest = peaks.entry(name).or_default();
            *highest = (*highest).max(cost.peak);
            if round > 0 {
                seconds.entry(name).or_default().push(cost.seconds);
            }
        }
    }
    report(&seconds, &peaks, unet_bytes);
    Ok(())
}

fn plans(
    model: &RandomModel,
    sites: &AttentionSites,
) -> Result<[(&'static str, AttentionPlan); 3], Failure> {
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
        ("text only", AttentionPlan::plain(sites)),
        ("ip-adapter", plain.build()?),
        ("conceptrol", model.conceptrol(sites, &adapter)?),
    ])
}

fn report(seconds: &BTreeMap<&str, Vec<f64>>, peaks: &BTreeMap<&str, u64>, unet_bytes: u64) {
    println!(
        "{:<12} {:>8} {:>8} {:>12} {:>12}",
        "step", "best s", "median", "peak GB", "/ weights"
    );
    for (name, times) in seconds {
        let times = sorted(times.clone());
        let peak = peaks[name] as f64;
        println!(
            "{name:<12} {:>8.3} {:>8.3} {:>12.3} {:>12.3}",
            times[0],
            times[times.len() / 2],
            peak / 1e9,
            peak / unet_bytes as f64
        );
    }
    let (Some(conceptrol), Some(plain)) = (seconds.get("conceptrol"), seconds.get("ip-adapter"))
    else {
        return;
    };
    let pairs = conceptrol.iter().zip(plain);
    let ratios = sorted(pairs.map(|(ours, plain)| ours / plain).collect());
    let memory = peaks["conceptrol"] as f64 / peaks["ip-adapter"] as f64;
    println!(
        "conceptrol / ip-adapter: time {:.4} (median of rounds, {:.4} to {:.4}), peak memory {memory:.4}",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}
