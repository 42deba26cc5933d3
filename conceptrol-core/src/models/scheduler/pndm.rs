//! PNDM: pseudo Runge-Kutta and linear multistep; Liu et al. (2022), arXiv 2202.09778, equations 9, 12 and 13.
//!
//! <https://github.com/huggingface/diffusers/blob/v0.32.2/src/diffusers/schedulers/scheduling_pndm.py>

use burn::tensor::Tensor;

use super::betas::{DDPM_BETAS, ZeroSnr, alphas_cumprod};
use super::combine::combine;
use super::error::SchedulerError;
use super::fields::{check_steps, within};
use super::history::History;
use super::options::SchedulerOptions;
use super::prediction::{Factors, Prediction};
use super::schedule::Schedule;
use super::solver::{FreshNoise, Point, Run, Solver};
use super::spacing::Spacing;
use crate::models::config::Fields;

/// Model calls of one Runge-Kutta step.
const STAGES: usize = 4;

/// Runge-Kutta steps before the multistep ones.
const RUNGE_KUTTA_STEPS: usize = 3;

/// PNDM over whole timesteps. With `skip_prk_steps` it makes one call more than steps: the first step is done twice.
#[derive(Debug, Clone)]
pub(super) struct Pndm {
    calls: Vec<Call>,
    /// Model outputs at multistep points.
    outputs: History,
    /// Model outputs of the Runge-Kutta step under way.
    stages: History,
    /// The sample at the start of the step under way.
    kept: Option<Tensor<4>>,
}

/// What one model call is used for.
#[derive(Debug, Clone, Copy)]
struct Call {
    role: Role,
    /// Factors of the sample and of the mixed model outputs.
    next: Factors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Call 0 to 3 of a Runge-Kutta step.
    Stage(usize),
    /// The first step by Euler's method, whose sample is kept.
    Predict,
    /// The first step again, with the mean slope.
    Correct,
    /// A multistep update.
    Multistep,
}

impl Pndm {
    pub(super) fn new(
        fields: &Fields,
        steps: usize,
        options: &SchedulerOptions,
    ) -> Result<Run<Self>, SchedulerError> {
        let alphas = alphas_cumprod(fields, DDPM_BETAS, ZeroSnr::Ignored)?;
        let train = alphas.len();
        let runge_kutta = !fields.flag_or("skip_prk_steps", false)?;
        let least = if runge_kutta {
            RUNGE_KUTTA_STEPS + 1
        } else {
            1
        };
        check_steps(fields, steps, least, train)?;
        options.check_begin(fields.model(), steps)?;
        let prediction = fields.choice_or("prediction_type", Prediction::Epsilon)?;
        if prediction == Prediction::Sample {
            return Err(fields
                .error("prediction_type", "epsilon or v_prediction")
                .into());
        }
        let spacing = fields.choice_or("timestep_spacing", Spacing::Leading)?;
        let offset = fields.size_or("steps_offset", 0..=train, 0)?;
        let final_alpha = if fields.flag_or("set_alpha_to_one", false)? {
            1.0
        } else {
            alphas[0]
        };

        let stride = (train / steps) as i64;
        let whole = spacing.whole(train, steps, offset);
        // Parity: diffusers drops calls instead of steps, and then misses the repeated call and a noise level.
        let whole = &whole[options.begin_at..];
        check_steps(fields, whole.len(), least, train)?;
        let plan = if runge_kutta {
            with_runge_kutta(whole, stride)
        } else {
            without_runge_kutta(whole, stride)
        };
        let (timesteps, plan): (Vec<i64>, Vec<_>) = plan.into_iter().unzip();
        let timesteps = within(fields, timesteps, train)?;
        let from: Vec<i64> = plan.iter().map(|(_, from, _)| *from).collect();
        let from = within(fields, from, train)?;

        let alpha_at = |timestep: i64| {
            usize::try_from(timestep).map_or(final_alpha, |timestep| alphas[timestep])
        };
        let transfers = plan.iter().zip(from).map(|((role, _, to), from)| Call {
            role: *role,
            next: transfer(prediction, alphas[from], alpha_at(*to)),
        });
        let calls: Vec<Call> = transfers.collect();
        let forward = timesteps.iter().map(|timestep| alphas[*timestep]);
        let forward = forward
            .map(|alpha| [alpha.sqrt(), (1.0 - alpha).sqrt()])
            .collect();
        let timesteps = timesteps
            .into_iter()
            .map(|timestep| timestep as f64)
            .collect();
        let schedule =
            Schedule::variance_preserving(fields.model(), timesteps, None, prediction, forward)
                .part(&options.begin_at(0), train)?;
        schedule.require_finite(&calls.iter().map(|call| call.next).collect::<Vec<_>>())?;
        let solver = Self {
            calls,
            outputs: History::new(STAGES),
            stages: History::new(STAGES),
            kept: None,
        };
        Ok(Run { schedule, solver })
    }
}

