//! One step: loss, gradients, clipping, `AdamW`.

use std::collections::BTreeMap;

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, Optimizer},
    tensor::Tensor,
};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Session, models::scheduler::TrainingObjective,
    pipeline::PipelineError,
};
use conceptrol_sd::unet::UNet2DConditionModel;

use super::{LowRank, TrainingError};

/// Largest norm of all gradients together (`--max_grad_norm`).
const MAX_GRADIENT_NORM: f64 = 1.0;
/// Keeps the division by the norm finite, as in torch's `clip_grad_norm_`.
const NORM_EPSILON: f64 = 1e-6;

/// What a step is computed from; rows of the subject before those of its class.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Clean latents, scaled for the denoiser, `[rows, channels, height, width]`.
    pub(crate) latents: Tensor<4>,
    /// Standard normal numbers, `[rows, channels, height, width]`.
    pub(crate) noise: Tensor<4>,
    /// A timestep a row.
    pub(crate) timesteps: Vec<usize>,
    /// Encoded prompts, `[rows, tokens, context]`.
    pub(crate) context: Tensor<3>,
    /// Rows of the subject.
    pub(crate) instances: usize,
}

/// The mean squared errors of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Losses {
    /// On the subject's pictures.
    pub(crate) instance: f32,
    /// On pictures of the class, with prior preservation.
    pub(crate) prior: Option<f32>,
}

/// How the factors are changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// The constant learning rate.
    pub(crate) learning_rate: f64,
    /// Decoupled weight decay.
    pub(crate) weight_decay: f32,
    /// Weight of the prior's loss.
    pub(crate) prior_weight: f64,
}

/// Factors in training, and what `AdamW` remembers of each.
pub(crate) struct Trainer {
    unet: UNet2DConditionModel,
    plan: AttentionPlan,
    objective: TrainingObjective,
    rates: Rates,
    optimizer: AdamW,
    pub(super) lora: LowRank,
    pub(super) moments: BTreeMap<String, AdamWState<2>>,
    pub(super) step: usize,
}

impl Trainer {
    /// Before the first step. The UNet is on a device without autodiff and stays as it is.
    pub(crate) fn new(
        unet: UNet2DConditionModel,
        lora: LowRank,
        objective: TrainingObjective,
        rates: Rates,
    ) -> Self {
        // The defaults of the script; Burn's epsilon is another.
        let optimizer = AdamWConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.999)
            .with_epsilon(1e-8)
            .with_weight_decay(rates.weight_decay);
        Self {
            plan: AttentionPlan::plain(&unet.attention_sites()),
            unet,
            objective,
            rates,
            optimizer: optimizer.build(),
            lora,
            moments: BTreeMap::new(),
            step: 0,
        }
    }

    /// The factors as they are.
    pub(crate) const fn lora(&self) -> &LowRank {
        &self.lora
    }

    /// Finished steps.
    pub(crate) const fn finished(&self) -> usize {
        self.step
    }

    /// Takes a step.
    ///
    /// # Errors
    ///
    /// [`TrainingError::NotFinite`], before anything is changed, and those of the UNet.
    pub(crate) fn step(&mut self, batch: &Batch) -> Result<Losses, TrainingError> {
        let (losses, mut gradients) = self.gradients(batch)?;
        let finite = losses.instance.is_finite() && losses.prior.is_none_or(f32::is_finite);
        if !finite {
            return Err(TrainingError::NotFinite {
                step: self.step + 1,
            });
        }
        let factor = clipping(gradients.values());
        let (rate, optimizer, moments) =
            (self.rates.learning_rate, &self.optimizer, &mut self.moments);
        self.lora = self.lora.map(|name, value| {
            let gradient = gradients.remove(name).expect("a gradient for every factor");
            let gradient = gradient * factor.clone().unsqueeze();
            let (value, state) = optimizer.step(rate, value, gradient, moments.remove(name));
            moments.extend(state.map(|state| (name.to_owned(), state)));
            value
        });
        self.step += 1;
        Ok(losses)
    }

    /// The losses, and the gradient of their weighted sum for each factor, by name.
    ///
    /// # Errors
    ///
    /// Those of the UNet.
    pub(crate) fn gradients(
        &self,
        batch: &Batch,
    ) -> Result<(Losses, BTreeMap<String, Tensor<2>>), TrainingError> {
        let Batch {
            latents,
            noise,
            timesteps,
            context,
            instances,
        } = batch;
        let rows = timesteps.len();
        let tracked = self.lora.map(|_, factor| factor.autodiff().require_grad());
        let unet = tracked.attached(self.unet.clone());
        let noised = (self.objective).noised(latents.clone(), noise.clone(), timesteps);
        let target = (self.objective).target(latents.clone(), noise.clone(), timesteps);
        // Keys and values of the text are kept for a session, and depend on the factors: a session a step.
        let mut session = Session::new(&self.plan, BatchLayout::unguided(rows), [])
            .map_err(PipelineError::from)?;
        #[expect(clippy::cast_precision_loss, reason = "timesteps are small")]
        let at: Vec<f64> = timesteps.iter().map(|timestep| *timestep as f64).collect();
        let predicted = unet.forward(noised, at, context.clone(), None, &mut session)?;

        let error = |from: usize, to: usize| {
            let part = |x: &Tensor<4>| x.clone().slice_dim(0, from..to);
            (part(&predicted) - part(&target)).square().mean()
        };
        let instance = error(0, *instances);
        let prior = (*instances < rows).then(|| error(*instances, rows));
        let loss = match &prior {
            Some(prior) => instance.clone() + prior.clone() * self.rates.prior_weight,
            None => instance.clone(),
        };
        let gradients = loss.backward();
        let of_factor = |(name, factor): (&str, &Tensor<2>)| {
            let gradient = factor.grad(&gradients);
            (name.to_owned(), gradient.expect("every factor is used"))
        };
        let losses = Losses {
            instance: instance.into_scalar(),
            prior: prior.map(Tensor::into_scalar),
        };
        Ok((losses, tracked.factors().map(of_factor).collect()))
    }
}

/// What all gradients are multiplied with, so that their common norm is at most [`MAX_GRADIENT_NORM`]. Burn's own clipping is
/// of each matrix alone.
fn clipping<'a>(gradients: impl Iterator<Item = &'a Tensor<2>>) -> Tensor<1> {
    let squares = gradients.map(|gradient| gradient.clone().square().sum());
    let norm = Tensor::cat(squares.collect(), 0).sum().sqrt();
    ((norm + NORM_EPSILON).recip() * MAX_GRADIENT_NORM).clamp_max(1.0)
}
