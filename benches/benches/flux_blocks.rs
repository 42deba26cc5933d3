//! Whole blocks of FLUX.1-dev with random weights: plain, with a condition, and with Conceptrol's gate on it, in turns.
//!
//! `cargo bench -p conceptrol-benches --bench flux_blocks [-- --edge 1024]`, 512 pixels if absent. For `peers/flux_blocks.py`, which
//! writes the model and the inputs and takes turns with this, `flux_blocks DIR` answers each line on standard input, a number of
//! repeats, with the shortest time in milliseconds, and writes the output to `DIR/output.bin` as little-endian f32.

use std::{
    fs,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use burn::tensor::{FloatDType, Tensor};
use clap::Parser;
use conceptrol_benches::{
    Failure, FluxInputs, Place, Times, flux_blocks,
    harness::{Bench, Common, Way, run},
};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Session, SiteSelector,
    models::weights::{Checkpoint, Weights},
    pipeline::{Fidelity, Residency},
    processors::{ConceptrolLayer, JointConditionLayer},
};
use conceptrol_flux::{
    FluxConfig, attention_sites, load::load_transformer, mmdit::FluxTransformer, pipeline,
};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Side of picture and reference in pixels [default: 512; --small: 128].
    #[arg(long)]
    edge: Option<usize>,
    /// The folder of a peer.
    #[arg(value_name = "DIR")]
    peer: Option<PathBuf>,
}

fn main() -> ExitCode {
    run(
        "flux_blocks",
        |of: &Arguments| &of.common,
        |arguments, bench| match &arguments.peer {
            Some(folder) => serve(folder, &bench.place()),
            None => measure(arguments, bench),
        },
    )
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    bench.heading();
    let small = arguments.common.small;
    let (side, text) = if small { (128, 64) } else { (512, 512) };
    let side = arguments.edge.unwrap_or(side);
    let (config, place) = (flux_blocks(small), bench.place());
    let model = FluxTransformer::new(&config, &Weights::random(1, &place.device, place.dtype));
    let inputs = |references| FluxInputs::new(&config, side, text, references, &place);
    let (alone, conditioned) = (inputs(0), inputs(1));

    let sites = attention_sites(&config);
    let block = pipeline::concept_block(&config, Fidelity::Paper);
    let plain = AttentionPlan::plain(&sites);
    let joint = SiteSelector::joint;
    let adapter = AttentionPlan::builder(&sites)
        .layer(joint(), JointConditionLayer::new())
        .build()?;
    let gated = AttentionPlan::builder(&sites)
        .layer(joint(), ConceptrolLayer::new(block))
        .layer(joint(), JointConditionLayer::new())
        .build()?;
    let session =
        |plan, concepts: Vec<Concept>| Session::new(plan, BatchLayout::unguided(1), concepts);
    let concept = || vec![Concept::new("concept", [vec![6..8]])];
    let mut sessions = [
        session(&plain, Vec::new())?,
        session(&adapter, concept())?,
        session(&gated, concept())?,
    ];
    let [plain, adapter, gated] = &mut sessions;
    let mut ways = [
        Way::new("text only", || alone.run(&model, plain)),
        Way::new("with a condition", || conditioned.run(&model, adapter)),
        Way::new("conceptrol", || conditioned.run(&model, gated)),
    ];
    let title = format!("a double and a single block, {side}x{side}");
    bench.compare(&title, 3, 1, &mut ways)?;
    Ok(())
}

/// Takes turns with a peer.
fn serve(folder: &Path, place: &Place) -> Result<(), Failure> {
    let config = FluxConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(
        folder.join("diffusion_pytorch_model.safetensors"),
        &place.device,
        place.dtype,
    )?;
    let model = load_transformer(&config, weights, Residency::Memory)?;
    let inputs = Inputs::read(folder, place)?;
    for line in std::io::stdin().lock().lines() {
        let repeats: usize = line?.trim().parse()?;
        let mut output = None;
        let times = Times::of(repeats.max(1), || {
            output = Some(inputs.run(&model));
            place.device.sync()
        });
        let output = output.ok_or("no run")??.cast(FloatDType::F32);
        let output = output.into_data().try_to_vec::<f32>()?;
        let bytes: Vec<u8> = output.into_iter().flat_map(f32::to_le_bytes).collect();
        fs::write(folder.join("output.bin"), bytes)?;
        println!("{}", times.best());
        std::io::stdout().flush()?;
    }
    Ok(())
}

struct Inputs {
    latents: Tensor<3>,
    text: Tensor<3>,
    pooled: Tensor<2>,
}

impl Inputs {
    fn read(folder: &Path, place: &Place) -> Result<Self, Failure> {
        let file = Checkpoint::open(folder.join("inputs.safetensors"))?;
        Ok(Self {
            latents: load(&file, "hidden_states", place)?,
            text: load(&file, "encoder_hidden_states", place)?,
            pooled: load(&file, "pooled_projections", place)?,
        })
    }

    fn run(&self, model: &FluxTransformer) -> Result<Tensor<3>, Failure> {
        let config = model.config();
        let (latents, text) = (self.latents.clone(), self.text.clone());
        let inputs = FluxInputs::of(config, latents, None, text, self.pooled.clone());
        let plan = AttentionPlan::plain(&attention_sites(config));
        let mut session = Session::new(&plan, BatchLayout::unguided(1), [])?;
        inputs.run(model, &mut session)
    }
}

fn load<const D: usize>(
    file: &Checkpoint,
    name: &str,
    place: &Place,
) -> Result<Tensor<D>, Failure> {
    Ok(file
        .load(name, &place.device, place.dtype)?
        .ok_or(format!("no tensor {name}"))?)
}
