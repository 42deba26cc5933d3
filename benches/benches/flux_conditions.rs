//! What keeping the keys and values of independent conditions saves of a double and a single block of FLUX.
//!
//! `cargo bench -p conceptrol-benches --bench flux_conditions [-- ROUNDS [SIDE]]`: rounds (3), side of picture and references in
//! pixels (512).
//!
//! Both ways take turns; what is printed is the processor time of an evaluation after the first, and the bytes that are kept.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_benches::{Failure, numbers, processor_time};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Grid, Projected, Session, SiteId, SiteSelector,
    TokenLayout,
    models::weights::Weights,
    processors::{JointConditionLayer, ReferenceSight},
};
use conceptrol_flux::{
    FluxConfig, attention_sites,
    latents::{PIXELS_PER_TOKEN, grid_positions, text_positions},
    mmdit::{FluxInput, FluxTransformer, Reading, Rotary},
    omini::Placement,
};

const TEXT: usize = 512;

fn main() -> Result<(), Failure> {
    let mut given = std::env::args().skip(1).filter_map(|x| x.parse().ok());
    let rounds: usize = given.next().unwrap_or(3).max(1);
    let edge = given.next().unwrap_or(512) / PIXELS_PER_TOKEN;
    let device = Device::flex();
    let config = FluxConfig {
        num_layers: 1,
        num_single_layers: 1,
        ..FluxConfig::dev()
    };
    let weights = Weights::random(1, &device, FloatDType::F32);
    let mut model = FluxTransformer::new(&config, &weights);
    for references in [1, 2] {
        let inputs = Inputs::new(&config, Grid::new(edge, edge), references, &device);
        let mut sessions = [inputs.session(&config)?, inputs.session(&config)?];
        let readings = [Reading::Finished, Reading::Independent];
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=rounds {
            for (way, reading) in readings.into_iter().enumerate() {
                model.set_reading(reading);
                let session = &mut sessions[way];
                let time = processor_time(1, || inputs.run(&model, session));
                // the first evaluation computes what is kept
                times[way].extend(time.filter(|_| round > 0));
            }
        }
        let [computed, kept] = times.map(|times| times.into_iter().fold(f64::INFINITY, f64::min));
        let pair = sessions[1].kept(SiteId::new(0), Projected::Conditions);
        let (k, v) = pair.ok_or("nothing was kept")?;
        let numbers: usize = [k.dims(), v.dims()]
            .iter()
            .map(|dims| dims.iter().product::<usize>())
            .sum();
        println!(
            "{references} references of {edge}x{edge} tokens: computed {computed:.0} ms, kept {kept:.0} ms, {:.3} of it; \
             {:.1} MB kept a block",
            kept / computed,
            (numbers * 4) as f64 / 1e6
        );
    }
    Ok(())
}

struct Inputs {
    latents: Tensor<3>,
    text: Tensor<3>,
    pooled: Tensor<2>,
    condition: Tensor<3>,
    rotary: Rotary,
    layout: TokenLayout,
    references: usize,
}

impl Inputs {
    fn new(config: &FluxConfig, grid: Grid, references: usize, device: &Device) -> Self {
        let grids = vec![grid; references];
        let mut positions = text_positions(TEXT);
        positions.extend(grid_positions(grid));
        let beside = Placement::RightOfPicture.positions(grid, &grids);
        positions.extend(beside.into_iter().flatten());
        let tokens = |count, seed| numbers::<3>([1, count, config.in_channels], seed, device);
        Self {
            latents: tokens(grid.cells(), 1),
            condition: tokens(references * grid.cells(), 2),
            text: numbers([1, TEXT, config.joint_attention_dim], 3, device),
            pooled: numbers([1, config.pooled_projection_dim], 4, device),
            rotary: Rotary::new(&positions, config.axes_dims_rope, device, FloatDType::F32),
            layout: TokenLayout::joint(TEXT, grid, grids),
            references,
        }
    }

    fn session(&self, config: &FluxConfig) -> Result<Session, Failure> {
        let layer = JointConditionLayer::new().references_see(ReferenceSight::Themselves);
        let plan = AttentionPlan::builder(&attention_sites(config))
            .layer(SiteSelector::joint(), layer)
            .build()?;
        let concepts =
            (0..self.references).map(|index| Concept::new("a concept", [vec![index..index + 1]]));
        Ok(Session::new(&plan, BatchLayout::unguided(1), concepts)?)
    }

    fn run(&self, model: &FluxTransformer, session: &mut Session) -> Tensor<3> {
        let input = FluxInput {
            latents: self.latents.clone(),
            text: self.text.clone(),
            pooled: self.pooled.clone(),
            condition: Some(self.condition.clone()),
            sigma: 0.75,
            guidance: 3.5,
            rotary: &self.rotary,
            layout: &self.layout,
        };
        model.forward(input, session).expect("an evaluation")
    }
}
