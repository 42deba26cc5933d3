//! What keeping the keys and values of independent conditions saves of a double and a single block of FLUX.
//!
//! `cargo bench -p conceptrol-benches --bench flux_conditions [-- --edge 1024]`, the side of picture and references in pixels; 512 if
//! absent.
//!
//! Both ways take turns, after an evaluation of each, in which what is kept is computed.

use std::process::ExitCode;

use burn::tensor::DType;
use clap::Parser;
use conceptrol_benches::{
    Failure, FluxInputs, flux_blocks,
    harness::{Bench, Common, Way, run},
};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Projected, Session, SiteId, SiteSelector,
    models::weights::Weights,
    processors::{JointConditionLayer, ReferenceSight},
};
use conceptrol_flux::{
    FluxConfig, attention_sites,
    mmdit::{FluxTransformer, Reading},
};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Side of picture and references in pixels [default: 512; --small: 128].
    #[arg(long)]
    edge: Option<usize>,
}

fn main() -> ExitCode {
    run("flux_conditions", |of: &Arguments| &of.common, measure)
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    bench.heading();
    let small = arguments.common.small;
    let (side, text) = if small { (128, 64) } else { (512, 512) };
    let side = arguments.edge.unwrap_or(side);
    let (config, place) = (flux_blocks(small), bench.place());
    let weights = Weights::random(1, &place.device, place.dtype);
    // a reading is a property of the model; the weights are shared
    let mut computing = FluxTransformer::new(&config, &weights);
    let mut keeping = computing.clone();
    computing.set_reading(Reading::Finished);
    keeping.set_reading(Reading::Independent);
    for references in [1, 2] {
        let inputs = FluxInputs::new(&config, side, text, references, &place);
        let (mut first, mut second) =
            (session(&config, references)?, session(&config, references)?);
        let mut ways = [
            Way::new("computed at each step", || {
                inputs.run(&computing, &mut first)
            }),
            Way::new("kept", || inputs.run(&keeping, &mut second)),
        ];
        let title = format!("{references} references of {side}x{side}");
        bench.compare(&title, 3, 0, &mut ways)?;
        drop(ways);
        let pair = second.kept(SiteId::new(0), Projected::Conditions);
        let (k, v) = pair.ok_or("nothing was kept")?;
        let numbers: usize = [k.dims(), v.dims()]
            .iter()
            .map(|dims| dims.iter().product::<usize>())
            .sum();
        let bytes = numbers * DType::from(bench.dtype()).size();
        println!("kept a block: {:.1} MB", bytes as f64 / 1e6);
        let mut row = bench.row(format!("{title}: a block"));
        row.numbers.insert("bytes kept".into(), bytes as f64);
        bench.put(row)?;
    }
    Ok(())
}

fn session(config: &FluxConfig, references: usize) -> Result<Session, Failure> {
    let layer = JointConditionLayer::new().references_see(ReferenceSight::Themselves);
    let plan = AttentionPlan::builder(&attention_sites(config))
        .layer(SiteSelector::joint(), layer)
        .build()?;
    let concepts = (0..references).map(|index| Concept::new("a concept", [vec![index..index + 1]]));
    Ok(Session::new(&plan, BatchLayout::unguided(1), concepts)?)
}
