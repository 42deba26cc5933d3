//! Joint attention at the size of FLUX's blocks: plain, with Conceptrol's structured bias, and with the dense bias it stands for.
//!
//! `cargo bench -p conceptrol-benches --bench flux_attention`
//!
//! The ways take turns, so that the ratio of a round compares neighbours. "concept block" is the site that also reads a new mask. The
//! dense form is run once, through Burn's own attention: it is the oracle, and what others do. On the CPU memory is what was allocated
//! above what was there.

use std::{ops::Range, process::ExitCode};

use burn::tensor::{DType, Device, FloatDType, Tensor, module, ops::AttentionModuleOptions};
use clap::Parser;
use conceptrol_benches::{
    Counting, Failure, Place,
    device::{Backend, Precision},
    harness::{Bench, Common, Memory, Way, run},
    numbers,
};
use conceptrol_core::{
    AttentionCall, AttentionPlan, BatchLayout, Concept, Grid, Session, SiteId, SiteSelector,
    TokenLayout,
    kernel::LogitBias,
    pipeline::Fidelity,
    processors::{ConceptrolLayer, JointConditionLayer},
};
use conceptrol_flux::{FluxConfig, attention_sites, pipeline};

#[global_allocator]
static MEMORY: Counting = Counting::new();

/// Of the output in f32 on the CPU, from the dense form.
const TOLERANCE: f32 = 1e-5;

/// Where the words of the concept stand in the text.
const WORDS: Range<usize> = 6..8;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// Heads, their width, tokens of the text, sides of picture and condition in tokens.
struct Shape {
    heads: usize,
    head_dim: usize,
    text: usize,
    sides: [usize; 2],
}

fn main() -> ExitCode {
    run(
        "flux_attention",
        |of: &Arguments| &of.common,
        |arguments, bench| {
            bench.heading();
            let common = &arguments.common;
            let small = common.small;
            let exact = common.backend == Backend::Flex && common.dtype == Precision::F32;
            for side in if small { vec![8] } else { vec![32, 64] } {
                let shape = match small {
                    true => Shape {
                        heads: 2,
                        head_dim: 64,
                        text: 64,
                        sides: [side, 8],
                    },
                    false => Shape {
                        heads: 24,
                        head_dim: 128,
                        text: 512,
                        sides: [side, 32],
                    },
                };
                measure(&shape, exact, bench)?;
            }
            Ok(())
        },
    )
}

fn measure(shape: &Shape, exact: bool, bench: &mut Bench) -> Result<(), Failure> {
    bench.set_memory(Memory::Allocated(&MEMORY));
    let place = bench.place();
    let [edge, condition] = shape.sides;
    let grids = [Grid::new(condition, condition)];
    let layout = TokenLayout::joint(shape.text, Grid::new(edge, edge), grids);
    let len = layout.conditions[0].range.end;
    let [q, k, v] = [1, 2, 3].map(|seed| {
        numbers::<4>([1, len, shape.heads, shape.head_dim], seed, &place).swap_dims(1, 2) // [1, heads, len, head_dim]
    });
    let call = AttentionCall::joint(q.clone(), k.clone(), v.clone(), layout.clone());

    let config = FluxConfig::dev();
    let concept_block = SiteId::new(config.num_layers - 1);
    let other = SiteId::new(config.num_layers);
    let batch = BatchLayout::unguided(1);
    let sites = attention_sites(&config);
    let plain_plan = AttentionPlan::plain(&sites);
    let mut plain_session = Session::new(&plain_plan, batch, [])?;
    let block = pipeline::concept_block(&config, Fidelity::Paper);
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::joint(), ConceptrolLayer::new(block))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()?;
    let concept = || Concept::new("concept", [vec![WORDS]]);
    let mut session = Session::new(&plan, batch, [concept()])?;
    let mut publishing = Session::new(&plan, batch, [concept()])?;
    session.attend(concept_block, call.clone())?; // publishes the mask that is in force from here on

    let mask = session.board().latest(0).ok_or("no mask")?.values().clone();
    let dense = || dense(&mask, [&q, &k, &v], &layout, &place);
    let deviation = {
        let ours = session.attend(other, call.clone())?;
        (ours - dense()).abs().max().cast(FloatDType::F32)
    };
    let deviation = deviation.into_scalar::<f32>();

    let mut ways = [
        Way::new("plain", || Ok(plain_session.attend(other, call.clone())?)),
        Way::new("conceptrol", || Ok(session.attend(other, call.clone())?)),
        Way::new("concept block", || {
            Ok(publishing.attend(concept_block, call.clone())?)
        }),
    ];
    let Shape {
        heads,
        head_dim,
        text,
        ..
    } = shape;
    let latents = layout.latents.range.len();
    let title = format!(
        "{heads} heads of {head_dim}, {text} text + {latents} latent + {} condition tokens",
        condition * condition
    );
    let all = bench.compare(&title, 7, 0, &mut ways)?;

    // q, k, v and the output
    let activations = (4 * heads * len * head_dim * DType::from(place.dtype).size()) as f64;
    if let [Some(plain), more @ ..] = &all.iter().map(|m| m.host_peak).collect::<Vec<_>>()[..] {
        for (measured, peak) in all[1..].iter().zip(more) {
            let more = peak.unwrap_or(0) as f64 - *plain as f64;
            println!(
                "{}: {:.2} % of the activations allocated above plain",
                measured.name,
                100.0 * more / activations
            );
        }
    }
    bench.single(1, Way::new(format!("{title}: dense bias"), || Ok(dense())))?;
    println!("largest deviation of conceptrol from the dense bias: {deviation:.1e}");
    let mut row = bench.row(format!("{title}: conceptrol and the dense bias"));
    row.numbers
        .insert("largest deviation".into(), f64::from(deviation));
    bench.put(row)?;
    // kernels of cards multiply in f16, so there the number is for the reader
    if exact && (deviation.is_nan() || deviation >= TOLERANCE) {
        return Err(format!("the structured bias is not the dense one: {deviation}").into());
    }
    Ok(())
}

/// The authors' bias, element by element: words outside the concept do not see the condition, latents weigh it by the mask.
fn dense(
    mask: &Tensor<2>,
    [q, k, v]: [&Tensor<4>; 3],
    layout: &TokenLayout,
    place: &Place,
) -> Tensor<4> {
    let device: &Device = &place.device;
    let [condition, seen] = [layout.conditions[0].range.len(), layout.latents.range.end];
    let text = layout.text.as_ref().map_or(0, Range::len);
    let on = || (device, DType::F32);
    let blocked = |len| Tensor::<2>::full([1, len], LogitBias::BLOCKED, on());
    let open = |len| Tensor::<2>::zeros([1, len], on());
    let parts = vec![
        blocked(WORDS.start),
        open(WORDS.len()),
        blocked(text - WORDS.end),
        mask.clone().cast(FloatDType::F32).log(),
        open(condition),
    ];
    let rows: Tensor<4> = Tensor::cat(parts, 1).reshape([1, 1, -1, 1]);
    let len = rows.dims()[2];
    let parts = vec![
        Tensor::zeros([1, 1, len, seen], on()),
        rows.expand([1, 1, len, condition]),
    ];
    let matrix = Tensor::cat(parts, 3).cast(place.dtype);
    let options = AttentionModuleOptions::default();
    let [q, k, v] = [q, k, v].map(Tensor::clone);
    module::attention(q, k, v, None, Some(matrix), options)
}
