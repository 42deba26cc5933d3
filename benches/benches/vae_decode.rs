//! Decoding latents to a picture with a full-size autoencoder of SDXL and random weights, in tiles and at once. Prints seconds
//! and peak memory.
//!
//! `cargo bench -p conceptrol-benches --bench vae_decode [-- EDGE [TILE]..]`, in pixels; a tile of 0 is the whole picture;
//! 1024 in tiles of 512 and at once if absent.

use std::{error::Error, time::Instant};

use burn::tensor::{Device, FloatDType};
use conceptrol_benches::{Peak, numbers, parameters};
use conceptrol_core::models::{
    autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig, Tiling},
    weights::Weights,
};

/// `vae/config.json` of SDXL, without what is the default.
const SDXL: &str = r#"{
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 1024, "scaling_factor": 0.13025
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let edges: Vec<usize> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(|argument| argument.parse())
        .collect::<Result<_, _>>()?;
    let (edge, tiles) = match edges.split_first() {
        None => (1024, vec![512, 0]),
        Some((edge, [])) => (*edge, vec![512, 0]),
        Some((edge, tiles)) => (*edge, tiles.to_vec()),
    };
    let device = Device::flex();
    let config = AutoencoderKlConfig::from_json(SDXL)?;
    let weights = Weights::random(0, &device, FloatDType::F32);
    let vae = AutoencoderKl::new(&config, &weights);
    let weights = 4 * parameters(&weights.finish()?);
    println!(
        "autoencoder of SDXL, {:.3} GB of weights, {edge}x{edge}",
        weights as f64 / 1e9
    );

    let cells = edge / config.downscale();
    println!("{:<12} {:>8} {:>8}", "tile", "s", "peak GB");
    for tile in tiles {
        let latents = numbers([1, config.latent_channels, cells, cells], 1, &device);
        let tiling = (tile > 0).then(|| Tiling::new(tile));
        let peak = Peak::start();
        let start = Instant::now();
        let _ = vae.decode(latents, tiling.as_ref())?.into_data();
        let seconds = start.elapsed().as_secs_f64();
        let tile = if tile == 0 {
            "whole".to_owned()
        } else {
            tile.to_string()
        };
        let peak = peak.total().unwrap_or(0) as f64 / 1e9;
        println!("{tile:<12} {seconds:>8.2} {peak:>8.3}");
    }
    Ok(())
}
