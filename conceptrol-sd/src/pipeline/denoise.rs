//! The denoising loop.

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlan, Captures, ConditionSchedule, Session, StepInfo, models::noise::Generator,
};

use crate::pipeline::{
    Conditioning, Guidance, Observer, PipelineError, Request, StableDiffusion, StepReport,
    condition::seeded_noise, observer::DenoisedLatents,
};

use conceptrol_core::models::scheduler::Scheduler;

impl StableDiffusion {
    /// Runs the loop: latents from noise, in f32, `[images, channels, height, width]`.
    ///
    /// Nothing is read back from the device, and the session is dropped at its end; what was
    /// captured during it comes with the latents.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a scheduler or plan that does not fit, and
    /// [`PipelineError::Cancelled`] when the observer says so.
    pub fn denoise(
        &self,
        plan: &AttentionPlan,
        request: &Request,
        conditioning: &Conditioning,
        observer: &mut dyn Observer,
    ) -> Result<(Tensor<4>, Captures), PipelineError> {
        let config = request
            .scheduler
            .as_ref()
            .unwrap_or_else(|| self.scheduler());
        let mut scheduler = config.build(request.steps, &request.scheduler_options)?;
        let images = conditioning.batch.images as u64;
        let mut generators: Vec<_> = (0..images)
            .map(|i| Generator::new(request.seed.wrapping_add(i)))
            .collect();
        let mut latents =
            self.start(request, conditioning, &mut generators)? * scheduler.init_noise_sigma();

        let mut session = Session::new(
            plan,
            conditioning.batch,
            conditioning.concepts.iter().cloned(),
        )?
        .condition(ConditionSchedule::new(request.scale, request.window));
        let unet = self.unet()?;
        let timesteps = scheduler.timesteps().to_vec();
        let total = timesteps.len();
        for (index, timestep) in timesteps.into_iter().enumerate() {
            let step = StepInfo::new(index, total, timestep);
            session.begin_step(step);
            let sample = scheduler.scale_model_input(latents.clone(), index);
            let rows = if conditioning.batch.guided {
                Tensor::cat(vec![sample.clone(), sample], 0)
            } else {
                sample
            };
            let output = unet
                .forward(
                    rows.cast(self.dtype()),
                    timestep,
                    conditioning.context.clone(),
                    conditioning.added.clone(),
                    &mut session,
                )?
                .cast(FloatDType::F32);
            let guided = guide(&output, conditioning.batch.guided, request.guidance);
            let before = latents;
            latents = scheduler.step(guided.clone(), index, before.clone(), &mut |shape| {
                seeded_noise(&mut generators, shape, self.device())
            })?;
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
            if observer.on_step(&report).is_break() {
                return Err(PipelineError::Cancelled {
                    step: index + 1,
                    total,
                });
            }
        }
        Ok((latents, session.finish()))
    }

    /// The noise to start from, of unit variance.
    fn start(
        &self,
        request: &Request,
        conditioning: &Conditioning,
        generators: &mut [Generator],
    ) -> Result<Tensor<4>, PipelineError> {
        let (width, height) = conditioning.size;
        let factor = self.vae_config().downscale();
        let shape = [
            conditioning.batch.images,
            self.unet_config().in_channels,
            height / factor,
            width / factor,
        ];
        let Some(given) = &request.latents else {
            return Ok(seeded_noise(generators, shape, self.device()));
        };
        if given.dims() != shape {
            let value = format!("{:?}", given.dims());
            return Err(PipelineError::BadRequest {
                name: "the shape of the latents",
                value,
                expected: format!("{shape:?}"),
            });
        }
        Ok(given.clone().to_device(self.device()).cast(FloatDType::F32))
    }
}

/// Classifier-free guidance, `u + scale * (c - u)`, with diffusers' rescaling.
fn guide(output: &Tensor<4>, guided: bool, guidance: Guidance) -> Tensor<4> {
    if !guided {
        return output.clone();
    }
    let images = output.dims()[0] / 2;
    let unconditional = output.clone().slice_dim(0, 0..images);
    let conditional = output.clone().slice_dim(0, images..2 * images);
    let mixed = unconditional.clone() + (conditional.clone() - unconditional) * guidance.scale;
    if guidance.rescale == 0.0 {
        return mixed;
    }
    let rescaled = mixed.clone() * (deviation(conditional) / deviation(mixed.clone()));
    rescaled * guidance.rescale + mixed * (1.0 - guidance.rescale)
}

/// Standard deviation of each picture, `[images, 1, 1, 1]`.
fn deviation(x: Tensor<4>) -> Tensor<4> {
    let images = x.dims()[0];
    x.reshape([images as i32, -1])
        .var(1)
        .sqrt()
        .reshape([images, 1, 1, 1])
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
