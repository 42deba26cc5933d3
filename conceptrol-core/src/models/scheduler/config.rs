//! A checkpoint's `scheduler_config.json`, and the scheduler it describes.

use std::path::Path;

use serde_json::{Map, Value};

use super::betas::{DDPM_BETAS, LATENT_BETAS, SECOND_ORDER_BETAS, ZeroSnr, alphas_cumprod};
use super::ddim::Ddim;
use super::error::SchedulerError;
use super::euler::Euler;
use super::euler_ancestral::EulerAncestral;
use super::flow_match_euler::FlowMatchEuler;
use super::kind::SchedulerKind;
use super::lcm::Lcm;
use super::names::SchedulerName;
use super::options::SchedulerOptions;
use super::pndm::Pndm;
use super::prediction::Prediction;
use super::scheduler::Scheduler;
use super::tcd::Tcd;
use super::unipc::UniPc;
use super::{deis, dpm_solver, heun, kdpm2};
use crate::models::config::{ConfigError, Fields};

/// What errors call a configuration before it is known of which scheduler it is.
const MODEL: &str = "scheduler";

/// A scheduler's class and fields, as published with a checkpoint.
///
/// A field that is absent or null has the default of diffusers 0.32.2 for the class; fields of other classes are
/// kept, because another class may be chosen over the same configuration, and ignored. For the same reason a class that
/// is not computed here is an error only when a scheduler is to be built of it.
///
/// ```
/// use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerKind, SchedulerOptions};
///
/// let published = r#"{"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
///     "beta_end": 0.012, "skip_prk_steps": true, "steps_offset": 1, "clip_sample": false}"#;
/// let config = SchedulerConfig::from_json(published)?;
/// assert_eq!(config.build(5, &SchedulerOptions::default())?.timesteps().len(), 6);
///
/// let euler = config.with_name("euler")?; // keeps betas, offset and prediction type
/// assert_eq!(euler.kind()?, SchedulerKind::Euler);
///
/// let error = config.build(0, &SchedulerOptions::default()).unwrap_err();
/// assert_eq!(error.to_string(), "PNDMScheduler cannot run 0 steps, the number must lie in 1..=1000");
/// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerConfig {
    class: Class,
    fields: Fields,
}

/// A class of diffusers.
#[derive(Debug, Clone, PartialEq)]
enum Class {
    Known(SchedulerKind),
    /// One that is not computed here, by its name.
    Other(String),
}

impl SchedulerConfig {
    /// A configuration from its parts; `values` are the fields without `_class_name`.
    pub fn new(kind: SchedulerKind, values: Map<String, Value>) -> Self {
        Self {
            class: Class::Known(kind),
            fields: Fields::new(kind.class_name(), values),
        }
    }

    /// The published configuration of FLUX.1-dev: flow matching, with noise levels that depend on the picture's size.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};
    ///
    /// let options = SchedulerOptions::default().image_tokens(4096);
    /// let scheduler = SchedulerConfig::flow_match_dev().build(2, &options)?;
    /// let sigmas = scheduler.sigmas().expect("flow matching has noise levels");
    /// assert!((sigmas[1] - 0.75951).abs() < 1e-5);
    ///
    /// let error = SchedulerConfig::flow_match_dev().build(2, &SchedulerOptions::default());
    /// assert!(error.is_err(), "the size is missing");
    /// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
    /// ```
    pub fn flow_match_dev() -> Self {
        Self::flow_match_schnell()
            .with_field("shift", 3.0.into())
            .with_field("use_dynamic_shifting", true.into())
    }

    /// The published configuration of FLUX.1-schnell: flow matching over evenly spaced noise levels.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};
    ///
    /// let scheduler = SchedulerConfig::flow_match_schnell().build(4, &SchedulerOptions::default())?;
    /// assert_eq!(scheduler.sigmas(), Some(&[1.0, 0.75, 0.5, 0.25, 0.0][..]));
    /// assert_eq!(scheduler.timesteps(), [1000.0, 750.0, 500.0, 250.0]);
    /// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
    /// ```
    pub fn flow_match_schnell() -> Self {
        Self::new(SchedulerKind::FlowMatchEuler, Map::new())
    }

