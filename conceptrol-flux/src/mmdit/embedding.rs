//! What every block is modulated by: time, guidance and the pooled text.

use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{Session, kernel};

use super::linear::{Stream, StreamLinear};
use crate::config::FluxConfig;

/// Channels of the sinusoidal embedding of a number.
const SINUSOID_CHANNELS: usize = 256;
/// Longest period of the sinusoids.
const MAX_PERIOD: f32 = 10_000.0;
/// Time and guidance enter the sinusoids a thousandfold.
const TRAINING_STEPS: f32 = 1000.0;

/// Linear, SiLU, linear.
#[derive(Module, Debug)]
pub(crate) struct Embedder {
    linear_1: StreamLinear,
    linear_2: StreamLinear,
}

impl Embedder {
    fn new(weights: &Weights, inputs: usize, outputs: usize) -> Self {
        Self {
            linear_1: StreamLinear::new(&weights.at("linear_1"), inputs, outputs),
            linear_2: StreamLinear::new(&weights.at("linear_2"), outputs, outputs),
        }
    }

    fn forward(&self, x: Tensor<2>, stream: Stream, session: &mut Session) -> Tensor<2> {
        let hidden = kernel::silu(self.linear_1.forward(x, stream, session));
        self.linear_2.forward(hidden, stream, session)
    }

    fn linears(&mut self) -> [&mut StreamLinear; 2] {
        [&mut self.linear_1, &mut self.linear_2]
    }
}

/// Embeds time, guidance (dev only) and the pooled CLIP vector into one modulation vector.
#[derive(Module, Debug)]
pub(crate) struct TimeTextEmbedding {
    timestep_embedder: Embedder,
    guidance_embedder: Option<Embedder>,
    text_embedder: Embedder,
    #[module(skip)]
    dtype: FloatDType,
}

impl TimeTextEmbedding {
    pub(crate) fn new(config: &FluxConfig, weights: &Weights) -> Self {
        let inner = config.inner_dim();
        let sinusoid = |name: &str| Embedder::new(&weights.at(name), SINUSOID_CHANNELS, inner);
        Self {
            timestep_embedder: sinusoid("timestep_embedder"),
            guidance_embedder: config
                .guidance_embeds
                .then(|| sinusoid("guidance_embedder")),
            text_embedder: Embedder::new(
                &weights.at("text_embedder"),
                config.pooled_projection_dim,
                inner,
            ),
            dtype: weights.dtype(),
        }
    }

    /// # Shapes
    /// `pooled` `[batch, pooled_projection_dim]` -> `[batch, inner_dim]`; `sigma` in 0..=1.
    pub(crate) fn forward(
        &self,
        sigma: f32,
        guidance: f32,
        pooled: Tensor<2>,
        stream: Stream,
        session: &mut Session,
    ) -> Tensor<2> {
        let device = pooled.device();
        let time = sinusoid(sigma * TRAINING_STEPS, &device, self.dtype);
        let time = self.timestep_embedder.forward(time, stream, session);
        let scalars = match &self.guidance_embedder {
            Some(embedder) => {
                let guidance = sinusoid(guidance * TRAINING_STEPS, &device, self.dtype);
                time + embedder.forward(guidance, stream, session)
            }
            None => time,
        };
        scalars + self.text_embedder.forward(pooled, stream, session) // [1, inner] + [b, inner]
    }

    pub(crate) fn linears(&mut self) -> Vec<&mut StreamLinear> {
        let mut linears = Vec::with_capacity(6);
        linears.extend(self.timestep_embedder.linears());
        linears.extend(
            self.guidance_embedder
                .iter_mut()
                .flat_map(Embedder::linears),
        );
        linears.extend(self.text_embedder.linears());
        linears
    }
}

/// `[1, 256]`: cosines then sines of `value` at geometric frequencies, in f32 as the reference computes them.
fn sinusoid(value: f32, device: &Device, dtype: FloatDType) -> Tensor<2> {
    let half = SINUSOID_CHANNELS / 2;
    let angles =
        (0..half).map(|index| value * (-MAX_PERIOD.ln() * index as f32 / half as f32).exp());
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
    let values = [cos, sin].concat();
    Tensor::from_data(
        TensorData::new(values, [1, SINUSOID_CHANNELS]),
        (device, DType::from(dtype)),
    )
}
