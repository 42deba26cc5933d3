//! What an IP-Adapter costs one double and one single block of FLUX, and what Conceptrol's gate costs over it.
//!
//! `cargo bench -p conceptrol-benches --bench flux_ip_adapter [-- ROUNDS [SIDE...]]`: rounds (7), sides of the picture in pixels
//! (512 and 1024).
//!
//! The sides of each comparison take turns; times are of the processor where the system tells, all threads together, since other
//! programs disturb those less. What Conceptrol adds is also measured alone: reading a mask, and weighing a term by it. The double block is the concept block, so that each evaluation also reads a mask: one
//! of two blocks does, of FLUX.1 one of 57. What is printed of Conceptrol is more than what it costs there.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_benches::{Counting, Failure, Times, numbers, processor_time};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Grid, ReferenceTokens, Session, SiteSelector, TokenLayout,
    kernel,
    mask::ConceptBlock,
    models::weights::Weights,
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};
use conceptrol_flux::{
    FluxConfig, attention_sites,
    latents::{PIXELS_PER_TOKEN, grid_positions, text_positions},
    mmdit::{FluxInput, FluxTransformer, Rotary},
};

#[global_allocator]
static MEMORY: Counting = Counting::new();

const TEXT: usize = 512;
const CONTEXT: usize = 4096;
const DOUBLE: &str = "transformer_blocks.0.attn";
const SINGLE: &str = "single_transformer_blocks.0.attn";

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).filter_map(|x| x.parse().ok());
    let rounds: usize = numbers.next().unwrap_or(7).max(1);
    let sides: Vec<usize> = numbers.collect();
    let sides = if sides.is_empty() {
        vec![512, 1024]
    } else {
        sides
    };
    let device = Device::flex();
    let config = FluxConfig {
        num_layers: 1,
        num_single_layers: 1,
        ..FluxConfig::dev()
    };
    let model = FluxTransformer::new(&config, &Weights::random(1, &device, FloatDType::F32));
    for side in sides {
        let edge = side / PIXELS_PER_TOKEN;
        for adapter in [Adapter::XLabs, Adapter::InstantX] {
            measure(&model, adapter, Grid::new(edge, edge), rounds)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adapter {
    /// 16 tokens, as version 2, at the end of the double block.
    XLabs,
    /// 128 tokens at both blocks.
    InstantX,
}

impl Adapter {
    fn layer(self, config: &FluxConfig, device: &Device) -> IpAdapterLayer {
        let inner = config.inner_dim();
        let weight = |seed| numbers::<2>([inner, CONTEXT], seed, device) * 0.02;
        let projection = |seed| IpProjection::new(weight(seed), weight(seed + 1));
        match self {
            Self::XLabs => {
                let bias = |seed| numbers::<1>([inner], seed, device);
                let double = projection(10).biases(bias(12), bias(13));
                IpAdapterLayer::new([(DOUBLE.to_owned(), double)])
                    .after_block()
                    .sparse()
            }
            Self::InstantX => {
                let (double, single) = (projection(10), projection(14).text_rows(true));
                let normed = [(DOUBLE, double), (SINGLE, single)];
                IpAdapterLayer::new(
                    normed.map(|(name, weights)| (name.to_owned(), weights.key_norm(1e-5))),
                )
            }
        }
    }

    const fn tokens(self) -> usize {
        match self {
            Self::XLabs => 16,
            Self::InstantX => 128,
        }
    }
}

/// One way to evaluate the blocks.
struct Way {
    name: &'static str,
    session: Session,
    /// Of each round.
    milliseconds: Vec<f64>,
    peak: usize,
}

/// Milliseconds of the processor that `work` takes, or of the clock where the system does not tell.
fn cost<T>(repeats: usize, mut work: impl FnMut() -> T) -> f64 {
    let processor = processor_time(repeats, &mut work);
    processor.unwrap_or_else(|| Times::of(repeats, work).median())
}

fn measure(
    model: &FluxTransformer,
    adapter: Adapter,
    grid: Grid,
    rounds: usize,
) -> Result<(), Failure> {
    let (config, device) = (model.config(), Device::flex());
    let inputs = Inputs::new(config, grid, &device);
    let sites = attention_sites(config);
    let tokens: Tensor<3> = numbers([1, adapter.tokens(), CONTEXT], 5, &device);
    let concept = || {
        Concept::new("concept", [vec![6..8]])
            .reference(ReferenceTokens::new(tokens.clone(), tokens.clone()))
    };
    let block = ConceptBlock::cross(SiteSelector::named(DOUBLE));
    let joint = SiteSelector::joint;
    let plain = AttentionPlan::plain(&sites);
    let with = AttentionPlan::builder(&sites)
        .layer(joint(), adapter.layer(config, &device))
        .build()?;
    let gated = AttentionPlan::builder(&sites)
        .layer(joint(), ConceptrolLayer::new(block))
        .layer(joint(), adapter.layer(config, &device))
        .build()?;
    let way = |name, plan, concepts: Vec<Concept>| -> Result<Way, Failure> {
        Ok(Way {
            name,
            session: Session::new(plan, BatchLayout::unguided(1), concepts)?,
            milliseconds: Vec::new(),
            peak: 0,
        })
    };
    let mut ways = [
        way("words only", &plain, Vec::new())?,
        way("adapter", &with, vec![concept()])?,
        way("conceptrol", &gated, vec![concept()])?,
    ];
    for round in 0..=rounds {
        for way in &mut ways {
            let run = || cost(1, || inputs.run(model, &mut way.session));
            let (peak, milliseconds) = MEMORY.peak_of(run);
            // the first round projects keys and values
            if round > 0 {
                way.milliseconds.push(milliseconds);
                way.peak = way.peak.max(peak);
            }
        }
    }
    println!(
        "{adapter:?}, {grid} latents, {TEXT} text tokens, one double and one single block, f32, {rounds} rounds"
    );
    println!(
        "{:<12} {:>9} {:>10} {:>22} {:>9} {:>13}",
        "", "best ms", "median ms", "to the adapter, median", "peak MB", "to the adapter"
    );
    for way in &ways {
        let base = &ways[1];
        let mut ratios: Vec<f64> = (way.milliseconds.iter().zip(&base.milliseconds))
            .map(|(a, b)| a / b)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let mut milliseconds = way.milliseconds.clone();
        milliseconds.sort_by(f64::total_cmp);
        println!(
            "{:<12} {:>9.1} {:>10.1} {:>22.4} {:>9.1} {:>13.4}",
            way.name,
            milliseconds[0],
            milliseconds[rounds / 2],
            ratios[rounds / 2],
            way.peak as f64 / 1e6,
            way.peak as f64 / base.peak as f64,
        );
    }
    let (heads, head_dim) = (config.num_attention_heads, config.attention_head_dim);
    let rows = |tokens, seed| numbers::<4>([1, heads, tokens, head_dim], seed, &device);
    let (query, key) = (rows(grid.cells(), 20), rows(TEXT, 21));
    let mask: Tensor<4> = numbers([1, 1, grid.cells(), 1], 22, &device);
    let alone = [
        (
            "reading a mask",
            cost(rounds, || kernel::text_map(query.clone(), key.clone())),
        ),
        (
            "weighing a term",
            cost(rounds, || query.clone() * mask.clone()),
        ),
    ];
    let adapter = &ways[1].milliseconds;
    let mean = adapter.iter().sum::<f64>() / adapter.len() as f64;
    for (what, milliseconds) in alone {
        let share = 100.0 * milliseconds / mean;
        println!("{what:<16} {milliseconds:>8.1} ms, {share:.2} % of both blocks with the adapter");
    }
    println!();
    Ok(())
}

struct Inputs {
    latents: Tensor<3>,
    text: Tensor<3>,
    pooled: Tensor<2>,
    rotary: Rotary,
    layout: TokenLayout,
}

impl Inputs {
    fn new(config: &FluxConfig, grid: Grid, device: &Device) -> Self {
        let mut positions = text_positions(TEXT);
        positions.extend(grid_positions(grid));
        Self {
            latents: numbers([1, grid.cells(), config.in_channels], 2, device),
            text: numbers([1, TEXT, config.joint_attention_dim], 3, device),
            pooled: numbers([1, config.pooled_projection_dim], 4, device),
            rotary: Rotary::new(&positions, config.axes_dims_rope, device, FloatDType::F32),
            layout: TokenLayout::joint(TEXT, grid, []),
        }
    }

    fn run(&self, model: &FluxTransformer, session: &mut Session) -> Tensor<3> {
        let input = FluxInput {
            latents: self.latents.clone(),
            text: self.text.clone(),
            pooled: self.pooled.clone(),
            condition: None,
            sigma: 0.75,
            guidance: 3.5,
            rotary: &self.rotary,
            layout: &self.layout,
        };
        model.forward(input, session).expect("an evaluation")
    }
}