/// The role of a call, and the timesteps it steps from and to.
type Transfer = (Role, i64, i64);

/// Model timesteps with their transfers: multistep from the start, the first step twice.
fn without_runge_kutta(whole: &[i64], stride: i64) -> Vec<(i64, Transfer)> {
    let mut plan: Vec<_> = whole
        .iter()
        .map(|&timestep| (timestep, (Role::Multistep, timestep, timestep - stride)))
        .collect();
    plan[0].1.0 = Role::Predict;
    if let Some(&second) = whole.get(1) {
        plan.insert(1, (second, (Role::Correct, second + stride, second)));
    }
    plan
}

/// Model timesteps with their transfers: three Runge-Kutta steps of four calls each, then multistep.
fn with_runge_kutta(whole: &[i64], stride: i64) -> Vec<(i64, Transfer)> {
    let half = stride / 2;
    let mut plan = Vec::with_capacity(whole.len() + RUNGE_KUTTA_STEPS * (STAGES - 1));
    for pair in whole.windows(2).take(RUNGE_KUTTA_STEPS) {
        let (start, end) = (pair[0], pair[1]);
        // Start, twice the middle (above the end, where diffusers puts it), end.
        let seen = [start, end + half, end + half, end];
        for (stage, timestep) in seen.into_iter().enumerate() {
            let to = if stage % 2 == 0 {
                timestep - half
            } else {
                timestep
            };
            plan.push((timestep, (Role::Stage(stage), start, to)));
        }
    }
    let rest = whole.iter().skip(RUNGE_KUTTA_STEPS);
    plan.extend(rest.map(|&timestep| (timestep, (Role::Multistep, timestep, timestep - stride))));
    plan
}

/// Equation 9: the sample at `next` from the sample at `now` and the noise between.
fn transfer(prediction: Prediction, now: f32, next: f32) -> Factors {
    let (sigma2, next_sigma2) = (1.0 - now, 1.0 - next);
    let of_sample = (next / now).sqrt();
    let denominator = now * next_sigma2.sqrt() + (now * sigma2 * next).sqrt();
    let of_noise = -((next - now) / denominator);
    let [sample_in_noise, output_in_noise] = prediction.noise(now.sqrt(), sigma2.sqrt());
    [
        of_sample + of_noise * sample_in_noise,
        of_noise * output_in_noise,
    ]
}

/// Weights of Adams and Bashforth for one to four outputs, newest first.
fn adams_bashforth(outputs: usize) -> &'static [f32] {
    match outputs {
        0 | 1 => &[1.0],
        2 => &[3.0 / 2.0, -1.0 / 2.0],
        3 => &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        _ => &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    }
}

/// Weights of the classical Runge-Kutta step, newest first.
const RUNGE_KUTTA: [f32; STAGES] = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0];

impl Pndm {
    /// The mix of model outputs that stands for the noise between two timesteps.
    fn mix(&mut self, role: Role, output: Tensor<4>) -> Tensor<4> {
        match role {
            Role::Stage(stage) => {
                if stage == 0 {
                    self.stages.clear();
                    self.outputs.push(output.clone());
                }
                self.stages.push(output.clone());
                if stage + 1 < STAGES {
                    return output;
                }
                combine(&self.stages.weighted(&RUNGE_KUTTA).collect::<Vec<_>>())
            }
            Role::Correct => {
                let mut terms = vec![(0.5, &output)];
                terms.extend(self.outputs.weighted(&[0.5]));
                combine(&terms)
            }
            Role::Predict | Role::Multistep => {
                self.outputs.push(output);
                combine(
                    &self
                        .outputs
                        .weighted(adams_bashforth(self.outputs.len()))
                        .collect::<Vec<_>>(),
                )
            }
        }
    }
}

impl Solver for Pndm {
    fn update(&mut self, now: Point<'_>, _noise: &mut FreshNoise<'_>) -> Tensor<4> {
        let Call {
            role,
            next: [of_sample, of_output],
        } = self.calls[now.step];
        let sample = match role {
            Role::Stage(0) | Role::Predict => self.kept.insert(now.sample).clone(),
            Role::Stage(_) | Role::Correct => self.kept.clone().unwrap_or(now.sample),
            Role::Multistep => now.sample,
        };
        let output = self.mix(role, now.output);
        combine(&[(of_sample, &sample), (of_output, &output)])
    }
}
