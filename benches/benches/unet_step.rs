//! One guided step of a full-size SD1.5 UNet with random weights, 512x512: text only, IP-Adapter
//! plus, and Conceptrol beside it, in turns. Prints seconds, ratios and peak memory.
//!
//! `cargo bench -p conceptrol-benches --bench unet_step [-- ROUNDS [LATENT_EDGE]]`

use std::{collections::BTreeMap, error::Error, time::Instant};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use conceptrol_benches::Peak;
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ReferenceTokens, Session, SiteKind, SiteSelector,
    StepInfo,
    mask::ConceptBlock,
    models::weights::Weights,
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};
use conceptrol_sd::{config::UNetConfig, unet::UNet2DConditionModel};

/// Image tokens of an IP-Adapter plus.
const IMAGE_TOKENS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let (rounds, edge) = (numbers.next().unwrap_or(3), numbers.next().unwrap_or(64));
    let device = Device::flex();
    let config = UNetConfig::sd15();
    let start = Instant::now();
    let unet = UNet2DConditionModel::new(&config, &Weights::random(0, &device, FloatDType::F32));
    println!("random weights in {:.1} s", start.elapsed().as_secs_f64());

    let sites = unet.attention_sites();
    let adapter = || {
        let cross = sites
            .iter()
            .filter(|site| site.kind == SiteKind::CrossAttention);
        IpAdapterLayer::new(cross.map(|site| {
            let shape = [site.heads * site.head_dim, config.context_dim];
            let weight = || noise(shape, &device) * 0.02;
            (
                site.name.clone(),
                IpProjection {
                    key: weight(),
                    value: weight(),
                },
            )
        }))
    };
    let cross = SiteSelector::cross;
    let plans = [
        ("text only", AttentionPlan::plain(&sites)),
        (
            "ip-adapter",
            AttentionPlan::builder(&sites)
                .layer(cross(), adapter())
                .build()?,
        ),
        (
            "conceptrol",
            AttentionPlan::builder(&sites)
                .layer(cross(), ConceptrolLayer::new(ConceptBlock::sd15()))
                .layer(cross(), adapter())
                .build()?,
        ),
    ];
    let latents: Tensor<4> = noise([2, 4, edge, edge], &device);
    let context: Tensor<3> = noise([2, 77, config.context_dim], &device);
    let mut sessions = Vec::new();
    for (name, plan) in &plans {
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
    let mut peaks: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for round in 0..=rounds {
        for (name, session) in &mut sessions {
            session.begin_step(StepInfo {
                index: round,
                total: rounds + 1,
                timestep: 500.0,
            });
            let peak = Peak::start();
            let start = Instant::now();
            let out = unet.forward(latents.clone(), 500.0, context.clone(), None, session)?;
            let _ = out.into_data();
            if round > 0 {
                seconds
                    .entry(name)
                    .or_default()
                    .push(start.elapsed().as_secs_f64());
                peaks
                    .entry(name)
                    .or_default()
                    .push(peak.total().unwrap_or(0));
            }
        }
    }
    println!(
        "{:<12} {:>8} {:>8} {:>12} {:>12}",
        "step", "best s", "median", "of adapter", "peak GB"
    );
    let best = |name: &str| seconds[name].iter().copied().fold(f64::INFINITY, f64::min);
    for (name, _) in &plans {
        let mut times = seconds[name].clone();
        times.sort_by(f64::total_cmp);
        let peak = peaks[name].iter().copied().max().unwrap_or(0) as f64 / 1e9;
        println!(
            "{name:<12} {:>8.3} {:>8.3} {:>12.4} {peak:>12.3}",
            times[0],
            times[times.len() / 2],
            best(name) / best("ip-adapter")
        );
    }
    let mut ratios: Vec<f64> = seconds["conceptrol"]
        .iter()
        .zip(&seconds["ip-adapter"])
        .map(|(a, b)| a / b)
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "conceptrol / ip-adapter, round by round: median {:.4}, {:?}",
        ratios[ratios.len() / 2],
        ratios
    );
    Ok(())
}

/// Numbers without a pattern, about unit variance.
fn noise<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i as f32) * 12.9898).sin() * 1.4)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}
