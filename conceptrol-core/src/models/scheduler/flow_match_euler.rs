//! Euler's method on the straight paths of flow matching: Lipman et al. (2022), arXiv 2210.02747, over the shifted
//! noise levels of Esser et al. (2024), arXiv 2403.03206, section 5.3.2.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.35.2/src/diffusers/schedulers/scheduling_flow_match_euler_discrete.py>

use burn::tensor::Tensor;

use super::error::SchedulerError;
use super::fields::{check_steps, positive};
use super::options::SchedulerOptions;
use super::schedule::Schedule;
use super::sigmas::SigmaCurve;
use super::solver::{FreshNoise, Point, Run, Solver};
use crate::models::config::{Choice, Fields};

/// Largest number of steps: noise levels lie between training timesteps, so those set no limit.
const MOST_STEPS: usize = 10_000;

/// Most training timesteps, and most tokens of a picture, that single precision counts exactly.
const MOST_TRAIN_STEPS: usize = 1 << 20;

/// Largest shift, of either sign: its exponential stays finite.
const MOST_SHIFT: f64 = 100.0;

/// Euler's method over noise levels from 1 down to 0, along the velocity `noise - picture` that the model predicts.
#[derive(Debug, Clone)]
pub(super) struct FlowMatchEuler {
    /// Factor of the velocity at every step.
    updates: Vec<f32>,
}

impl FlowMatchEuler {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        check_steps(fields, steps, 1, MOST_STEPS)?;
        fields.must_be("invert_sigmas", false)?;
        fields.must_be("stochastic_sampling", false)?;
        let train = fields.size_or("num_train_timesteps", 1..=MOST_TRAIN_STEPS, 1000)?;
        let shift = Shift::read(fields, options)?;
        let terminal = fields.optional_number("shift_terminal")?;
        let curve = SigmaCurve::read(fields)?;

        let mut levels: Vec<f64> = evenly(steps).map(|level| shift.apply(level)).collect();
        // As in Python, where 0 is not a terminal level.
        if let Some(terminal) = terminal.filter(|terminal| *terminal != 0.0) {
            stretch(&mut levels, terminal);
        }
        let (first, last) = (levels[0], levels[steps - 1]);
        let levels = curve.levels(first, last, steps).unwrap_or(levels);

        let mut sigmas: Vec<f32> = levels.into_iter().map(|level| level as f32).collect();
        let timesteps = sigmas
            .iter()
            .map(|sigma| f64::from(sigma * train as f32))
            .collect();
        sigmas.push(0.0);
        // The shifts are made for levels within 0..=1; some leave them, or turn the order round.
        let falls = |pair: &[f32]| pair[0] <= 1.0 && pair[0] > pair[1];
        if let Some(step) = sigmas.windows(2).position(|pair| !falls(pair)) {
            let class = fields.model();
            return Err(SchedulerError::Levels { class, step });
        }
        let schedule =
            Schedule::flow_matching(fields.model(), timesteps, sigmas).part(options, train)?;
        let updates = schedule.levels().map(|([from, to], _)| to - from).collect();
        let solver = Self { updates };
        Ok(Run { schedule, solver })
    }
}

/// Noise levels from 1 down to `1 / steps`, which FLUX's pipeline gives its scheduler.
fn evenly(steps: usize) -> impl Iterator<Item = f64> {
    (0..steps).map(move |step| match steps {
        1 => 1.0,
        _ => 1.0 - step as f64 * (1.0 - 1.0 / steps as f64) / (steps - 1) as f64,
    })
}

/// Scales the distances from 1 so that the last level becomes `terminal`.
fn stretch(levels: &mut [f64], terminal: f64) {
    let Some(last) = levels.last() else {
        return;
    };
    let scale = (1.0 - last) / (1.0 - terminal);
    for level in levels {
        *level = 1.0 - (1.0 - *level) / scale;
    }
}

/// How noise levels move towards 1: large pictures need more noise to lose the same detail.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shift {
    /// By a factor of the ratio of noise to signal.
    Factor(f64),
    /// By the exponential of this number (`time_shift_type`).
    Exponential(f64),
    /// As a factor that is this number itself.
    Linear(f64),
}

/// What the dynamic shift does with its number (`time_shift_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
enum TimeShift {
    Exponential,
    Linear,
}

impl Choice for TimeShift {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("exponential", Self::Exponential), ("linear", Self::Linear)];
}

impl Shift {
    fn read(fields: &Fields, options: &SchedulerOptions) -> Result<Self, SchedulerError> {
        let factor = positive(fields, "shift")?.unwrap_or(1.0);
        let kind = fields.choice_or("time_shift_type", TimeShift::Exponential)?;
        let bounded = |field, default| match fields.number_or(field, default)? {
            shift if shift.abs() <= MOST_SHIFT => Ok(shift),
            _ => Err(fields.error(field, format!("within -{MOST_SHIFT}..={MOST_SHIFT}"))),
        };
        let (least, most) = (bounded("base_shift", 0.5)?, bounded("max_shift", 1.15)?);
        let small = fields.size_or("base_image_seq_len", 0..=MOST_TRAIN_STEPS, 256)?;
        let large = fields.size_or("max_image_seq_len", 0..=MOST_TRAIN_STEPS, 4096)?;
        if small >= large {
            let expected = format!("less than max_image_seq_len = {large}");
            return Err(fields.error("base_image_seq_len", expected).into());
        }
        if !fields.flag_or("use_dynamic_shifting", false)? {
            return Ok(Self::Factor(factor));
        }
        let tokens = options.image_tokens.ok_or(SchedulerError::Missing {
            class: fields.model(),
            option: "image_tokens",
            field: "use_dynamic_shifting",
        })?;
        // A line through the smallest and the largest pictures of the training.
        let slope = (most - least) / (large - small) as f64;
        let shift = slope * (tokens as f64 - small as f64) + least;
        Ok(match kind {
            TimeShift::Exponential => Self::Exponential(shift),
            TimeShift::Linear => Self::Linear(shift),
        })
    }

    fn apply(self, level: f64) -> f64 {
        match self {
            Self::Factor(shift) => shift * level / (1.0 + (shift - 1.0) * level),
            Self::Exponential(shift) => shift.exp() / (shift.exp() + (1.0 / level - 1.0)),
            Self::Linear(shift) => shift / (shift + (1.0 / level - 1.0)),
        }
    }
}

impl Solver for FlowMatchEuler {
    fn update(&mut self, now: Point<'_>, _noise: &mut FreshNoise<'_>) -> Tensor<4> {
        now.mix([1.0, self.updates[now.step]])
    }
}
