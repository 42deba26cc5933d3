//! The embedded world's segmenter: which noun each pixel belongs to.
//!
//! The network is that of `assets/recipe/segmenter.py`; its folder says which classes it has.

use std::path::Path;

use burn::tensor::{
    DType, Device, FloatDType, Tensor,
    activation::silu,
    module::{interpolate, max_pool2d},
    ops::{InterpolateMode, InterpolateOptions, MaxPoolOptions},
};
use conceptrol_core::models::{
    config::Fields,
    image::{Filter, RgbImage, image_to_tensor, resize},
    nn::{Conv2d, GroupNorm},
    weights::Weights,
};
use ndarray::Array2;

/// Channels in and out of the blocks on the way down, and on the way up.
const DOWN: [[usize; 2]; 4] = [[12, 32], [32, 64], [64, 128], [128, 128]];
const UP: [[usize; 2]; 3] = [[256, 96], [160, 64], [96, 48]];

/// A segmenter and its classes; class 0 is what no object covers.
#[derive(Debug)]
pub(crate) struct Segmenter {
    down: Vec<Block>,
    up: Vec<Block>,
    out: Conv2d,
    classes: Vec<String>,
    edge: u32,
    device: Device,
}

/// Two convolutions, each normalised and activated.
#[derive(Debug)]
struct Block([(Conv2d, GroupNorm); 2]);

impl Segmenter {
    /// Opens a folder with `config.json` and `model.safetensors`.
    pub(crate) fn open(folder: &Path, device: &Device) -> Result<Self, Box<dyn std::error::Error>> {
        let fields = Fields::open("segmenter", folder.join("config.json"))?;
        let classes = fields.value("classes").and_then(|value| value.as_array());
        let classes: Vec<String> = (classes.into_iter().flatten())
            .filter_map(|class| class.as_str().map(str::to_owned))
            .collect();
        if classes.len() < 2 {
            return Err(fields
                .error("classes", "the names of at least 2 classes")
                .into());
        }
        let edge = fields.size_or("image_size", 16..=1024, 64)?;
        let w = Weights::open(folder.join("model.safetensors"), device, FloatDType::F32)?;
        let blocks = |name: &str, widths: &[[usize; 2]]| {
            let blocks = widths.iter().enumerate();
            blocks
                .map(|(index, widths)| Block::new(&w.at(format!("{name}.{index}")), *widths))
                .collect()
        };
        let segmenter = Self {
            down: blocks("down", &DOWN),
            up: blocks("up", &UP),
            out: Conv2d::new(&w.at("out"), UP[2][1], classes.len() * 4, 1, 1, 0),
            classes,
            edge: u32::try_from(edge)?,
            device: device.clone(),
        };
        w.finish()?;
        Ok(segmenter)
    }

    /// The number of a class.
    pub(crate) fn class(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class == name)
    }

    /// The class of every pixel, at the segmenter's own size: `[height, width]`.
    pub(crate) fn labels(&self, picture: &RgbImage) -> Array2<usize> {
        let picture = resize(picture, self.edge, self.edge, Filter::Bilinear);
        let pixels = (image_to_tensor(&picture, &self.device) + 1.0) / 2.0;
        let labels = self.logits(pixels).argmax(1).into_data();
        let labels: Vec<usize> = (labels.convert::<i64>().iter::<i64>())
            .map(|label| usize::try_from(label).unwrap_or_default())
            .collect();
        let edge = self.edge as usize;
        Array2::from_shape_vec((edge, edge), labels).expect("one label a pixel")
    }

    /// Pixels in 0..=1 to logits: `[batch, 3, height, width]` -> `[batch, classes, height, width]`.
    fn logits(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut x = space_to_depth(pixels.cast(DType::F32));
        let mut skips = Vec::new();
        for (index, block) in self.down.iter().enumerate() {
            if index > 0 {
                x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
            }
            x = block.forward(x);
            skips.push(x.clone());
        }
        skips.pop();
        for block in &self.up {
            let [_, _, height, width] = x.dims();
            let twice = InterpolateOptions::new(InterpolateMode::Nearest)
                .with_output_size([2 * height, 2 * width]);
            let skip = skips.pop().expect("as many as blocks on the way up");
            x = block.forward(Tensor::cat(vec![interpolate(x, twice), skip], 1));
        }
        depth_to_space(self.out.forward(x))
    }
}

impl Block {
    fn new(w: &Weights, [inputs, outputs]: [usize; 2]) -> Self {
        let layer = |index: usize, inputs: usize| {
            let conv = Conv2d::new(&w.at(index), inputs, outputs, 3, 1, 1);
            (conv, GroupNorm::new(&w.at(index + 1), 8, outputs, 1e-5))
        };
        Self([layer(0, inputs), layer(3, outputs)])
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        (self.0.iter()).fold(x, |x, (conv, norm)| silu(norm.forward(conv.forward(x))))
    }
}

/// torch's `pixel_unshuffle(x, 2)`: `[b, c, 2h, 2w]` -> `[b, 4c, h, w]`.
fn space_to_depth(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let split = [batch, channels, height / 2, 2, width / 2, 2];
    let x: Tensor<6> = x.reshape(split);
    x.permute([0, 1, 3, 5, 2, 4]) // [b, c, dy, dx, h, w]
        .reshape([batch, channels * 4, height / 2, width / 2])
}

/// torch's `pixel_shuffle(x, 2)`: `[b, 4c, h, w]` -> `[b, c, 2h, 2w]`.
fn depth_to_space(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([batch, channels / 4, 2, 2, height, width]);
    x.permute([0, 1, 4, 2, 5, 3]) // [b, c, h, dy, w, dx]
        .reshape([batch, channels / 4, 2 * height, 2 * width])
}
