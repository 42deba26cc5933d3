//! Whole blocks of FLUX for `peers/flux_blocks.py`, which writes the model and the inputs and takes turns with this.
//!
//! `flux_blocks DIR` answers each line on standard input, a number of repeats, with the shortest time in milliseconds, and writes
//! the output to `DIR/output.bin` as little-endian f32.

use std::{
    error::Error,
    fs,
    io::{BufRead, Write},
    path::{Path, PathBuf},
};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_benches::Times;
use conceptrol_core::{
    AttentionPlan, BatchLayout, Grid, Session, TokenLayout,
    models::weights::{Checkpoint, Weights},
    pipeline::Residency,
};
use conceptrol_flux::{
    FluxConfig, attention_sites,
    latents::{grid_positions, text_positions},
    load::load_transformer,
    mmdit::{FluxInput, FluxTransformer, Rotary},
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| argument != "--bench");
    let Some(folder) = folder.map(PathBuf::from) else {
        println!("flux_blocks is driven by peers/flux_blocks.py");
        return Ok(());
    };
    let device = Device::flex();
    let config = FluxConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(
        folder.join("diffusion_pytorch_model.safetensors"),
        &device,
        FloatDType::F32,
    )?;
    let model = load_transformer(&config, weights, Residency::Memory)?;
    let inputs = Inputs::read(&folder, &device)?;
    for line in std::io::stdin().lock().lines() {
        let repeats: usize = line?.trim().parse()?;
        let mut output = None;
        let times = Times::of(repeats.max(1), || output = Some(inputs.run(&model)));
        let output = output.ok_or("no run")?.into_data().try_to_vec::<f32>()?;
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
    grid: Grid,
}

impl Inputs {
    fn read(folder: &Path, device: &Device) -> Result<Self, Box<dyn Error>> {
        let file = Checkpoint::open(folder.join("inputs.safetensors"))?;
        let latents: Tensor<3> = load(&file, "hidden_states", device)?;
        let edge = latents.dims()[1].isqrt();
        Ok(Self {
            text: load(&file, "encoder_hidden_states", device)?,
            pooled: load(&file, "pooled_projections", device)?,
            grid: Grid::new(edge, edge),
            latents,
        })
    }

    fn run(&self, model: &FluxTransformer) -> Tensor<3> {
        let (config, device) = (model.config(), self.latents.device());
        let text_len = self.text.dims()[1];
        let mut positions = text_positions(text_len);
        positions.extend(grid_positions(self.grid));
        let rotary = Rotary::new(&positions, config.axes_dims_rope, &device, FloatDType::F32);
        let layout = TokenLayout::joint(text_len, self.grid, []);
        let plan = AttentionPlan::plain(&attention_sites(config));
        let mut session = Session::new(&plan, BatchLayout::unguided(1), []).expect("a session");
        let input = FluxInput {
            latents: self.latents.clone(),
            text: self.text.clone(),
            pooled: self.pooled.clone(),
            condition: None,
            sigma: 0.75,
            guidance: 3.5,
            rotary: &rotary,
            layout: &layout,
        };
        model.forward(input, &mut session).expect("an evaluation")
    }
}

fn load<const D: usize>(
    file: &Checkpoint,
    name: &str,
    device: &Device,
) -> Result<Tensor<D>, Box<dyn Error>> {
    Ok(file
        .load(name, device, FloatDType::F32)?
        .ok_or(format!("no tensor {name}"))?)
}
