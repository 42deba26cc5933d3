use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use conceptrol_core::models::nn::{Activation, Linear};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Ground, Session};

use super::{AddedConditions, Timesteps};
use crate::config::{AddedConfig, TimeConfig};

/// Longest wavelength of a sinusoid over 2 pi.
const MAX_PERIOD: f64 = 10_000.0;

/// Sinusoids of `values`, one row each, as diffusers' `get_timestep_embedding` computes them.
///
/// Arguments of the functions are `f32` products because torch's are: at timestep 999 their rounding is visible.
pub(super) fn sinusoids(
    values: &[f32],
    dim: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
) -> Vec<f32> {
    let half = dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|index| {
            let exponent =
                -MAX_PERIOD.ln() as f32 * index as f32 / (half as f64 - freq_shift) as f32;
            f64::from(exponent).exp() as f32
        })
        .collect();
    let mut rows = Vec::with_capacity(values.len() * dim);
    for value in values {
        let angles = frequencies
            .iter()
            .map(|frequency| f64::from(value * frequency));
        let sines = angles.clone().map(|angle| angle.sin() as f32);
        let cosines = angles.map(|angle| angle.cos() as f32);
        if flip_sin_to_cos {
            rows.extend(cosines.chain(sines));
        } else {
            rows.extend(sines.chain(cosines));
        }
        // An odd width ends in a zero.
        rows.resize(rows.len() + dim % 2, 0.0);
    }
    rows
}

/// Embedding of the timestep: sinusoids and two layers.
#[derive(Module, Debug)]
pub(super) struct TimeEmbedding {
    cond_proj: Option<Linear>,
    layers: TwoLayers,
    #[module(skip)]
    config: TimeConfig,
}

impl TimeEmbedding {
    pub(super) fn new(config: &TimeConfig, activation: Activation, w: &Weights) -> Self {
        let cond_proj = config
            .guidance_dim
            .map(|dim| Linear::new(&w.at("cond_proj"), dim, config.sinusoid_dim, false));
        Self {
            cond_proj,
            layers: TwoLayers::new(config.sinusoid_dim, config.embed_dim, activation, w),
            config: config.clone(),
        }
    }

    /// # Shapes
    /// - output: `[timesteps, embed_dim]`; of a single one it serves every row of the batch
    pub(super) fn forward(
        &self,
        timesteps: &Timesteps,
        device: &Device,
        dtype: DType,
        session: &mut Session,
    ) -> Tensor<2> {
        let TimeConfig {
            sinusoid_dim,
            flip_sin_to_cos,
            freq_shift,
            ..
        } = self.config;
        let values: Vec<f32> = timesteps.values.iter().map(|value| *value as f32).collect();
        let rows = sinusoids(&values, sinusoid_dim, flip_sin_to_cos, freq_shift);
        let mut embedding = upload(rows, sinusoid_dim, device, dtype);
        if let (Some(proj), Some(dim), Some(scale)) = (
            &self.cond_proj,
            self.config.guidance_dim,
            timesteps.guidance_scale,
        ) {
            // Consistency distillation embeds the excess over 1, in thousandths, sines first.
            let row = sinusoids(&[(scale - 1.0) as f32 * 1000.0], dim, false, 1.0);
            let row = upload(row, dim, device, dtype);
            embedding = embedding + proj.adapted(row, Ground::Whole, session);
        }
        self.layers.forward(embedding, session)
    }
}

/// SDXL's embedding of pooled text and picture sizes.
#[derive(Module, Debug)]
pub(super) struct AddedEmbedding {
    layers: TwoLayers,
    #[module(skip)]
    sinusoid_dim: usize,
    #[module(skip)]
    flip_sin_to_cos: bool,
    #[module(skip)]
    freq_shift: f64,
}

impl AddedEmbedding {
    pub(super) fn new(config: &AddedConfig, time: &TimeConfig, w: &Weights) -> Self {
        Self {
            // Whatever activation the rest of the model has, diffusers uses SiLU here.
            layers: TwoLayers::new(config.input_dim, time.embed_dim, Activation::Silu, w),
            sinusoid_dim: config.sinusoid_dim,
            flip_sin_to_cos: time.flip_sin_to_cos,
            freq_shift: time.freq_shift,
        }
    }

    /// # Shapes
    /// - output: `[batch, embed_dim]`
    pub(super) fn forward(
        &self,
        added: AddedConditions,
        device: &Device,
        dtype: DType,
        session: &mut Session,
    ) -> Tensor<2> {
        let ids = added.time_ids.concat();
        let sizes = sinusoids(
            &ids,
            self.sinusoid_dim,
            self.flip_sin_to_cos,
            self.freq_shift,
        );
        let width = sizes.len() / added.time_ids.len();
        let sizes = upload(sizes, width, device, dtype); // [batch, ids * sinusoid_dim]
        let joined = Tensor::cat(vec![added.text_embeds, sizes], 1);
        self.layers.forward(joined, session)
    }
}

/// Rows of `width` values, moved to the device.
fn upload(values: Vec<f32>, width: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [rows, width]), (device, dtype))
}

/// Linear, activation, linear: diffusers' `TimestepEmbedding`.
#[derive(Module, Debug)]
struct TwoLayers {
    linear_1: Linear,
    linear_2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl TwoLayers {
    fn new(d_in: usize, d_out: usize, activation: Activation, w: &Weights) -> Self {
        Self {
            linear_1: Linear::new(&w.at("linear_1"), d_in, d_out, true),
            linear_2: Linear::new(&w.at("linear_2"), d_out, d_out, true),
            activation,
        }
    }

    fn forward(&self, x: Tensor<2>, session: &mut Session) -> Tensor<2> {
        let x = self.linear_1.adapted(x, Ground::Whole, session);
        let x = self.activation.forward(x);
        self.linear_2.adapted(x, Ground::Whole, session)
    }
}
