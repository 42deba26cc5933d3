use std::ops::Range;

use burn::tensor::{Device, Tensor};
use conceptrol_core::kernel::{self, LogitBias};

use crate::numbers;

/// An operation on inputs of its own.
pub struct Operation {
    /// Kind and shape.
    pub name: String,
    /// Floating-point operations of one run by the textbook, or zero where bytes matter more.
    pub flops: f64,
    prepare: Prepare,
}

type Run = Box<dyn Fn() -> Tensor<1>>;
type Prepare = Box<dyn Fn(&Device) -> Run>;

impl Operation {
    /// Makes the inputs; the result runs the operation on them.
    ///
    /// # Shapes
    /// - output of the result: the output of the operation, flat
    pub fn prepare(&self, device: &Device) -> impl Fn() -> Tensor<1> {
        (self.prepare)(device)
    }

    fn new(
        name: impl Into<String>,
        flops: f64,
        prepare: impl Fn(&Device) -> Run + 'static,
    ) -> Self {
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
    all.push(joint("structured", |keys, rows| {
        Bias::Structured(LogitBias::new(vec![keys], rows))
    }));
    all.push(joint("dense", |keys, rows| {
        let [_, _, len] = rows.dims();
        let rows = rows.reshape([1, 1, len, 1]);
        let unbiased = rows.zeros_like().expand([1, 1, len, keys.start]);
        let biased = rows.expand([1, 1, len, keys.len()]);
        Bias::Dense(Tensor::cat(vec![unbiased, biased], 3))
    }));
    all.push(text_map(1, 8, 256, 77, 160));
    all.extend(elementwise());
    all
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
fn heads(shape: [usize; 4], seed: u32, device: &Device) -> Tensor<4> {
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

/// FLUX at 512x512 with a 512x512 condition: 512 text, 1024 latent and 1024 condition tokens, the latents weighing the
/// condition row by row, the text not seeing it.
fn joint(kind: &str, bias: impl Fn(Range<usize>, Tensor<3>) -> Bias + 'static) -> Operation {
    const LEN: usize = 2560;
    let flops = 4.0 * (24 * LEN * LEN * 128) as f64;
    Operation::new(
        format!("attention 1x24x2560x2560x128 {kind} bias"),
        flops,
        move |device| {
            let [q, k, v] = [1, 2, 3].map(|seed| heads([1, 24, LEN, 128], seed, device));
            let text = Tensor::full([1, 1, 512], LogitBias::BLOCKED, device);
            let latents = numbers([1, 1, 1024], 4, device);
            let condition = Tensor::zeros([1, 1, 1024], device);
            let rows = Tensor::cat(vec![text, latents, condition], 2);
            let bias = bias(1536..LEN, rows);
            Box::new(move || {
                let (q, k, v) = (q.clone(), k.clone(), v.clone());
                let out = match &bias {
                    Bias::Structured(bias) => kernel::attention(q, k, v, Some(bias)),
                    // Burn's own attention: ours takes no matrix.
                    Bias::Dense(bias) => {
                        let bias = Some(bias.clone());
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

fn elementwise() -> [Operation; 7] {
    let image = |device: &Device| numbers::<4>([2, 320, 64, 64], 1, device);
    let norm = move |silu: bool| {
        move |device: &Device| -> Run {
            let (x, gamma, beta) = (
                image(device),
                numbers([320], 2, device),
                numbers([320], 3, device),
            );
            Box::new(move || {
                kernel::group_norm(x.clone(), 32, gamma.clone(), beta.clone(), 1e-5, silu)
                    .flatten(0, 3)
            })
        }
    };
    [
        Operation::new("silu 2x320x64x64", 0.0, move |device| {
            let x = image(device);
            Box::new(move || kernel::silu(x.clone()).flatten(0, 3))
        }),
        Operation::new("gelu 2x4096x2560", 0.0, |device| {
            let x: Tensor<3> = numbers([2, 4096, 2560], 1, device);
            Box::new(move || kernel::gelu(x.clone()).flatten(0, 2))
        }),
        Operation::new("geglu 2x4096x2560", 0.0, |device| {
            let x = numbers([2, 4096, 2560], 1, device);
            Box::new(move || kernel::geglu(x.clone()).flatten(0, 2))
        }),
        Operation::new("group norm 2x320x64x64", 0.0, norm(false)),
        Operation::new("group norm + silu 2x320x64x64", 0.0, norm(true)),
        Operation::new("layer norm 2x4096x320", 0.0, |device| {
            let (x, gamma, beta) = (
                numbers([2, 4096, 320], 1, device),
                numbers([320], 2, device),
                numbers([320], 3, device),
            );
            Box::new(move || {
                kernel::layer_norm(x.clone(), Some(gamma.clone()), Some(beta.clone()), 1e-5)
                    .flatten(0, 2)
            })
        }),
        Operation::new("softmax 2x8x4096x77", 0.0, |device| {
            let x: Tensor<4> = numbers([2, 8, 4096, 77], 1, device);
            Box::new(move || kernel::softmax(x.clone()).flatten(0, 3))
        }),
    ]
}
