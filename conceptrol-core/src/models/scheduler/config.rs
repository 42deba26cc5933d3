//! A checkpoint's `scheduler_config.json`, and the scheduler it describes.

use std::path::Path;

use serde_json::{Map, Value};

use super::betas::{DDPM_BETAS, LATENT_BETAS, ZeroSnr, alphas_cumprod};
use super::ddim::Ddim;
use super::error::SchedulerError;
use super::euler::Euler;
use super::euler_ancestral::EulerAncestral;
use super::fields::Fields;
use super::json::parse_python_json;
use super::kind::SchedulerKind;
use super::lcm::Lcm;
use super::options::SchedulerOptions;
use super::pndm::Pndm;
use super::scheduler::Scheduler;
use super::unipc::UniPc;
use super::{deis, dpm_solver};

/// A scheduler's class and fields, as published with a checkpoint.
///
/// A field that is absent or null has the default of diffusers 0.32.2 for the class; fields of other classes are
/// kept, because another class may be chosen over the same configuration, and ignored.
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
/// assert_eq!(euler.kind(), SchedulerKind::Euler);
///
/// let error = config.build(0, &SchedulerOptions::default()).unwrap_err();
/// assert_eq!(error.to_string(), "PNDMScheduler cannot run 0 steps, the number must lie in 1..=1000");
/// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerConfig {
    kind: SchedulerKind,
    values: Map<String, Value>,
}

impl SchedulerConfig {
    /// A configuration from its parts; `values` are the fields without `_class_name`.
    pub fn new(kind: SchedulerKind, values: Map<String, Value>) -> Self {
        Self { kind, values }
    }

    /// Reads a `scheduler_config.json`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, and as [`from_json`](Self::from_json).
    pub fn open(path: &Path) -> Result<Self, SchedulerError> {
        let text = std::fs::read_to_string(path).map_err(|source| SchedulerError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::from_json(&text)
    }

    /// Parses the text of a `scheduler_config.json`; `_class_name` selects the scheduler.
    ///
    /// # Errors
    ///
    /// If the text is not a JSON object or names no known class. Fields are checked by [`build`](Self::build).
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        let not_json = |reason: String| SchedulerError::Json { reason };
        let Value::Object(values) =
            parse_python_json(text).map_err(|error| not_json(error.to_string()))?
        else {
            return Err(not_json("the outermost value is something else".into()));
        };
        let class = values.get("_class_name").and_then(Value::as_str);
        let kind = class
            .ok_or_else(|| not_json("it has no string `_class_name`".into()))?
            .parse()?;
        Ok(Self { kind, values })
    }

    /// Which scheduler this configures.
    pub fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// The same fields for another scheduler, as diffusers' `from_config`.
    #[must_use]
    pub fn with_kind(&self, kind: SchedulerKind) -> Self {
        Self {
            kind,
            values: self.values.clone(),
        }
    }

    /// The same fields for the scheduler of this name; a suffix `karras` turns on `use_karras_sigmas`.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::UnknownClass`] if the name is not one of [`SchedulerKind`]'s, or the scheduler has no Karras
    /// sigmas.
    pub fn with_name(&self, name: &str) -> Result<Self, SchedulerError> {
        let lower = name.to_ascii_lowercase();
        let Some(stem) = lower.strip_suffix("karras") else {
            return Ok(self.with_kind(name.parse()?));
        };
        let kind = stem.parse()?;
        match kind {
            SchedulerKind::Euler
            | SchedulerKind::DpmSolverMultistep
            | SchedulerKind::UniPc
            | SchedulerKind::Deis => Ok(self
                .with_kind(kind)
                .with_field("use_karras_sigmas", true.into())),
            _ => Err(SchedulerError::UnknownClass {
                name: name.chars().take(60).collect(),
                known: "euler_karras, dpmpp_2m_karras, unipc_karras, deis_karras".into(),
            }),
        }
    }

    /// The same configuration with one field set.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: Value) -> Self {
        self.values.insert(name.into(), value);
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
    /// If a field of the noise schedule has the wrong type or is out of range.
    pub fn alphas_cumprod(&self) -> Result<Vec<f32>, SchedulerError> {
        let (betas, zero_snr) = match self.kind {
            SchedulerKind::Lcm => (LATENT_BETAS, ZeroSnr::Exact),
            SchedulerKind::Ddim => (DDPM_BETAS, ZeroSnr::Exact),
            SchedulerKind::Pndm | SchedulerKind::Deis => (DDPM_BETAS, ZeroSnr::Ignored),
            SchedulerKind::DpmSolverMultistep
            | SchedulerKind::Euler
            | SchedulerKind::EulerAncestral
            | SchedulerKind::UniPc => (DDPM_BETAS, ZeroSnr::Tiny),
        };
        alphas_cumprod(self.fields(), betas, zero_snr)
    }

    fn fields(&self) -> Fields<'_> {
        Fields {
            class: self.kind.class_name(),
            values: &self.values,
        }
    }

    /// A scheduler for one run of `num_inference_steps` steps.
    ///
    /// # Errors
    ///
    /// If a field has the wrong type, is out of range or is not supported, if the number of steps is 0 or more than
    /// the schedule has, if the timesteps leave the training schedule, or if an update would not be finite.
    pub fn build(
        &self,
        num_inference_steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Box<dyn Scheduler>, SchedulerError> {
        options.check()?;
        let fields = self.fields();
        let steps = num_inference_steps;
        Ok(match self.kind {
            SchedulerKind::Ddim => Box::new(Ddim::new(fields, steps, options)?),
            SchedulerKind::Pndm => Box::new(Pndm::new(fields, steps, options)?),
            SchedulerKind::Deis => Box::new(deis::build(fields, steps, options)?),
            SchedulerKind::DpmSolverMultistep => {
                Box::new(dpm_solver::build(fields, steps, options)?)
            }
            SchedulerKind::Euler => Box::new(Euler::new(fields, steps, options)?),
            SchedulerKind::EulerAncestral => Box::new(EulerAncestral::new(fields, steps, options)?),
            SchedulerKind::UniPc => Box::new(UniPc::new(fields, steps, options)?),
            SchedulerKind::Lcm => Box::new(Lcm::new(fields, steps, options)?),
        })
    }
}