    /// Reads a `scheduler_config.json`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or has more than a mebibyte, and as [`from_json`](Self::from_json).
    pub fn open(path: &Path) -> Result<Self, SchedulerError> {
        Ok(Self::from_fields(Fields::open(MODEL, path)?)?)
    }

    /// Parses the text of a `scheduler_config.json`; `_class_name` selects the scheduler.
    ///
    /// # Errors
    ///
    /// If the text is not a JSON object or names no class. Class and fields are checked by [`build`](Self::build).
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        Ok(Self::from_fields(Fields::parse(MODEL, text)?)?)
    }

    fn from_fields(fields: Fields) -> Result<Self, ConfigError> {
        const CLASS: &str = "_class_name";
        let name = fields.optional_text(CLASS)?;
        let name = name.ok_or_else(|| fields.error(CLASS, "the name of a scheduler"))?;
        Ok(match name.parse::<SchedulerKind>() {
            Ok(kind) => Self {
                class: Class::Known(kind),
                fields: fields.of(kind.class_name()),
            },
            Err(_) => Self {
                class: Class::Other(name.to_owned()),
                fields,
            },
        })
    }

    /// Which scheduler this configures.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::UnknownClass`] if the file's class is not computed here.
    pub fn kind(&self) -> Result<SchedulerKind, SchedulerError> {
        match &self.class {
            Class::Known(kind) => Ok(*kind),
            Class::Other(name) => Err(SchedulerName::unknown(name)),
        }
    }

    /// The name of the class in diffusers, also of one that is not computed here.
    pub fn class_name(&self) -> &str {
        match &self.class {
            Class::Known(kind) => kind.class_name(),
            Class::Other(name) => name,
        }
    }

    /// Whether the scheduler is for models that predict a velocity, see [`SchedulerKind::is_flow_matching`]; of a class
    /// that is not computed here the name tells.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::SchedulerConfig;
    ///
    /// let heun = SchedulerConfig::from_json(r#"{"_class_name": "FlowMatchHeunDiscreteScheduler"}"#)?;
    /// let ddpm = SchedulerConfig::from_json(r#"{"_class_name": "DDPMScheduler"}"#)?;
    /// assert!(heun.is_flow_matching() && !ddpm.is_flow_matching());
    /// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
    /// ```
    pub fn is_flow_matching(&self) -> bool {
        match &self.class {
            Class::Known(kind) => kind.is_flow_matching(),
            Class::Other(name) => name.starts_with("FlowMatch"),
        }
    }

    /// The same fields for another scheduler, as diffusers' `from_config`.
    #[must_use]
    pub fn with_kind(&self, kind: SchedulerKind) -> Self {
        Self {
            class: Class::Known(kind),
            fields: self.fields.of(kind.class_name()),
        }
    }

    /// The same fields for the scheduler of this name, without those that the name settles.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};
    ///
    /// // A class that is not computed here, with the noise schedule of its model.
    /// let config = SchedulerConfig::from_json(r#"{"_class_name": "DDPMScheduler", "beta_end": 0.012}"#)?;
    /// let options = SchedulerOptions::default();
    /// assert!(config.build(4, &options).is_err());
    /// assert!(config.with_name("dpmpp_2m_sde_karras")?.build(4, &options)?.draws_noise());
    /// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SchedulerError::UnknownClass`] if the name is none of [`SchedulerName`]'s.
    pub fn with_name(&self, name: &str) -> Result<Self, SchedulerError> {
        let name: SchedulerName = name.parse()?;
        let settled = name.fields().iter();
        let config = self.with_kind(name.kind());
        Ok(settled.fold(config, |config, (field, value)| {
            config.with_field(field, value.clone())
        }))
    }

    /// The same configuration with one field set.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: Value) -> Self {
        self.fields = self.fields.with(name, value);
        self
    }

    /// Share of signal power in the latents at every training timestep, descending.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::SchedulerConfig;
    ///
    /// let alphas = SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler"}"#)?.alphas_cumprod()?;
    /// assert_eq!(alphas.len(), 1000);
    /// assert!(alphas[0] > 0.99 && alphas[999] < 0.01);
    /// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a field of the noise schedule has the wrong type or is out of range, and
    /// [`SchedulerError::NoBetas`] for flow matching.
    pub fn alphas_cumprod(&self) -> Result<Vec<f32>, SchedulerError> {
        let kind = self.kind()?;
        let (betas, zero_snr) = match kind {
            SchedulerKind::Lcm | SchedulerKind::Tcd => (LATENT_BETAS, ZeroSnr::Exact),
            SchedulerKind::Heun | SchedulerKind::Kdpm2 | SchedulerKind::Kdpm2Ancestral => {
                (SECOND_ORDER_BETAS, ZeroSnr::Tiny)
            }
            SchedulerKind::Ddim => (DDPM_BETAS, ZeroSnr::Exact),
            SchedulerKind::Pndm | SchedulerKind::Deis => (DDPM_BETAS, ZeroSnr::Ignored),
            SchedulerKind::DpmSolverMultistep
            | SchedulerKind::Euler
            | SchedulerKind::EulerAncestral
            | SchedulerKind::UniPc => (DDPM_BETAS, ZeroSnr::Tiny),
            SchedulerKind::FlowMatchEuler => {
                let class = kind.class_name();
                return Err(SchedulerError::NoBetas { class });
            }
        };
        alphas_cumprod(&self.fields, betas, zero_snr)
    }

    /// What the model predicts.
    pub(super) fn prediction(&self) -> Result<Prediction, SchedulerError> {
        Ok(self
            .fields
            .choice_or("prediction_type", Prediction::Epsilon)?)
    }

    /// A scheduler for one run of `num_inference_steps` steps.
    ///
    /// # Errors
    ///
    /// If the class is not computed here, if a field has the wrong type, is out of range or is not supported, if an
    /// option is missing or out of range, if the number of steps is 0 or more than the schedule has, if the timesteps
    /// leave the training schedule, or if an update would not be finite.
    pub fn build(
        &self,
        num_inference_steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Box<dyn Scheduler>, SchedulerError> {
        options.check()?;
        let kind = self.kind()?;
        let fields = &self.fields;
        let steps = num_inference_steps;
        Ok(match kind {
            SchedulerKind::Ddim => Box::new(Ddim::new(fields, steps, options)?),
            SchedulerKind::Pndm => Box::new(Pndm::new(fields, steps, options)?),
            SchedulerKind::Deis => Box::new(deis::build(fields, steps, options)?),
            SchedulerKind::DpmSolverMultistep => {
                Box::new(dpm_solver::build(fields, steps, options)?)
            }
            SchedulerKind::Euler => Box::new(Euler::new(fields, steps, options)?),
            SchedulerKind::EulerAncestral => Box::new(EulerAncestral::new(fields, steps, options)?),
            SchedulerKind::FlowMatchEuler => Box::new(FlowMatchEuler::new(fields, steps, options)?),
            SchedulerKind::Heun => Box::new(heun::build(fields, steps, options)?),
            SchedulerKind::Kdpm2 => Box::new(kdpm2::build(fields, steps, options, false)?),
            SchedulerKind::Kdpm2Ancestral => Box::new(kdpm2::build(fields, steps, options, true)?),
            SchedulerKind::Tcd => Box::new(Tcd::new(fields, steps, options)?),
            SchedulerKind::UniPc => Box::new(UniPc::new(fields, steps, options)?),
            SchedulerKind::Lcm => Box::new(Lcm::new(fields, steps, options)?),
        })
    }
}
