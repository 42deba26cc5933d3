//! What can be wrong with a scheduler's configuration or use.

use crate::{
    message::shown,
    models::{config::ConfigError, weights::closest},
};

/// An unusable scheduler configuration, an impossible step count, or a step out of order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The configuration cannot be read, or a field of it has the wrong type, is out of range or not supported.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `_class_name` or the name on the command line is not a scheduler of this crate.
    #[error("unknown scheduler `{}`{}, known are {known}", shown(name), did_you_mean(closest.as_deref()))]
    UnknownClass {
        /// The name as given.
        name: String,
        /// The known name that is most like it, if one is.
        closest: Option<String>,
        /// The names understood.
        known: String,
    },
    /// The number of inference steps is outside what the configuration allows.
    #[error("{class} cannot run {steps} steps, the number must lie in {min}..={max}")]
    Steps {
        /// Class of the scheduler.
        class: &'static str,
        /// Number of steps asked for.
        steps: usize,
        /// Smallest number that works.
        min: usize,
        /// Largest number that works.
        max: usize,
    },
    /// An option of the run is outside its range.
    #[error("scheduler option `{option}` is {value}, but must be {expected}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// Spacing and offset lead outside the training schedule.
    #[error("{class} reaches timestep {timestep} at step {step}, but the model knows 0..{train}")]
    Timestep {
        /// Class of the scheduler.
        class: &'static str,
        /// Index of the step.
        step: usize,
        /// The timestep there.
        timestep: i64,
        /// Number of training timesteps.
        train: usize,
    },
    /// The run is to begin after its last step.
    #[error("{class} cannot begin at step {begin} of {steps}")]
    Begin {
        /// Class of the scheduler.
        class: &'static str,
        /// Step to begin at.
        begin: usize,
        /// Number of steps.
        steps: usize,
    },
    /// The configuration needs an option of the run.
    #[error("{class} with field `{field}` needs the option `{option}`")]
    Missing {
        /// Class of the scheduler.
        class: &'static str,
        /// Name of the option.
        option: &'static str,
        /// The field that needs it.
        field: &'static str,
    },
    /// The noise levels do not fall from 1 to 0.
    #[error("{class} has no falling noise levels at step {step} with this configuration")]
    Levels {
        /// Class of the scheduler.
        class: &'static str,
        /// Index of the step.
        step: usize,
    },
    /// The scheduler is not of a diffusion with betas.
    #[error("{class} has no betas")]
    NoBetas {
        /// Class of the scheduler.
        class: &'static str,
    },
    /// The update has no finite coefficients, e.g. an epsilon prediction at zero signal.
    #[error("{class} has no finite update at step {step} with this configuration")]
    NotFinite {
        /// Class of the scheduler.
        class: &'static str,
        /// Index of the step.
        step: usize,
    },
    /// A scheduler keeps the history of its steps, so they must come in order.
    #[error("scheduler step {got} was called, but {expected} of {steps} is next")]
    Order {
        /// Step that was called.
        got: usize,
        /// Step that is due.
        expected: usize,
        /// Number of steps.
        steps: usize,
    },
}

impl SchedulerError {
    /// A name that is none of `names`, which `known` puts in words.
    pub(super) fn unknown<'a>(
        name: &str,
        names: impl Iterator<Item = &'a str>,
        known: String,
    ) -> Self {
        Self::UnknownClass {
            closest: closest(&name.to_ascii_lowercase(), names).map(ToOwned::to_owned),
            name: name.to_owned(),
            known,
        }
    }
}

fn did_you_mean(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
