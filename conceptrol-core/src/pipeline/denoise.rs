//! The denoising loop.

use std::sync::Arc;

use burn::tensor::{FloatDType, Tensor};

use crate::{
    models::scheduler::Scheduler,
    pipeline::{
        Conditioning, DenoisedLatents, Evaluation, Family, Observer, PipelineError, Request, Stage,
        Started, StepReport, conditioning::scheduler, finite, start::begin,
    },
    seam::{AttentionPlan, ConditionSchedule, Session, StepInfo},
};

/// Runs all steps but those that a picture to start from leaves out: latents from noise or picture, in f32, and the session
/// at its end. Nothing is read back from the device before the last step is done.
///
/// A scheduler may evaluate the denoiser twice a step: both are evaluations of one step for windows, strengths and
/// progress, and masks are read in each.
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
    let mut latents = conditioning.first_latents(&*scheduler);
    let mut session = session(family, plan, request, conditioning)?;
    if let Some(picture) = conditioning.untouched() {
        return Ok((picture, session));
    }
    let denoiser = load(family, request, observer)?;
    let rule = family.guidance(request);
    let timesteps = scheduler.timesteps().to_vec();
    let (begin, total) = (begin(family, request)?, scheduler.steps());
    let mut markers = Vec::with_capacity(timesteps.len());
    observer.on_stage(Stage::Denoising { done: 0, total });
    for (index, timestep) in timesteps.into_iter().enumerate() {
        let cancelled = |done| PipelineError::Cancelled {
            stage: Stage::Denoising { done, total },
        };
        // windows count the steps of the whole schedule
        let step = begin + scheduler.step_of(index);
        let step = StepInfo::new(step, begin + total, timestep);
        session.begin_step(step);
        let sample = scheduler.scale_model_input(latents.clone(), index);
        let output = predict(
            family,
            &denoiser,
            request,
            conditioning,
            sample,
            &mut session,
        );
        if request.cancel.is_cancelled() {
            return Err(cancelled(scheduler.finished(index))); // whatever the output is: kernels stop in the middle
        }
        let output = output?;
        let guided = rule.mix(&output, request.guidance.rescale, &mut session);
        let before = latents;
        latents = scheduler.step(guided.clone(), index, before.clone(), &mut |shape| {
            let [_, channels, height, width] = shape;
            seeds.noise([channels, height, width])
        })?;
        markers.push(finite::marker(&latents));
        if let Some(start) = &conditioning.start {
            let noised =
                |picture| scheduler.add_noise(picture, conditioning.latents.clone(), index + 1);
            latents = start.keep(latents, noised);
        }
        let denoised = Denoised {
            scheduler: &*scheduler,
            index,
            guided: &guided,
            sample: &before,
            start: conditioning.start.as_ref(),
        };
        let report = StepReport {
            step,
            done: scheduler.finished(index + 1),
            total,
            finishes_step: scheduler.finished(index) < scheduler.finished(index + 1),
            model_output: &output,
            guided: &guided,
            latents: &latents,
            denoised: &denoised,
            session: &session,
        };
        if observer.on_step(&report).is_break() || request.cancel.is_cancelled() {
            return Err(cancelled(scheduler.finished(index + 1)));
        }
    }
    match finite::first_bad(markers)? {
        None => Ok((latents, session)),
        Some(index) => {
            let done = scheduler.step_of(index) + 1;
            let stage = Stage::Denoising { done, total };
            Err(finite::error("the latents".into(), stage, profile.dtype))
        }
    }
}

/// Evaluates the denoiser at every step's level of noise on pictures that are known, `clean` latents in f32: the session
/// at the end, with what attention saw of them.
pub(super) fn renoise<F: Family + ?Sized>(
    family: &F,
    plan: &AttentionPlan,
    request: &Request<F::Extra>,
    conditioning: &Conditioning<F::Encoded>,
    clean: &Tensor<4>,
    observer: &mut dyn Observer,
) -> Result<Session, PipelineError> {
    evaluate(family, plan, request, conditioning, clean, observer, |_| {})
}

