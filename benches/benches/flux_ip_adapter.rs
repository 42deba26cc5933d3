//! What an IP-Adapter costs one double and one single block of FLUX, and what Conceptrol's gate costs over it.
//!
//! `cargo bench -p conceptrol-benches --bench flux_ip_adapter [-- --edges 512,1024]`: sides of the picture in pixels, both if absent.
//!
//! The sides of each comparison take turns. What Conceptrol adds is also measured alone: reading a mask, and weighing a term by it.
//! The double block is the concept block, so that each evaluation also reads a mask: one of two blocks does, of FLUX.1 one of 57. What
//! is printed of Conceptrol is more than what it costs there. On the CPU memory is what was allocated above what was there.

use std::process::ExitCode;

use burn::tensor::Tensor;
use clap::Parser;
use conceptrol_benches::{
    Counting, Failure, FluxInputs, Place, flux_blocks,
    harness::{Bench, Common, Memory, Way, run},
    numbers,
};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ReferenceTokens, Session, SiteSelector, kernel,
    mask::ConceptBlock,
    models::weights::Weights,
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};
use conceptrol_flux::{FluxConfig, attention_sites, mmdit::FluxTransformer};

#[global_allocator]
static MEMORY: Counting = Counting::new();

const DOUBLE: &str = "transformer_blocks.0.attn";
const SINGLE: &str = "single_transformer_blocks.0.attn";

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Sides of the picture in pixels [default: 512 and 1024; --small: 128].
    #[arg(long, value_delimiter = ',', value_name = "EDGE")]
    edges: Vec<usize>,
}

fn main() -> ExitCode {
    run(
        "flux_ip_adapter",
        |of: &Arguments| &of.common,
        |arguments, bench| {
            bench.heading();
            let small = arguments.common.small;
            let (config, place) = (flux_blocks(small), bench.place());
            let weights = Weights::random(1, &place.device, place.dtype);
            let model = FluxTransformer::new(&config, &weights);
            let (edges, text) = if small {
                (vec![128], 64)
            } else {
                (vec![512, 1024], 512)
            };
            let edges = if arguments.edges.is_empty() {
                &edges
            } else {
                &arguments.edges
            };
            for &side in edges {
                for adapter in [Adapter::XLabs, Adapter::InstantX] {
                    measure(&model, adapter, [side, text], bench)?;
                }
            }
            Ok(())
        },
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adapter {
    /// 16 tokens, as version 2, at the end of the double block.
    XLabs,
    /// 128 tokens at both blocks.
    InstantX,
}

impl Adapter {
    fn layer(self, config: &FluxConfig, place: &Place) -> IpAdapterLayer {
        let (inner, context) = (config.inner_dim(), config.joint_attention_dim);
        let weight = |seed| numbers::<2>([inner, context], seed, place) * 0.02;
        let projection = |seed| IpProjection::new(weight(seed), weight(seed + 1));
        match self {
            Self::XLabs => {
                let bias = |seed| numbers::<1>([inner], seed, place);
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

fn measure(
    model: &FluxTransformer,
    adapter: Adapter,
    [side, text]: [usize; 2],
    bench: &mut Bench,
) -> Result<(), Failure> {
    bench.set_memory(Memory::Allocated(&MEMORY));
    let (config, place) = (model.config(), bench.place());
    let inputs = FluxInputs::new(config, side, text, 0, &place);
    let sites = attention_sites(config);
    let tokens: Tensor<3> = numbers([1, adapter.tokens(), config.joint_attention_dim], 5, &place);
    let concept = || {
        Concept::new("concept", [vec![6..8]])
            .reference(ReferenceTokens::new(tokens.clone(), tokens.clone()))
    };
    let block = ConceptBlock::cross(SiteSelector::named(DOUBLE));
    let joint = SiteSelector::joint;
    let plain = AttentionPlan::plain(&sites);
    let with = AttentionPlan::builder(&sites)
        .layer(joint(), adapter.layer(config, &place))
        .build()?;
    let gated = AttentionPlan::builder(&sites)
        .layer(joint(), ConceptrolLayer::new(block))
        .layer(joint(), adapter.layer(config, &place))
        .build()?;
    let session =
        |plan, concepts: Vec<Concept>| Session::new(plan, BatchLayout::unguided(1), concepts);
    let mut words = session(&plain, Vec::new())?;
    let mut adapted = session(&with, vec![concept()])?;
    let mut conceptrol = session(&gated, vec![concept()])?;
    let mut ways = [
        Way::new("words only", || inputs.run(model, &mut words)),
        Way::new("adapter", || inputs.run(model, &mut adapted)),
        Way::new("conceptrol", || inputs.run(model, &mut conceptrol)),
    ];
    let title = format!("{adapter:?}, a double and a single block, {side}x{side}");
    bench.compare(&title, 7, 1, &mut ways)?;

    let (heads, head_dim) = (config.num_attention_heads, config.attention_head_dim);
    let cells = inputs.grid().cells();
    let rows = |tokens, seed| numbers::<4>([1, heads, tokens, head_dim], seed, &place);
    let (query, key) = (rows(cells, 20), rows(text, 21));
    let mask: Tensor<4> = numbers([1, 1, cells, 1], 22, &place);
    let mut alone = [
        Way::new("reading a mask", || {
            Ok(kernel::text_map(query.clone(), key.clone()))
        }),
        Way::new("weighing a term", || Ok(query.clone() * mask.clone())),
    ];
    bench.compare(&format!("{title}, alone"), 7, 0, &mut alone)?;
    Ok(())
}
