//! candle's half of `../unet_step.py`: steps of a full-size SD1.5 UNet without adapter, one a request.
//!
//! `candle-peer FOLDER` reads `unet/` and `inputs.safetensors` of `FOLDER`, both made by the script. Each line `text` of the
//! standard input is a request for a step. The answer is a line `SECONDS PEAK_BYTES MEAN_ABSOLUTE_OUTPUT`, as of `unet_peer`.

#[expect(
    dead_code,
    reason = "of the benchmarks' meter, only the peak of the process is asked for"
)]
#[path = "../../../src/memory.rs"]
mod memory;

use std::{
    error::Error,
    io::{BufRead, Write},
    path::Path,
    time::Instant,
};

use candle_core::{DType, Device, Tensor, safetensors};
use candle_transformers::models::stable_diffusion::StableDiffusionConfig;
use memory::Peak;

const LATENT_CHANNELS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder] = &arguments[..] else {
        return Err("usage: candle-peer FOLDER".into());
    };
    let (folder, device) = (Path::new(folder), Device::Cpu);
    // As in candle's own example: no slices of attention, no flash attention (which needs CUDA).
    let unet = StableDiffusionConfig::v1_5(None, None, None).build_unet(
        folder.join("unet/diffusion_pytorch_model.safetensors"),
        &device,
        LATENT_CHANNELS,
        false,
        DType::F32,
    )?;
    let inputs = safetensors::load(folder.join("inputs.safetensors"), &device)?;
    let input = |name: &str| -> Result<&Tensor, String> {
        inputs.get(name).ok_or_else(|| format!("no {name}"))
    };
    let (latents, text) = (input("latents")?, input("text")?);
    println!("ready");
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        if request != "text" {
            return Err(format!("no plan {request}").into());
        }
        let (peak, start) = (Peak::start(), Instant::now());
        let out = unet.forward(latents, 500.0, text)?;
        let output = out
            .abs()?
            .to_dtype(DType::F64)?
            .mean_all()?
            .to_scalar::<f64>()?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds} {} {output}", peak.total().unwrap_or(0));
        std::io::stdout().flush()?;
    }
    Ok(())
}
