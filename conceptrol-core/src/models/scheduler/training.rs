//! What a denoiser is trained on, from the same configuration as its samplers.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::config::SchedulerConfig;
use super::error::SchedulerError;
use super::prediction::{Factors, Prediction};

/// The training objective of a diffusion: latents noised to a timestep, and what the denoiser is to predict there.
///
/// As `DDPMScheduler.add_noise` and `get_velocity` of diffusers 0.32.2, which its training scripts use whatever the
/// sampler of the checkpoint.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::models::scheduler::SchedulerConfig;
///
/// let config = SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}"#)?;
/// let objective = config.training()?;
/// let device = Device::flex();
/// let (picture, noise) = (Tensor::<4>::ones([1, 1, 1, 1], &device), Tensor::<4>::zeros([1, 1, 1, 1], &device));
/// // Of a picture without noise the share of its power is left, and the velocity points away from it.
/// let alpha = config.alphas_cumprod()?[500];
/// let noised = objective.noised(picture.clone(), noise.clone(), &[500]).into_scalar::<f32>();
/// let velocity = objective.target(picture, noise, &[500]).into_scalar::<f32>();
/// assert_eq!((noised, velocity), (alpha.sqrt(), -(1.0 - alpha).sqrt()));
/// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingObjective {
    /// Factors of picture and noise at every training timestep.
    levels: Vec<Factors>,
    prediction: Prediction,
}

impl SchedulerConfig {
    /// What the model of this configuration is trained on.
    ///
    /// # Errors
    ///
    /// As [`alphas_cumprod`](Self::alphas_cumprod), and a prediction type that is not known.
    pub fn training(&self) -> Result<TrainingObjective, SchedulerError> {
        let alphas = self.alphas_cumprod()?;
        let level = |alpha: &f32| [alpha.sqrt(), (1.0 - alpha).sqrt()];
        Ok(TrainingObjective {
            levels: alphas.iter().map(level).collect(),
            prediction: self.prediction()?,
        })
    }
}

impl TrainingObjective {
    /// Number of training timesteps.
    pub fn timesteps(&self) -> usize {
        self.levels.len()
    }

    /// Latents at a timestep each: `sqrt(alpha) * original + sqrt(1 - alpha) * noise`.
    ///
    /// # Shapes
    /// - original, noise, output: `[rows, channels, height, width]`
    /// - timesteps: one a row
    ///
    /// # Panics
    ///
    /// If there is not one timestep a row, or one is not below [`timesteps`](Self::timesteps).
    pub fn noised(&self, original: Tensor<4>, noise: Tensor<4>, timesteps: &[usize]) -> Tensor<4> {
        let [alpha, sigma] = self.factors(timesteps, &original.device());
        original * alpha + noise * sigma
    }

    /// What the denoiser is to predict of these latents: the noise, the clean picture or the velocity. Shapes and panics
    /// as [`noised`](Self::noised).
    pub fn target(&self, original: Tensor<4>, noise: Tensor<4>, timesteps: &[usize]) -> Tensor<4> {
        match self.prediction {
            Prediction::Epsilon => noise,
            Prediction::Sample => original,
            Prediction::V => {
                let [alpha, sigma] = self.factors(timesteps, &original.device());
                noise * alpha - original * sigma
            }
        }
    }

    /// Factors of picture and noise, `[rows, 1, 1, 1]` each.
    fn factors(&self, timesteps: &[usize], device: &Device) -> [Tensor<4>; 2] {
        [0, 1].map(|part| {
            let factors = timesteps
                .iter()
                .map(|timestep| self.levels[*timestep][part]);
            let factors: Vec<f32> = factors.collect();
            let data = TensorData::new(factors, [timesteps.len(), 1, 1, 1]);
            Tensor::from_data(data, (device, DType::F32))
        })
    }
}
