//! The denoising loop.

use burn::tensor::{FloatDType, Tensor};

use crate::{
    models::scheduler::Scheduler,
    pipeline::{
        Conditioning, DenoisedLatents, Evaluation, Family, Observer, PipelineError, Request, Stage,
        StepReport, conditioning::scheduler, finite, guidance::mix,
    },
    seam::{AttentionPlan, ConditionSchedule, Session, StepInfo},
};

/// Runs all steps: latents from noise, in f32, and the session at its end. Nothing is read back from the device before the
/// last step is done.
pub(super) fn denoise<F: Family + ?Sized>(
    family: &F,
    plan: &AttentionPlan,
    request: &Request<F::Extra>,
    conditioning: &Conditioning<F::Encoded>,
    observer: &mut dyn Observer,
) -> Result<(Tensor<4>, Session), PipelineError> {
    let profile = family.profile();
    let mut scheduler = scheduler(family, request, conditioning.size)?;
    let mut seeds = conditioning.seeds.clone();
    let mut latents = conditioning.latents.clone() * scheduler.init_noise_sigma();
    let strength = ConditionSchedule::new(request.scale, request.window)
        .outside(request.outside.unwrap_or(profile.defaults.outside));
    let concepts = family.concepts_of(request, &conditioning.concepts);
    let mut session = Session::new(plan, conditioning.batch, concepts)?
        .condition(strength)
        .cancel(request.cancel.clone());

    observer.on_stage(Stage::Loading);
    if request.cancel.is_cancelled() {
        let stage = Stage::Loading;
        return Err(PipelineError::Cancelled { stage });
    }
    let denoiser = family.denoiser()?;
    let guidance = request.guidance.scale.unwrap_or(profile.defaults.guidance);
    let timesteps = scheduler.timesteps().to_vec();
    let total = timesteps.len();
    let mut markers = Vec::with_capacity(total);
    observer.on_stage(Stage::Denoising { done: 0, total });
    for (index, timestep) in timesteps.into_iter().enumerate() {
        let cancelled = |done| PipelineError::Cancelled {
            stage: Stage::Denoising { done, total },
        };
        let step = StepInfo::new(index, total, timestep);
        session.begin_step(step);
        let sample = scheduler.scale_model_input(latents.clone(), index);
        let rows = if conditioning.batch.guided {
            Tensor::cat(vec![sample.clone(), sample], 0)
        } else {
            sample
        };
        let evaluation = Evaluation {
            latents: rows.cast(profile.dtype),
            step,
            guidance,
            mode: request.mode,
            states: &conditioning.states,
        };
        let output = family.predict(&denoiser, evaluation, &mut session);
        if request.cancel.is_cancelled() {
            return Err(cancelled(index)); // whatever the output is: kernels stop in the middle
        }
        let output = output?.cast(FloatDType::F32);
        let guided = if conditioning.batch.guided {
            mix(&output, guidance, request.guidance.rescale)
        } else {
            output.clone()
        };
        let before = latents;
        latents = scheduler.step(guided.clone(), index, before.clone(), &mut |shape| {
            let [_, channels, height, width] = shape;
            seeds.noise([channels, height, width])
        })?;
        markers.push(finite::marker(&latents));
        let denoised = Denoised {
            scheduler: &*scheduler,
            index,
            guided: &guided,
            sample: &before,
        };
        let report = StepReport {
            step,
            model_output: &output,
            guided: &guided,
            latents: &latents,
            denoised: &denoised,
            session: &session,
        };
        if observer.on_step(&report).is_break() || request.cancel.is_cancelled() {
            return Err(cancelled(index + 1));
        }
    }
    let first_bad = (Tensor::cat(markers, 0).into_data().iter::<f32>()).position(|x| x != 0.0);
    match first_bad {
        None => Ok((latents, session)),
        Some(step) => {
            let stage = Stage::Denoising {
                done: step + 1,
                total,
            };
            Err(finite::error("the latents".into(), stage, profile.dtype))
        }
    }
}

#[derive(Debug)]
struct Denoised<'a> {
    scheduler: &'a dyn Scheduler,
    index: usize,
    guided: &'a Tensor<4>,
    sample: &'a Tensor<4>,
}

impl DenoisedLatents for Denoised<'_> {
    fn denoised(&self) -> Tensor<4> {
        self.scheduler
            .denoised(self.guided.clone(), self.index, self.sample.clone())
    }
}
