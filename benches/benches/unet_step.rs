//! One guided step of a full-size UNet with random weights: text only, IP-Adapter plus, and
//! Conceptrol beside it, in turns. Prints seconds, ratios and peak memory.
//!
//! `cargo bench -p conceptrol-benches --bench unet_step [-- sd15|sdxl [EDGE [ROUNDS [PLAN]]]]`, the
//! edge in pixels; SD1.5 at 512, 3 rounds and all three plans if absent.

use std::{collections::BTreeMap, error::Error, time::Instant};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use conceptrol_benches::Peak;
use conceptrol_core::{
    AttentionPlan, AttentionSites, BatchLayout, Concept, ReferenceTokens, Session, SiteKind,
    SiteSelector, StepInfo,
    mask::ConceptBlock,
    models::weights::Weights,
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};
use conceptrol_sd::{
    config::UNetConfig,
    unet::{AddedConditions, UNet2DConditionModel},
};

/// Image tokens of an IP-Adapter plus.
const IMAGE_TOKENS: usize = 16;

/// Text tokens of CLIP.
const TEXT_TOKENS: usize = 77;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
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
    let start = Instant::now();
    let unet = UNet2DConditionModel::new(&config, &Weights::random(0, &device, FloatDType::F32));
    println!(
        "{} at {edge}x{edge}, random weights in {:.1} s",
        if sdxl { "SDXL" } else { "SD1.5" },
        start.elapsed().as_secs_f64()
    );

    let sites = unet.attention_sites();
    let plans = plans(&sites, config.context_dim, block, &device)?;
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
            if round > 0 {
                seconds.entry(name).or_default().push(elapsed);
                let highest = peaks.entry(name).or_default();
                *highest = (*highest).max(peak.total().unwrap_or(0));
            }
        }
    }
    report(&seconds, &peaks);
    Ok(())
}

fn plans(
    sites: &AttentionSites,
    context: usize,
    block: ConceptBlock,
    device: &Device,
) -> Result<[(&'static str, AttentionPlan); 3], Box<dyn Error>> {
    let cross = sites
        .iter()
        .filter(|site| site.kind == SiteKind::CrossAttention);
    let adapter = IpAdapterLayer::new(cross.map(|site| {
        let weight = || noise([site.heads * site.head_dim, context], device) * 0.02;
        (
            site.name.clone(),
            IpProjection {
                key: weight(),
                value: weight(),
            },
        )
    }));
    let everywhere = SiteSelector::cross;
    let plain = AttentionPlan::builder(sites)
        .layer(everywhere(), adapter.clone())
        .build()?;
    let conceptrol = AttentionPlan::builder(sites)
        .layer(everywhere(), ConceptrolLayer::new(block))
        .layer(everywhere(), adapter)
        .build()?;
    Ok([
        ("text only", AttentionPlan::plain(sites)),
        ("ip-adapter", plain),
        ("conceptrol", conceptrol),
    ])
}

fn report(seconds: &BTreeMap<&str, Vec<f64>>, peaks: &BTreeMap<&str, u64>) {
    println!(
        "{:<12} {:>8} {:>8} {:>12}",
        "step", "best s", "median", "peak GB"
    );
    for (name, times) in seconds {
        let times = sorted(times.clone());
        let peak = peaks[name] as f64 / 1e9;
        println!(
            "{name:<12} {:>8.3} {:>8.3} {peak:>12.3}",
            times[0],
            times[times.len() / 2]
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
