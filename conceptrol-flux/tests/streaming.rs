//! FLUX.1 at its true size with the blocks on disk: one step at 512 x 512 in less than 8 GB.
//!
//! `CONCEPTROL_SCRATCH=DIR cargo test --release -p conceptrol-flux --test streaming -- --ignored --nocapture`
//!
//! Writes a checkpoint of 24 GB with random weights to `DIR` (the system's temporary folder without it) and removes it.

mod common;

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor};
use common::checkpoint;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionPlan, BatchLayout, Grid, Session, TokenLayout};
use conceptrol_flux::latents::{grid_positions, text_positions};
use conceptrol_flux::load::{Residency, load_transformer};
use conceptrol_flux::mmdit::{FluxInput, FluxTransformer, Rotary};
use conceptrol_flux::{FluxConfig, attention_sites};

/// Random bf16 numbers of magnitude 1/128 to 1/64, which keep the activations of 3072 inputs near 1.
fn random_pool() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bits = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The sign and the mantissa are random, the exponent is that of 2^-7.
        ((state >> 32) as u16 & 0x807f) | (120 << 7)
    };
    (0..8 << 20).flat_map(|_| bits().to_le_bytes()).collect()
}

/// Peak resident memory of this process in gigabytes, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1e6)
}

#[test]
#[ignore = "needs 24 GB of disk and some minutes"]
fn one_step_in_little_memory() {
    let device = Device::flex();
    let config = FluxConfig::dev();
    let names = Weights::names(&device);
    drop(FluxTransformer::new(&config, &names));
    let tensors = names.finish().expect("names");

    let scratch =
        std::env::var_os("CONCEPTROL_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(scratch).expect("a folder");
    let path = scratch.path().join("flux.safetensors");
    let pool = random_pool();
    checkpoint::write(&path, ("BF16", 2), &tensors, |tensor, file| {
        let mut left = 2 * tensor.elements();
        while left > 0 {
            let part = left.min(pool.len());
            file.write_all(&pool[..part]).expect("written");
            left -= part;
        }
    });
    drop(pool);
    let size = std::fs::metadata(&path).expect("a file").len();

    let start = Instant::now();
    let weights = Weights::open(&path, &device, FloatDType::F32).expect("weights");
    let model = load_transformer(&config, weights, Residency::Disk).expect("every tensor is used");
    println!(
        "{:.1} GB opened in {:.1} s",
        size as f64 / 1e9,
        start.elapsed().as_secs_f64()
    );

    let (grid, text_len) = (Grid::new(32, 32), 512);
    let mut positions = text_positions(text_len);
    positions.extend(grid_positions(grid));
    let rotary = Rotary::new(&positions, config.axes_dims_rope, &device, FloatDType::F32);
    let layout = TokenLayout::joint(text_len, grid, []);
    let plan = AttentionPlan::plain(&attention_sites(&config));
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).expect("a session");
    let start = Instant::now();
    let input = FluxInput {
        latents: Tensor::ones([1, grid.cells(), config.in_channels], &device),
        text: Tensor::ones([1, text_len, config.joint_attention_dim], &device),
        pooled: Tensor::ones([1, config.pooled_projection_dim], &device),
        condition: None,
        sigma: 1.0,
        guidance: 3.5,
        rotary: &rotary,
        layout: &layout,
    };
    let velocity = model.forward(input, &mut session).expect("an evaluation");
    let velocity = velocity.into_data().try_to_vec::<f32>().expect("f32");
    println!(
        "one step at 512x512: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    assert!(velocity.iter().all(|x| x.is_finite()));
    if let Some(peak) = peak_memory() {
        println!("peak resident memory: {peak:.2} GB");
        assert!(peak < 8.0, "{peak:.2} GB");
    }
}
