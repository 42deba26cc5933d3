use std::ops::Range;

use burn::tensor::{DType, Tensor};
use conceptrol_core::kernel::{self, LogitBias};

use crate::{Place, numbers};

/// An operation on inputs of its own.
pub struct Operation {
    /// Kind and shape.
    pub name: String,
    /// Floating-point operations of one run by the textbook, or zero where bytes matter more.
    pub flops: f64,
    prepare: Prepare,
}

type Run = Box<dyn Fn() -> Tensor<1>>;
type Prepare = Box<dyn Fn(&Place) -> Run>;

impl Operation {
    /// Makes the inputs; the result runs the operation on them.
    ///
    /// # Shapes
    /// - output of the result: the output of the operation, flat
    pub fn prepare(&self, place: impl Into<Place>) -> Box<dyn Fn() -> Tensor<1>> {
        (self.prepare)(&place.into())
    }

    fn new(name: impl Into<String>, flops: f64, prepare: impl Fn(&Place) -> Run + 'static) -> Self {
        Self {
            name: name.into(),
            flops,
            prepare: Box::new(prepare),
        }
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The operations a guided step of SD1.5 at 512x512 and a joint block of FLUX spend their time in. `peers/operations.py` has
/// the same names.
pub fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for [rows, d_in, d_out] in [
        [8192, 320, 320],
        [2048, 640, 640],
        [2048, 1280, 5120],
        [8192, 320, 2560],
        [2, 1280, 320],
        [1024, 3072, 3072],
        [1024, 3072, 12288],
        [1024, 12288, 3072],
    ] {
        all.push(linear(rows, d_in, d_out));
    }
    for [channels, side] in [[320, 64], [640, 32], [1280, 16], [1280, 8]] {
        all.push(conv(channels, channels, side, 3));
    }
    all.push(conv(960, 320, 64, 1));
    for [batch, heads, q_len, k_len, dim] in [
        [2, 8, 4096, 4096, 40],
        [2, 8, 1024, 1024, 80],
        [2, 8, 256, 256, 160],
        [2, 8, 4096, 77, 40],
        [2, 8, 4096, 16, 40],
    ] {
        all.push(attention(batch, heads, q_len, k_len, dim));
    }
    all.push(attention(1, 24, 2560, 2560, 128));
    all.extend(joints(24, 512, 1024, 128));
    all.push(text_map(1, 8, 256, 77, 160));
    all.push(gated_sum(2, 8, 4096, 40));
    all.extend(elementwise(320, 64, 2560));
    all
}

/// Each kind of operation at a size that software computes at once.
pub fn small_operations() -> Vec<Operation> {
    let mut all = vec![
        linear(64, 64, 96),
        linear(2, 64, 32),
        conv(32, 32, 16, 3),
        conv(48, 32, 16, 1),
        attention(2, 4, 64, 64, 40),
        attention(2, 4, 64, 77, 40),
    ];
    all.extend(joints(4, 64, 64, 64));
    all.push(text_map(1, 4, 64, 77, 40));
    all.push(gated_sum(2, 4, 64, 40));
    all.extend(elementwise(64, 8, 128));
    all
}

/// The structured bias, and the matrix it stands for.
fn joints(heads: usize, text: usize, side: usize, dim: usize) -> [Operation; 2] {
    [
        joint("structured", [heads, text, side, dim], |keys, rows| {
            Bias::Structured(LogitBias::new(vec![keys], rows))
        }),
        joint("dense", [heads, text, side, dim], |keys, rows| {
            let [_, _, len] = rows.dims();
            let rows = rows.reshape([1, 1, len, 1]);
            let unbiased = rows.zeros_like().expand([1, 1, len, keys.start]);
            let biased = rows.expand([1, 1, len, keys.len()]);
            Bias::Dense(Tensor::cat(vec![unbiased, biased], 3))
        }),
    ]
}

fn linear(rows: usize, d_in: usize, d_out: usize) -> Operation {
    let flops = 2.0 * (rows * d_in * d_out) as f64;
    Operation::new(
        format!("linear {rows}x{d_in}x{d_out}"),
        flops,
        move |device| {
            let x: Tensor<2> = numbers([rows, d_in], 1, device);
            let weight = numbers([d_out, d_in], 2, device);
            let bias = numbers([d_out], 3, device);
            Box::new(move || {
                kernel::linear(x.clone(), weight.clone(), Some(bias.clone())).flatten(0, 1)
            })
        },
    )
}

fn conv(c_in: usize, c_out: usize, side: usize, size: usize) -> Operation {
    let flops = 2.0 * (2 * c_in * c_out * side * side * size * size) as f64;
    let name = format!("conv{size}x{size} 2x{c_in}x{side}x{side} -> {c_out}");
    Operation::new(name, flops, move |device| {
        let x = numbers([2, c_in, side, side], 1, device);
        let weight = numbers([c_out, c_in, size, size], 2, device);
        let bias = numbers([c_out], 3, device);
        let padding = [(size / 2, size / 2); 2];
        Box::new(move || {
            kernel::conv2d(x.clone(), weight.clone(), Some(bias.clone()), 1, padding).flatten(0, 3)
        })
    })
}

/// Heads as models have them: `[batch, tokens, heads, dim]` with the axes swapped, and joined again afterwards.
fn heads(shape: [usize; 4], seed: u32, device: &Place) -> Tensor<4> {
    let [batch, heads, len, dim] = shape;
    numbers([batch, len, heads, dim], seed, device).swap_dims(1, 2)
}

fn attention(batch: usize, h: usize, q_len: usize, k_len: usize, dim: usize) -> Operation {
    let flops = 4.0 * (batch * h * q_len * k_len * dim) as f64;
    Operation::new(
        format!("attention {batch}x{h}x{q_len}x{k_len}x{dim}"),
        flops,
        move |device| {
            let q = heads([batch, h, q_len, dim], 1, device);
            let k = heads([batch, h, k_len, dim], 2, device);
            let v = heads([batch, h, k_len, dim], 3, device);
            Box::new(move || {
                kernel::attention(q.clone(), k.clone(), v.clone(), None)
                    .swap_dims(1, 2)
                    .flatten(0, 3)
            })
        },
    )
}

enum Bias {
    Structured(LogitBias),
    Dense(Tensor<4>),
}

/// FLUX with a condition of the picture's size: `text`, then `side` latent and `side` condition tokens, the latents weighing the
/// condition row by row, the text not seeing it.
fn joint(
    kind: &str,
    [h, text, side, dim]: [usize; 4],
    bias: impl Fn(Range<usize>, Tensor<3>) -> Bias + 'static,
) -> Operation {
    let len = text + 2 * side;
    let flops = 4.0 * (h * len * len * dim) as f64;
    Operation::new(
        format!("attention 1x{h}x{len}x{len}x{dim} {kind} bias"),
        flops,
        move |device| {
            let [q, k, v] = [1, 2, 3].map(|seed| heads([1, h, len, dim], seed, device));
            // the rows of a bias are f32 whatever the type of the model
            let on = (&device.device, DType::F32);
            let blocked = Tensor::full([1, 1, text], LogitBias::BLOCKED, on);
            let latents = numbers([1, 1, side], 4, &device.device);
            let condition = Tensor::zeros([1, 1, side], (&device.device, DType::F32));
            let rows = Tensor::cat(vec![blocked, latents, condition], 2);
            let bias = bias(text + side..len, rows);
            Box::new(move || {
                let (q, k, v) = (q.clone(), k.clone(), v.clone());
                let out = match &bias {
                    Bias::Structured(bias) => kernel::attention(q, k, v, Some(bias)),
                    // Burn's own attention: ours takes no matrix.
                    Bias::Dense(bias) => {
                        let bias = Some(bias.clone().cast(q.dtype()));
                        let options = burn::tensor::ops::AttentionModuleOptions::default();
                        burn::tensor::module::attention(q, k, v, None, bias, options)
                    }
                };
                out.swap_dims(1, 2).flatten(0, 3)
            })
        },
    )
}

fn text_map(rows: usize, h: usize, q_len: usize, text_len: usize, dim: usize) -> Operation {
    let flops = 2.0 * (rows * h * q_len * text_len * dim) as f64;
    Operation::new(
        format!("text map {rows}x{h}x{q_len}x{text_len}x{dim}"),
        flops,
        move |device| {
            let q = heads([rows, h, q_len, dim], 1, device);
            let k = heads([rows, h, text_len, dim], 2, device);
            Box::new(move || kernel::text_map(q.clone(), k.clone()).flatten(0, 2))
        },
    )
}

/// What a gate does to an adapter's term: `text + mask * image`, the mask a number a query.
fn gated_sum(batch: usize, h: usize, q_len: usize, dim: usize) -> Operation {
    Operation::new(
        format!("gated sum {batch}x{h}x{q_len}x{dim}"),
        0.0,
        move |device| {
            let text = heads([batch, h, q_len, dim], 1, device);
            let image = heads([batch, h, q_len, dim], 2, device);
            let mask: Tensor<4> = numbers([batch, 1, q_len, 1], 3, device);
            Box::new(move || (text.clone() + image.clone() * mask.clone()).flatten(0, 3))
        },
    )
}

/// Activations, norms and a softmax over pictures of `channels` x `side` x `side` and as many tokens, which a feed-forward layer
/// widens to `wide` channels.
fn elementwise(channels: usize, side: usize, wide: usize) -> [Operation; 7] {
    let cells = side * side;
    let image = move |device: &Place| numbers::<4>([2, channels, side, side], 1, device);
    let norm = move |silu: bool| {
        move |device: &Place| -> Run {
            let (x, gamma, beta) = (
                image(device),
                numbers([channels], 2, device),
                numbers([channels], 3, device),
            );
            Box::new(move || {
                kernel::group_norm(x.clone(), 32, gamma.clone(), beta.clone(), 1e-5, silu)
                    .flatten(0, 3)
            })
        }
    };
    let picture = format!("2x{channels}x{side}x{side}");
    let tokens = format!("2x{cells}x{wide}");
    [
        Operation::new(format!("silu {picture}"), 0.0, move |device| {
            let x = image(device);
            Box::new(move || kernel::silu(x.clone()).flatten(0, 3))
        }),
        Operation::new(format!("gelu {tokens}"), 0.0, move |device| {
            let x: Tensor<3> = numbers([2, cells, wide], 1, device);
            Box::new(move || kernel::gelu(x.clone()).flatten(0, 2))
        }),
        Operation::new(format!("geglu {tokens}"), 0.0, move |device| {
            let x = numbers([2, cells, wide], 1, device);
            Box::new(move || kernel::geglu(x.clone()).flatten(0, 2))
        }),
        Operation::new(format!("group norm {picture}"), 0.0, norm(false)),
        Operation::new(format!("group norm + silu {picture}"), 0.0, norm(true)),
        Operation::new(
            format!("layer norm 2x{cells}x{channels}"),
            0.0,
            move |device| {
                let (x, gamma, beta) = (
                    numbers([2, cells, channels], 1, device),
                    numbers([channels], 2, device),
                    numbers([channels], 3, device),
                );
                Box::new(move || {
                    kernel::layer_norm(x.clone(), Some(gamma.clone()), Some(beta.clone()), 1e-5)
                        .flatten(0, 2)
                })
            },
        ),
        Operation::new(format!("softmax 2x8x{cells}x77"), 0.0, move |device| {
            let x: Tensor<4> = numbers([2, 8, cells, 77], 1, device);
            Box::new(move || kernel::softmax(x.clone()).flatten(0, 3))
        }),
    ]
}
