//! Samplers: from a checkpoint's `scheduler_config.json` to the update of every step.
//!
//! Schedules are computed on the host in the precision diffusers 0.32.2 uses; on the device a step is a weighted sum
//! of tensors. Constants and formulas were checked against that version over a grid of configurations, see
//! `tests/scheduler`. [`SchedulerConfig`] reads the file, [`Scheduler`] is what a denoising loop drives.

mod ancestral;
mod betas;
mod combine;
mod config;
mod ddim;
mod deis;
mod distilled;
mod dpm_solver;
mod error;
mod euler;
mod euler_ancestral;
mod fields;
mod flow_match_euler;
mod fractional;
mod heun;
mod history;
mod kdpm2;
mod kind;
mod lcm;
mod multistep;
mod names;
mod options;
mod pndm;
mod prediction;
mod quantile;
mod schedule;
#[expect(
    clippy::module_inception,
    reason = "the trait has the name of the thing"
)]
mod scheduler;
mod sigmas;
mod solver;
mod spacing;
mod tcd;
mod training;
mod two_calls;
mod unipc;

pub use config::SchedulerConfig;
pub use error::SchedulerError;
pub use kind::SchedulerKind;
pub use names::SchedulerName;
pub use options::SchedulerOptions;
pub use schedule::Schedule;
pub use scheduler::{NoiseFn, Scheduler};
pub use training::TrainingObjective;
