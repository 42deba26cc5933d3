//! What Heun and KDPM2 share: steps that call the model twice, at their start and at a level further on.

use burn::tensor::Tensor;

use super::combine::combine;
use super::error::SchedulerError;
use super::options::SchedulerOptions;
use super::prediction::{Factors, Prediction};
use super::schedule::Schedule;
use super::solver::{FreshNoise, Point, Run, Solver};
use super::spacing::Spacing;

/// A second-order method over sigmas. Where a step has one call, the last, it is Euler's.
#[derive(Debug, Clone)]
pub(super) struct TwoCalls {
    calls: Vec<Call>,
    clip: Option<f64>,
    /// Sample and slope of the call that opened the step under way.
    open: Option<(Tensor<4>, Tensor<4>)>,
}

/// What one model call is used for.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// Level of its sample.
    sigma: f32,
    /// The slope: derivative of the sample by sigma.
    slope: Factors,
    /// Weight of the slope of the call that opened the step; 0 in that call itself.
    opening: f32,
    /// Weight of this call's own slope.
    own: f32,
    /// Weight of fresh noise.
    noise: f32,
}

/// A step from its level: where the second call looks, what both slopes weigh then, and the noise that is added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) from: f32,
    /// Level of the second call; that after the last step where there is none.
    pub(super) at: f32,
    /// The timestep of that level.
    pub(super) timestep: f64,
    /// Weights of the slopes of the first and the second call.
    pub(super) slopes: [f32; 2],
    pub(super) noise: f32,
}

/// The parts of a run.
#[derive(Debug)]
pub(super) struct TwoCallsParts {
    /// The timestep at the start of every step.
    pub(super) timesteps: Vec<f64>,
    pub(super) steps: Vec<Step>,
    /// As diffusers lists them.
    pub(super) sigmas: Vec<f32>,
    pub(super) spacing: Spacing,
    pub(super) prediction: Prediction,
    pub(super) clip: Option<f64>,
    pub(super) train: usize,
}

impl TwoCalls {
    pub(super) fn new(
        class: &'static str,
        parts: TwoCallsParts,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let prediction = parts.prediction;
        let call = |sigma, opening, own, noise| Call {
            sigma,
            slope: prediction.exploding_noise(sigma),
            opening,
            own,
            noise,
        };
        let (mut timesteps, mut calls) = (Vec::new(), Vec::new());
        for (i, (start, step)) in parts.timesteps.into_iter().zip(&parts.steps).enumerate() {
            timesteps.push(start);
            calls.push(call(step.from, 0.0, step.at - step.from, 0.0));
            if i + 1 < parts.steps.len() {
                let [opening, own] = step.slopes;
                timesteps.push(step.timestep);
                calls.push(call(step.at, opening, own, step.noise));
            }
        }
        let levels = calls.iter().map(|call| call.sigma).collect();
        let mut schedule = Schedule::exploding_at(
            class,
            timesteps,
            levels,
            parts.sigmas,
            parts.spacing,
            prediction,
        )
        .calls_per_step(2)
        .part(options, parts.train)?;
        let stochastic = calls.iter().any(|call| call.noise != 0.0);
        schedule.draws_noise = stochastic && schedule.timesteps().len() > 1;
        schedule.require_finite(&calls.iter().map(Call::coefficients).collect::<Vec<_>>())?;
        let solver = Self {
            calls,
            clip: parts.clip,
            open: None,
        };
        Ok(Run { schedule, solver })
    }
}

impl Call {
    fn coefficients(&self) -> [f32; 5] {
        let [of_sample, of_output] = self.slope;
        [of_sample, of_output, self.opening, self.own, self.noise]
    }
}

impl Solver for TwoCalls {
    fn update(&mut self, now: Point<'_>, noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let call = self.calls[now.step];
        let slope = match self.clip {
            None => now.mix(call.slope),
            Some(_) => {
                let original = now.original(self.clip);
                let inverse = 1.0 / call.sigma;
                combine(&[(inverse, &now.sample), (-inverse, &original)])
            }
        };
        let Some((sample, opening)) = self.open.take() else {
            let next = combine(&[(1.0, &now.sample), (call.own, &slope)]);
            self.open = Some((now.sample, slope));
            return next;
        };
        let noise = now.schedule.draws_noise.then(noise);
        let mut terms = vec![(1.0, &sample), (call.opening, &opening), (call.own, &slope)];
        terms.extend(noise.as_ref().map(|noise| (call.noise, noise)));
        combine(&terms)
    }
}
