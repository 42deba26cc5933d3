//! One guided step of a full-size UNet with random weights: text only, IP-Adapter plus, and
//! Conceptrol beside it, in turns. Prints seconds, ratios and peak memory.
//!
//! `cargo bench -p conceptrol-benches --bench unet_step [-- sd15|sdxl [EDGE [ROUNDS [PLAN]]]] [--file]`,
//! the edge in pixels; SD1.5 at 512, 3 rounds and all three plans if absent. With `--file` the weights
//! are those of an f16 checkpoint in the target folder, written at the first run, and loading it is
//! timed.

use std::{collections::BTreeMap, error::Error, path::PathBuf, time::Instant};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use conceptrol_benches::{Peak, parameters, write_random};
use conceptrol_core::{
    AttentionPlan, AttentionSites, BatchLayout, Concept, ReferenceTokens, Session, SiteSelector,
    StepInfo,
    mask::ConceptBlock,
    models::weights::{TensorInfo, Weights},
    processors::{ConceptrolLayer, IpAdapterLayer},
};
use conceptrol_sd::{
    adapter::{AdapterKind, IpAdapterWeights, ResamplerConfig},
    config::UNetConfig,
    unet::{AddedConditions, UNet2DConditionModel},
};

/// Image tokens of an IP-Adapter plus.
const IMAGE_TOKENS: usize = 16;

/// Text tokens of CLIP.
const TEXT_TOKENS: usize = 77;

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, arguments): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let from_file = flags.iter().any(|flag| flag == "--file");
    let sdxl = arguments.first().is_some_and(|model| model == "sdxl");
    let number = |index: usize| {
        arguments
            .get(index)
            .and_then(|argument| argument.parse::<usize>().ok())
    };
    let (edge, rounds) = (number(1).unwrap_or(512), number(2).unwrap_or(3));
    let config = if sdxl {
        UNetConfig::sdxl()
    } else {
        UNetConfig::sd15()
    };
    let block = if sdxl {
        ConceptBlock::sdxl()
    } else {
        ConceptBlock::sd15()
    };

    let device = Device::flex();
    let name = if sdxl { "SDXL" } else { "SD1.5" };
    let names = Weights::names(&device);
    let sites = UNet2DConditionModel::new(&config, &names).attention_sites();
    let tensors = names.finish()?;
    let unet_bytes = 4 * parameters(&tensors);
    println!(
        "{name} at {edge}x{edge}, {:.3} GB of weights in f32",
        unet_bytes as f64 / 1e9
    );
    let weights = weights("unet", name, from_file, &tensors, FloatDType::F32)?;
    let (peak, start) = (Peak::start(), Instant::now());
    let unet = UNet2DConditionModel::new(&config, &weights);
    weights.finish()?;
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
    let adapter = adapter(name, from_file, &sites, config.context_dim)?;
    let plans = plans(&sites, &adapter.layer(), block)?;
    drop(adapter); // the projection to image tokens is not needed while denoising
    let latents: Tensor<4> = noise([2, 4, edge / 8, edge / 8], &device);
    let context: Tensor<3> = noise([2, TEXT_TOKENS, config.context_dim], &device);
    let added = sdxl.then(|| AddedConditions {
        text_embeds: noise([2, 1280], &device),
        time_ids: vec![vec![edge as f32, edge as f32, 0.0, 0.0, edge as f32, edge as f32]; 2],
    });
    let mut sessions = Vec::new();
    let wanted = |name: &str| arguments.get(3).is_none_or(|only| only == name);
    for (name, plan) in plans.iter().filter(|(name, _)| wanted(name)) {
        let tokens = || noise([1, IMAGE_TOKENS, config.context_dim], &device);
        let concept = Concept::new("concept", [vec![3..5]])
            .with_reference(ReferenceTokens::new(tokens(), tokens()));
        sessions.push((
            *name,
            Session::new(plan, BatchLayout::guided(1), [concept])?,
        ));
    }

    // the first step projects keys and values and reads local masks: not what a step costs
    let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut peaks: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..=rounds {
        for (name, session) in &mut sessions {
            session.begin_step(StepInfo {
                index: round,
                total: rounds + 1,
                timestep: 500.0,
            });
            let peak = Peak::start();
            let start = Instant::now();
            let out = unet.forward(
                latents.clone(),
                500.0,
                context.clone(),
                added.clone(),
                session,
            )?;
            let _ = out.into_data();
            let elapsed = start.elapsed().as_secs_f64();
            let peak = peak.total().unwrap_or(0);
            println!(
                "round {round}, {name}: {elapsed:.3} s, {:.3} GB",
                peak as f64 / 1e9
            );
            let highest = peaks.entry(name).or_default();
            *highest = (*highest).max(peak);
            if round > 0 {
                seconds.entry(name).or_default().push(elapsed);
            }
        }
    }
    report(&seconds, &peaks, unet_bytes);
    Ok(())
}

/// Random weights, drawn as they are taken or read from a file in the target folder.
fn weights(
    part: &str,
    model: &str,
    from_file: bool,
    tensors: &[TensorInfo],
    drawn_as: FloatDType,
) -> Result<Weights, Box<dyn Error>> {
    let device = Device::flex();
    if !from_file {
        return Ok(Weights::random(0, &device, drawn_as));
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{model}-{part}.safetensors"));
    write_random(&path, tensors)?;
    Ok(Weights::open(path, &device, FloatDType::F32)?)
}

/// An IP-Adapter plus, its image keys and values in f16 as published files have them.
fn adapter(
    model: &str,
    from_file: bool,
    sites: &AttentionSites,
    context: usize,
) -> Result<IpAdapterWeights, Box<dyn Error>> {
    let (dim, heads) = if context == 768 {
        (768, 12)
    } else {
        (1280, 20)
    };
    let kind = AdapterKind::Plus(ResamplerConfig {
        dim,
        depth: 4,
        heads,
        queries: IMAGE_TOKENS,
        embedding_dim: 1280,
        output_dim: context,
        inner_dim: 4 * dim,
    });
    let names = Weights::names(&Device::flex());
    let _ = IpAdapterWeights::new(kind.clone(), sites, &names);
    let tensors = names.finish()?;
    let weights = weights(
        "ip-adapter-plus",
        model,
        from_file,
        &tensors,
        FloatDType::F16,
    )?;
    let adapter = IpAdapterWeights::new(kind, sites, &weights);
    weights.finish()?;
    let keys_values = tensors
        .into_iter()
        .filter(|tensor| tensor.name.starts_with("ip_adapter."));
    let bytes = 2 * parameters(&keys_values.collect::<Vec<_>>());
    println!(
        "keys and values of the adapter {:.3} GB in f16",
        bytes as f64 / 1e9
    );
    Ok(adapter)
}

fn plans(
    sites: &AttentionSites,
    adapter: &IpAdapterLayer,
    block: ConceptBlock,
) -> Result<[(&'static str, AttentionPlan); 3], Box<dyn Error>> {
    let everywhere = SiteSelector::cross;
    let plain = AttentionPlan::builder(sites)
        .layer(everywhere(), adapter.clone())
        .build()?;
    let conceptrol = AttentionPlan::builder(sites)
        .layer(everywhere(), ConceptrolLayer::new(block))
        .layer(everywhere(), adapter.clone())
        .build()?;
    Ok([
        ("text only", AttentionPlan::plain(sites)),
        ("ip-adapter", plain),
        ("conceptrol", conceptrol),
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

/// Numbers without a pattern, about unit variance.
fn noise<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i as f32) * 12.9898).sin() * 1.4)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}
