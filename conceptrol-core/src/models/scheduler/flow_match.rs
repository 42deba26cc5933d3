//! The flow-matching schedule of FLUX and its Euler step, on tensors of any rank.
//!
//! `FlowMatchEulerDiscreteScheduler` of [`super::SchedulerConfig`] computes the same bits and more of the file's fields;
//! this goes once no pipeline asks for it.

use std::path::Path;

use crate::models::config::{ConfigError, read_config};
use burn::tensor::{FloatDType, Tensor};
use serde::Deserialize;

/// What errors call the schedule.
const MODEL: &str = "flow-match scheduler";
/// Largest number of steps.
const STEP_LIMIT: usize = 10_000;

/// `scheduler_config.json` of a `FlowMatchEulerDiscreteScheduler`, with the defaults of diffusers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FlowMatchConfig {
    /// Timesteps of the training; noise level 1 is this timestep.
    pub num_train_timesteps: usize,
    /// Static shift towards high noise; ignored with dynamic shifting.
    pub shift: f64,
    /// Whether the shift depends on the number of latent tokens (dev) or not (schnell).
    pub use_dynamic_shifting: bool,
    /// Dynamic shift at `base_image_seq_len` tokens.
    pub base_shift: f64,
    /// Dynamic shift at `max_image_seq_len` tokens.
    pub max_shift: f64,
    /// Tokens of the smallest training pictures.
    pub base_image_seq_len: usize,
    /// Tokens of the largest training pictures.
    pub max_image_seq_len: usize,
    use_karras_sigmas: bool,
    use_exponential_sigmas: bool,
    use_beta_sigmas: bool,
    invert_sigmas: bool,
    shift_terminal: Option<f64>,
}

impl Default for FlowMatchConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            shift: 1.0,
            use_dynamic_shifting: false,
            base_shift: 0.5,
            max_shift: 1.15,
            base_image_seq_len: 256,
            max_image_seq_len: 4096,
            use_karras_sigmas: false,
            use_exponential_sigmas: false,
            use_beta_sigmas: false,
            invert_sigmas: false,
            shift_terminal: None,
        }
    }
}

impl FlowMatchConfig {
    /// The schedule of FLUX.1-schnell.
    pub fn schnell() -> Self {
        Self::default()
    }

    /// The schedule of FLUX.1-dev.
    pub fn dev() -> Self {
        Self {
            shift: 3.0,
            use_dynamic_shifting: true,
            ..Self::default()
        }
    }

    /// Reads and checks a `scheduler_config.json`.
    ///
    /// # Errors
    /// If the file cannot be read or asks for a schedule that is not supported.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let config: Self = read_config(path)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that a schedule can be made.
    ///
    /// # Errors
    /// Names the first field that is out of range or not supported.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_size(
            MODEL,
            "num_train_timesteps",
            self.num_train_timesteps,
            1 << 20,
        )?;
        if !(self.shift.is_finite() && self.shift > 0.0) {
            return Err(ConfigError::field(
                MODEL,
                "shift",
                self.shift,
                "expected a positive number",
            ));
        }
        for (field, value) in [
            ("base_shift", self.base_shift),
            ("max_shift", self.max_shift),
        ] {
            if !(value.is_finite() && value.abs() < 100.0) {
                return Err(ConfigError::field(
                    MODEL,
                    field,
                    value,
                    "expected -100 to 100",
                ));
            }
        }
        if self.base_image_seq_len >= self.max_image_seq_len {
            let expected = format!(
                "expected less than max_image_seq_len {}",
                self.max_image_seq_len
            );
            return Err(ConfigError::field(
                MODEL,
                "base_image_seq_len",
                self.base_image_seq_len,
                expected,
            ));
        }
        for (field, value) in [
            ("use_karras_sigmas", self.use_karras_sigmas),
            ("use_exponential_sigmas", self.use_exponential_sigmas),
            ("use_beta_sigmas", self.use_beta_sigmas),
            ("invert_sigmas", self.invert_sigmas),
        ] {
            if value {
                return Err(ConfigError::field(MODEL, field, value, "expected false"));
            }
        }
        match self.shift_terminal {
            Some(value) => Err(ConfigError::field(
                MODEL,
                "shift_terminal",
                value,
                "expected none",
            )),
            None => Ok(()),
        }
    }

    /// The noise levels of a generation of `steps` steps for pictures of `tokens` latent tokens.
    ///
    /// # Errors
    /// [`ConfigError`] for no step at all or more than 10000.
    pub fn schedule(&self, steps: usize, tokens: usize) -> Result<FlowMatchSchedule, ConfigError> {
        ConfigError::check_size(MODEL, "number of steps", steps, STEP_LIMIT)?;
        let sigma = |index: usize| {
            let linear = match steps {
                1 => 1.0,
                _ => 1.0 - index as f64 * (1.0 - 1.0 / steps as f64) / (steps - 1) as f64,
            };
            self.shifted(linear, tokens) as f32
        };
        let sigmas = (0..steps).map(sigma).chain([0.0]).collect();
        Ok(FlowMatchSchedule {
            sigmas,
            training_steps: self.num_train_timesteps as f32,
        })
    }

    fn shifted(&self, sigma: f64, tokens: usize) -> f64 {
        if self.use_dynamic_shifting {
            let span = (self.max_image_seq_len - self.base_image_seq_len) as f64;
            let slope = (self.max_shift - self.base_shift) / span;
            let mu = slope * (tokens as f64 - self.base_image_seq_len as f64) + self.base_shift;
            mu.exp() / (mu.exp() + (1.0 / sigma - 1.0))
        } else {
            self.shift * sigma / (1.0 + (self.shift - 1.0) * sigma)
        }
    }
}

/// The noise levels of one generation, from 1 down to 0.
///
/// ```
/// use conceptrol_core::models::scheduler::FlowMatchConfig;
///
/// let schedule = FlowMatchConfig::schnell().schedule(4, 1024)?;
/// assert_eq!(schedule.sigmas(), [1.0, 0.75, 0.5, 0.25, 0.0]);
/// assert_eq!(schedule.timestep(1), 750.0);
/// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FlowMatchSchedule {
    sigmas: Vec<f32>,
    training_steps: f32,
}

impl FlowMatchSchedule {
    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.sigmas.len() - 1
    }

    /// Noise level before each step, and 0 after the last.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// Timestep at the start of step `index`: the noise level on the training's scale.
    ///
    /// # Panics
    /// If there are not that many steps.
    pub fn timestep(&self, index: usize) -> f32 {
        self.sigmas[index] * self.training_steps
    }

    /// The Euler step: follows `velocity` from the noise level of step `index` to the next, in f32.
    ///
    /// # Shapes
    /// `latents` and `velocity` alike.
    ///
    /// # Panics
    /// If there are not that many steps.
    pub fn step<const D: usize>(
        &self,
        index: usize,
        latents: Tensor<D>,
        velocity: Tensor<D>,
    ) -> Tensor<D> {
        let difference = self.sigmas[index + 1] - self.sigmas[index];
        latents.cast(FloatDType::F32) + velocity.cast(FloatDType::F32).mul_scalar(difference)
    }
}