/// The same, with a look at the session after each evaluation.
pub(super) fn evaluate<F: Family + ?Sized>(
    family: &F,
    plan: &AttentionPlan,
    request: &Request<F::Extra>,
    conditioning: &Conditioning<F::Encoded>,
    clean: &Tensor<4>,
    observer: &mut dyn Observer,
    mut each: impl FnMut(&Session),
) -> Result<Session, PipelineError> {
    let (found, expected) = (clean.dims(), conditioning.latents.dims());
    if found != expected {
        let (name, found) = ("the shape of the clean latents", format!("{found:?}"));
        let expected = format!("{expected:?}");
        return Err(PipelineError::bad_request(name, found, expected));
    }
    let scheduler = scheduler(family, request, conditioning.size)?;
    let mut session = session(family, plan, request, conditioning)?;
    let denoiser = load(family, request, observer)?;
    let (begin, total) = (begin(family, request)?, scheduler.steps());
    for (index, &timestep) in scheduler.timesteps().iter().enumerate() {
        let done = scheduler.finished(index);
        let stage = Stage::Denoising { done, total };
        observer.on_stage(stage);
        let step = begin + scheduler.step_of(index);
        session.begin_step(StepInfo::new(step, begin + total, timestep));
        let noised = scheduler.add_noise(clean.clone(), conditioning.latents.clone(), index);
        let sample = scheduler.scale_model_input(noised, index);
        let output = predict(
            family,
            &denoiser,
            request,
            conditioning,
            sample,
            &mut session,
        );
        if request.cancel.is_cancelled() {
            return Err(PipelineError::Cancelled { stage });
        }
        output?;
        each(&session);
    }
    Ok(session)
}

/// The session of a run.
fn session<F: Family + ?Sized>(
    family: &F,
    plan: &AttentionPlan,
    request: &Request<F::Extra>,
    conditioning: &Conditioning<F::Encoded>,
) -> Result<Session, PipelineError> {
    let defaults = &family.profile().defaults;
    let strength = ConditionSchedule::new(request.scale, request.window)
        .outside(request.outside.unwrap_or(defaults.outside));
    let concepts = family.concepts_of(request, &conditioning.concepts);
    let plan = match family.loras() {
        Some(loras) => &loras.beneath(plan, family.profile())?,
        None => plan,
    };
    Ok(Session::new(plan, conditioning.batch, concepts)?
        .condition(strength)
        .cancel(request.cancel.clone()))
}

fn load<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    observer: &mut dyn Observer,
) -> Result<Arc<F::Denoiser>, PipelineError> {
    let stage = Stage::Loading;
    observer.on_stage(stage);
    if request.cancel.is_cancelled() {
        return Err(PipelineError::Cancelled { stage });
    }
    family.denoiser(request)
}

/// One evaluation for the rows of every picture: `[images, channels, height, width]` -> `[rows, channels, height, width]`, in
/// f32.
fn predict<F: Family + ?Sized>(
    family: &F,
    denoiser: &F::Denoiser,
    request: &Request<F::Extra>,
    conditioning: &Conditioning<F::Encoded>,
    sample: Tensor<4>,
    session: &mut Session,
) -> Result<Tensor<4>, PipelineError> {
    let sample = match &conditioning.beside {
        Some(beside) => Tensor::cat(vec![sample, beside.clone()], 1),
        None => sample,
    };
    let rows = conditioning.batch.by_role(&sample, || sample.clone());
    let scale = request.guidance.scale;
    let evaluation = Evaluation {
        latents: rows.cast(family.profile().dtype),
        step: session.step(),
        guidance: scale.unwrap_or(family.profile().defaults.guidance),
        mode: request.mode,
        states: &conditioning.states,
    };
    let output = family.predict(denoiser, evaluation, session)?;
    Ok(output.cast(FloatDType::F32))
}

#[derive(Debug)]
struct Denoised<'a> {
    scheduler: &'a dyn Scheduler,
    index: usize,
    guided: &'a Tensor<4>,
    sample: &'a Tensor<4>,
    start: Option<&'a Started>,
}

impl DenoisedLatents for Denoised<'_> {
    fn denoised(&self) -> Tensor<4> {
        let (guided, sample) = (self.guided.clone(), self.sample.clone());
        let denoised = self.scheduler.denoised(guided, self.index, sample);
        match self.start {
            Some(start) => start.keep(denoised, |picture| picture),
            None => denoised,
        }
    }
}
