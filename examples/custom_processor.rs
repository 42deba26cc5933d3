//! What an application writes to put a processor of its own into a pipeline: sharper attention
//! in the middle of the UNet, beside Conceptrol.
//!
//! `cargo run --release --example custom_processor`

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{error::Error, fs, path::Path};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
    SiteSelector, layer_fn,
    models::image,
    pipeline::{ConceptRequest, LoadOptions, Pipeline, Silent},
};
use conceptrol_examples::say;
use conceptrol_sd::{StableDiffusion, pipeline::Request};

/// Multiplies the logits of the attention it wraps.
#[derive(Debug)]
struct Sharpen {
    inner: ArcProcessor,
    factor: f32,
}

impl AttentionProcessor for Sharpen {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        call.query = call.query * self.factor;
        self.inner.attend(call, cx)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let model = assets.join("tiny-sd");
    let options = LoadOptions::new(Device::flex()).adapter((
        model.join("ip-adapter.safetensors"),
        model.join("image_encoder"),
    ));
    let pipeline = StableDiffusion::open(&model, options)?;

    let reference = image::open(model.join("references/purple_elephant.png"))?;
    let request = Request::new("an elephant and a car on the grass")
        .concept(ConceptRequest::new("elephant", reference));

    let sharpen = layer_fn(|_site, inner| Sharpen { inner, factor: 1.5 });
    let plan = pipeline.plan_around(&request, SiteSelector::under("mid_block"), sharpen)?;
    say!("{plan}");
    let generation = pipeline.generate_with(&plan, &request, &mut Silent)?;

    let path = Path::new("target/custom_processor.png");
    fs::create_dir_all("target")?;
    image::save_png(path, &generation.images[0], &[])?;
    say!("wrote {}", path.display());
    Ok(())
}
