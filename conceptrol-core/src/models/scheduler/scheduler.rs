//! The trait a denoising loop drives.

use std::fmt;

use burn::tensor::Tensor;

use super::error::SchedulerError;
use super::schedule::Schedule;

/// Draws standard normal noise of the given dimensions, on the device and in the dtype of the latents.
pub type NoiseFn<'a> = dyn FnMut([usize; 4]) -> Tensor<4> + 'a;

/// Turns model outputs into the next, less noisy latents. Made for one run by [`super::SchedulerConfig::build`].
///
/// A loop starts from noise times [`init_noise_sigma`](Self::init_noise_sigma), and for every index of
/// [`timesteps`](Self::timesteps), in order, gives the model
/// [`scale_model_input`](Self::scale_model_input) and the timestep, and its output to [`step`](Self::step). The argument
/// `step` of the methods is that index: it counts the calls of the model, of which [some schedulers](Self::steps) make two
/// a step.
/// Every coefficient is known on the host before the first step; on the device a step is a weighted sum.
/// To change a picture instead, begin [within](super::SchedulerOptions::begin_at) the schedule, with the picture under
/// the [noise](Self::add_noise) of step 0.
///
/// ```
/// use burn::tensor::{DType, Device, Tensor};
/// use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};
///
/// let config = SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler", "clip_sample": false}"#)?;
/// let mut scheduler = config.build(4, &SchedulerOptions::default())?;
/// assert_eq!(scheduler.timesteps(), [750.0, 500.0, 250.0, 0.0]);
///
/// let device = Device::flex();
/// let mut sample: Tensor<4> = Tensor::ones([1, 4, 8, 8], (&device, DType::F32));
/// for step in 0..scheduler.timesteps().len() {
///     let output = scheduler.scale_model_input(sample.clone(), step); // a model would go here
///     sample = scheduler.step(output, step, sample, &mut |_| unreachable!("DDIM draws no noise"))?;
/// }
/// assert_eq!(sample.dims(), [1, 4, 8, 8]);
/// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
/// ```
pub trait Scheduler: fmt::Debug + Send {
    /// Timesteps and noise levels of the run.
    fn schedule(&self) -> &Schedule;

    /// The latents after one step, or between the two calls of one.
    ///
    /// Computes in single precision and returns the dtype of `sample`.
    ///
    /// # Shapes
    ///
    /// - `model_output`, `sample`, result: `[batch, channels, height, width]`
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Order`] unless `step` counts up from 0: most schedulers combine several outputs.
    fn step(
        &mut self,
        model_output: Tensor<4>,
        step: usize,
        sample: Tensor<4>,
        noise: &mut NoiseFn<'_>,
    ) -> Result<Tensor<4>, SchedulerError>;

    /// The timestep given to the model at every call, descending; PNDM visits one twice.
    fn timesteps(&self) -> &[f64] {
        self.schedule().timesteps()
    }

    /// Number of steps. Heun and KDPM2 call the model twice a step, and once in the last; all others once.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};
    ///
    /// let config = SchedulerConfig::from_json(r#"{"_class_name": "HeunDiscreteScheduler"}"#)?;
    /// let heun = config.build(3, &SchedulerOptions::default())?;
    /// assert_eq!((heun.steps(), heun.timesteps().len()), (3, 5));
    /// let steps: Vec<usize> = (0..5).map(|call| heun.step_of(call)).collect();
    /// assert_eq!(steps, [0, 0, 1, 1, 2]);
    /// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
    /// ```
    fn steps(&self) -> usize {
        self.schedule().steps()
    }

    /// The step that a call is part of, both counted from 0.
    fn step_of(&self, call: usize) -> usize {
        self.schedule().step_of(call)
    }

    /// Number of steps that are finished after this many calls.
    fn finished(&self, calls: usize) -> usize {
        self.schedule().finished(calls)
    }

    /// Ratio of noise to signal before every step and after the last, where the scheduler works with it; for flow
    /// matching the share of noise.
    /// With [`denoising_end`](super::SchedulerOptions::denoising_end) the levels that are not reached are included.
    fn sigmas(&self) -> Option<&[f32]> {
        self.schedule().sigmas()
    }

    /// Standard deviation of the noise to start from.
    fn init_noise_sigma(&self) -> f64 {
        self.schedule().init_noise_sigma()
    }

    /// Whether [`step`](Self::step) draws noise, once a call.
    /// LCM and TCD do not in their last step, and KDPM2 ancestral does in the second call of each step only.
    fn draws_noise(&self) -> bool {
        self.schedule().draws_noise()
    }

    /// What the model is shown for these latents.
    ///
    /// # Shapes
    ///
    /// - `sample`, result: `[batch, channels, height, width]`
    fn scale_model_input(&self, sample: Tensor<4>, step: usize) -> Tensor<4> {
        self.schedule().scale_model_input(sample, step)
    }

    /// The clean latents that this model output stands for, before any clipping; for previews.
    ///
    /// # Shapes
    ///
    /// - `model_output`, `sample`, result: `[batch, channels, height, width]`
    fn denoised(&self, model_output: Tensor<4>, step: usize, sample: Tensor<4>) -> Tensor<4> {
        self.schedule().denoised(model_output, step, sample)
    }

    /// A clean picture's latents under as much noise as the latents have before this step.
    ///
    /// Computes in single precision and returns the dtype of `original`. After the schedule's last step that is
    /// `original` itself; where [`denoising_end`](super::SchedulerOptions::denoising_end) stops the run before, it is
    /// noised as what the run leaves.
    ///
    /// # Shapes
    ///
    /// - `original`, `noise` (of unit variance), result: `[batch, channels, height, width]`
    fn add_noise(&self, original: Tensor<4>, noise: Tensor<4>, step: usize) -> Tensor<4> {
        self.schedule().add_noise(original, noise, step)
    }
}
