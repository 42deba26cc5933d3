//! One double and one single block at FLUX's true size against diffusers, and the time they take.
//!
//! `cargo test --release -p conceptrol-flux --test full_size_blocks -- --ignored --nocapture`; needs 4 GB. Weights and inputs
//! follow the formula of `fixtures/full_size_blocks/generate.py`.

mod common;

use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use common::Case;
use common::checkpoint;
use conceptrol_core::models::weights::{TensorInfo, Weights};
use conceptrol_core::{AttentionPlan, BatchLayout, Grid, Session, TokenLayout};
use conceptrol_flux::latents::{grid_positions, text_positions};
use conceptrol_flux::mmdit::{FluxInput, FluxTransformer, Rotary};
use conceptrol_flux::{FluxConfig, attention_sites};

/// Multiples of 1/128 in -1..1: `SplitMix64` of the index, seeded with the FNV-1a hash of the name.
fn numbers(name: &str, count: usize) -> impl Iterator<Item = f32> + use<> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (1..=count as u64).map(move |index| {
        let mut x = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 56) as f32 / 128.0 - 1.0
    })
}

/// A parameter's values.
fn parameter(tensor: &TensorInfo) -> Box<dyn Iterator<Item = f32> + '_> {
    let values = numbers(&tensor.name, tensor.elements());
    match tensor.shape[..] {
        [_, inputs] => {
            let scale = (-((inputs as f64).log2() / 2.0 + 0.2).round()).exp2() as f32;
            Box::new(values.map(move |x| x * scale))
        }
        _ if tensor.name.contains(".norm_") => Box::new(values.map(|x| 1.0 + x / 4.0)),
        _ => Box::new(values.map(|x| x / 16.0)),
    }
}

fn input<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = numbers(name, shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn run(model: &FluxTransformer, text_len: usize, grid: Grid, device: &Device) -> Tensor<3> {
    let config = model.config();
    let mut positions = text_positions(text_len);
    positions.extend(grid_positions(grid));
    let rotary = Rotary::new(&positions, config.axes_dims_rope, device, FloatDType::F32);
    let layout = TokenLayout::joint(text_len, grid, []);
    let plan = AttentionPlan::plain(&attention_sites(config));
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).expect("a session");
    let input = FluxInput {
        latents: input("latents", [1, grid.cells(), config.in_channels], device),
        text: input("text", [1, text_len, config.joint_attention_dim], device),
        pooled: input("pooled", [1, config.pooled_projection_dim], device),
        condition: None,
        sigma: 0.75,
        guidance: 3.5,
        rotary: &rotary,
        layout: &layout,
    };
    model.forward(input, &mut session).expect("an evaluation")
}

#[test]
#[ignore = "needs 4 GB and half a minute"]
fn blocks_equal_the_reference() {
    let case = Case::crate_local("full_size_blocks");
    let config = FluxConfig {
        num_layers: 1,
        num_single_layers: 1,
        ..FluxConfig::dev()
    };
    let names = Weights::names(&case.device);
    drop(FluxTransformer::new(&config, &names));
    let tensors = names.finish().expect("names");

    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("blocks.safetensors");
    checkpoint::write(&path, ("F32", 4), &tensors, |tensor, file| {
        let bytes: Vec<u8> = parameter(tensor).flat_map(f32::to_le_bytes).collect();
        file.write_all(&bytes).expect("written");
    });
    let weights = Weights::open(&path, &case.device, FloatDType::F32).expect("weights");
    let model = FluxTransformer::new(&config, &weights);
    weights.finish().expect("every tensor is used");

    case.check("out", run(&model, 128, Grid::new(16, 16), &case.device));
    for _ in 0..2 {
        let start = Instant::now();
        let out = run(&model, 512, Grid::new(32, 32), &case.device).into_data();
        assert_eq!(out.shape().num_elements(), 1024 * 64);
        println!(
            "512 text and 1024 latent tokens: {:.2} s",
            start.elapsed().as_secs_f64()
        );
    }
}
