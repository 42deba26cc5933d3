//! What an application writes to say itself where a concept acts: only in the left half, and there
//! only where Conceptrol's own mask says so.
//!
//! `cargo run --release --example custom_mask_source`

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{error::Error, fs, path::Path};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    MaskError,
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery, MemoryKey, Product},
    models::image,
    pipeline::{ConceptRequest, LoadOptions, Pipeline, Silent},
};
use conceptrol_examples::say;
use conceptrol_sd::{StableDiffusion, pipeline::Request};

/// 1 in the left half of the picture, 0 in the right half.
#[derive(Debug, Default)]
struct LeftHalf {
    memory: MemoryKey,
}

impl ConceptMaskSource for LeftHalf {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let grid = query.grid();
        if board.recall(&self.memory, query.index, grid).is_none() {
            let left = |cell: usize| {
                if cell % grid.width < grid.width / 2 {
                    1.0
                } else {
                    0.0
                }
            };
            let cells: Vec<f32> = (0..grid.cells()).map(left).collect();
            let device = query.probe.call().query.device();
            let row = Tensor::<1>::from_floats(cells.as_slice(), &device);
            let mask = ConceptMask::new(row.unsqueeze(), grid)?;
            board.remember(&self.memory, query.index, grid, mask);
        }
        Ok(board.recall(&self.memory, query.index, grid).cloned())
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
    let block = pipeline
        .concept_block()
        .ok_or("the model names no concept block")?
        .clone();
    let request = request.mask_source(Product(LeftHalf::default(), block));

    let generation = pipeline.generate(&request, &mut Silent)?;
    let path = Path::new("target/custom_mask_source.png");
    fs::create_dir_all("target")?;
    image::save_png(path, &generation.images[0], &[])?;
    say!("wrote {}", path.display());
    Ok(())
}
