//! Decoding latents to a picture with a full-size autoencoder of SDXL and random weights, in tiles and at once.
//!
//! `cargo bench -p conceptrol-benches --bench vae_decode [-- --edge EDGE --tiles TILE,..]`, in pixels; a tile of 0 is the whole
//! picture; 1024 in tiles of 512 and at once if absent.

use std::process::ExitCode;

use burn::tensor::FloatDType;
use clap::Parser;
use conceptrol_benches::{
    Failure, Place,
    harness::{Bench, Common, Way, run},
    numbers, parameters,
};
use conceptrol_core::models::{
    autoencoder_kl::{AutoencoderKl, AutoencoderKlConfig, Tiling},
    weights::Weights,
};

/// `vae/config.json` of SDXL, without what is the default.
const SDXL: &str = r#"{
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 1024, "scaling_factor": 0.13025
}"#;

/// The same, an eighth as wide.
const SMALL: &str = r#"{
    "block_out_channels": [32, 32, 64, 64], "layers_per_block": 2, "sample_size": 1024, "scaling_factor": 0.13025
}"#;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Side of the picture in pixels [default: 1024; --small: 128].
    #[arg(long)]
    edge: Option<usize>,
    /// Sides of tiles in pixels; 0 is the whole picture [default: half the picture, and the whole].
    #[arg(long, value_delimiter = ',', value_name = "TILE")]
    tiles: Vec<usize>,
}

fn main() -> ExitCode {
    run("vae_decode", |of: &Arguments| &of.common, measure)
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    bench.heading();
    let (config, edge) = match arguments.common.small {
        true => (SMALL, 128),
        false => (SDXL, 1024),
    };
    let edge = arguments.edge.unwrap_or(edge);
    let tiles = match &arguments.tiles[..] {
        [] => vec![edge / 2, 0],
        given => given.to_vec(),
    };
    let config = AutoencoderKlConfig::from_json(config)?;
    let weights = Weights::random(0, bench.device(), bench.dtype());
    let vae = AutoencoderKl::new(&config, &weights);
    let bytes = bench.bytes_of(parameters(&weights.finish()?));
    println!(
        "autoencoder of SDXL, {:.3} GB of weights",
        bytes as f64 / 1e9
    );
    let cells = edge / config.downscale();
    // latents are f32 whatever the type of the model
    let place = Place {
        dtype: FloatDType::F32,
        ..bench.place()
    };
    let latents = numbers([1, config.latent_channels, cells, cells], 1, &place);
    let mut ways: Vec<Way<'_>> = Vec::new();
    for tile in tiles {
        let (vae, latents) = (&vae, &latents);
        let tiling = (tile > 0).then(|| Tiling::new(tile));
        let name = match tile {
            0 => "whole".to_owned(),
            tile => format!("tiles of {tile}"),
        };
        ways.push(Way::new(name, move || {
            Ok(vae.decode(latents.clone(), tiling.as_ref())?)
        }));
    }
    bench.compare(&format!("{edge}x{edge}"), 1, 0, &mut ways)?;
    Ok(())
}
