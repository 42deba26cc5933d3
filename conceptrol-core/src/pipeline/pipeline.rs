//! From a request to pictures, for every family.

use burn::tensor::Tensor;
use image::RgbImage;

use crate::{
    cancel::Cancel,
    models::{
        image::{MaskImage, data_to_images},
        scheduler::Scheduler,
    },
    pipeline::{
        ConceptPlace, Conditioning, Family, Generation, Observer, PipelineError, Request, Stage,
        Started,
        conditioning::{check, condition, scheduler},
        denoise::{denoise, renoise},
        finite,
        locate::locate,
        plan,
        start::look,
    },
    seam::{AttentionPlan, AttentionSites, ProcessorLayer, Session, SiteSelector},
};

/// A pipeline: what every [`Family`] can do.
///
/// [`generate`](Self::generate) is the whole way; its parts are here, too, for those who want to change one of them. A
/// pipeline is shared by threads: everything takes `&self`.
pub trait Pipeline: Family {
    /// Carries out a request.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; everything a caller can cause is found before the first step.
    fn generate(
        &self,
        request: &Request<Self::Extra>,
        observer: &mut dyn Observer,
    ) -> Result<Generation, PipelineError> {
        let stage = Stage::Encoding;
        let (frame, plan) = cancellable(&request.cancel, stage, || {
            Ok((check(self, request)?, self.plan(request)?))
        })?;
        observer.on_stage(stage);
        let conditioning = cancellable(&request.cancel, stage, || condition(self, request, frame))?;
        self.finish(&plan, request, conditioning, observer)
    }

    /// Carries out a request with a plan of your own; the request's mask source and site scales are then the plan's
    /// business.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    fn generate_with(
        &self,
        plan: &AttentionPlan,
        request: &Request<Self::Extra>,
        observer: &mut dyn Observer,
    ) -> Result<Generation, PipelineError> {
        observer.on_stage(Stage::Encoding);
        let conditioning = self.condition(request)?;
        self.finish(plan, request, conditioning, observer)
    }

    /// The loop and what follows, for a request that is conditioned already.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    fn finish(
        &self,
        plan: &AttentionPlan,
        request: &Request<Self::Extra>,
        conditioning: Conditioning<Self::Encoded>,
        observer: &mut dyn Observer,
    ) -> Result<Generation, PipelineError> {
        let (latents, session) = self.denoise(plan, request, &conditioning, observer)?;
        let masks = (0..conditioning.concepts.len())
            .map(|concept| session.board().latest(concept).cloned())
            .collect();
        let captures = session.finish();
        let mut images = self.pictures(latents.clone(), request, observer)?;
        if let Some(Started {
            crop: Some(crop), ..
        }) = &conditioning.start
        {
            images = images.iter().map(|made| crop.put_back(made)).collect();
        }
        let seeds = (0..images.len() as u64).map(|index| request.seed.wrapping_add(index));
        Ok(Generation {
            seeds: seeds.collect(),
            images,
            latents,
            masks,
            located: conditioning.located,
            truncated: conditioning.truncated,
            region: conditioning.start.and_then(|start| start.mask),
            captures,
        })
    }

    /// Finds everything a caller can get wrong about a request, its concepts and its plan, without computing anything.
    /// Adapters are loaded, as a plan needs them.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    fn check_request(&self, request: &Request<Self::Extra>) -> Result<(), PipelineError> {
        let frame = check(self, request)?;
        locate(self, request, &frame.prompts)?;
        self.plan(request).map(drop)
    }

    /// Encodes prompts and reference pictures, locates the words of concepts and draws the noise to start from.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a request that cannot be carried out.
    fn condition(
        &self,
        request: &Request<Self::Extra>,
    ) -> Result<Conditioning<Self::Encoded>, PipelineError> {
        let stage = Stage::Encoding;
        cancellable(&request.cancel, stage, || {
            condition(self, request, check(self, request)?)
        })
    }

    /// The plan a request is carried out with: Conceptrol around the adapters it uses. Start from your own with
    /// [`generate_with`](Self::generate_with) to add processors.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when an adapter cannot be loaded or the concept block is not known.
    fn plan(&self, request: &Request<Self::Extra>) -> Result<AttentionPlan, PipelineError> {
        plan::fill(
            self,
            AttentionPlan::builder(self.attention_sites()),
            request,
        )
    }

    /// The same plan with one more layer, which sees every call first: to capture maps, or to process what Conceptrol will
    /// see.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), and a selector or layer that does not fit the model.
    fn plan_around(
        &self,
        request: &Request<Self::Extra>,
        sites: SiteSelector,
        layer: impl ProcessorLayer + 'static,
    ) -> Result<AttentionPlan, PipelineError>
    where
        Self: Sized,
    {
        let builder = AttentionPlan::builder(self.attention_sites()).layer(sites, layer);
        plan::fill(self, builder, request)
    }

    /// Runs the denoising loop: latents from noise, in f32, `[images, channels, height, width]`, and the session at its end.
    ///
    /// Nothing is read back from the device before the last step is done.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a plan that does not fit, [`PipelineError::Cancelled`] when observer or request say so, and
    /// [`PipelineError::NotFinite`].
    fn denoise(
        &self,
        plan: &AttentionPlan,
        request: &Request<Self::Extra>,
        conditioning: &Conditioning<Self::Encoded>,
        observer: &mut dyn Observer,
    ) -> Result<(Tensor<4>, Session), PipelineError> {
        (request.cancel).scope(|| denoise(self, plan, request, conditioning, observer))
    }

    /// Evaluates the denoiser at every step's level of noise on pictures that are known, instead of on what the steps before
    /// left: the session at the end, whose captures tell what attention sees of them. So the truth about each picture is
    /// known at every step.
    ///
    /// # Shapes
    ///
    /// - `clean`: `[images, channels, height, width]`, as [`encode_picture`](Family::encode_picture) gives it
    ///
    /// # Errors
    ///
    /// As [`denoise`](Self::denoise), and latents of another shape.
    fn renoise(
        &self,
        plan: &AttentionPlan,
        request: &Request<Self::Extra>,
        conditioning: &Conditioning<Self::Encoded>,
        clean: &Tensor<4>,
        observer: &mut dyn Observer,
    ) -> Result<Session, PipelineError> {
        (request.cancel).scope(|| renoise(self, plan, request, conditioning, clean, observer))
    }

    /// Where the words of a phrase act in a picture: the mean of the concept block's maps at several levels of noise, its peak
    /// 1, a value for each pixel. The request says the prompt, where the place names none, the scheduler and the mask source;
    /// threshold and growth are not applied yet.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a phrase that is not in the prompt, and a model whose concept block is not known.
    fn look_for(
        &self,
        request: &Request<Self::Extra>,
        picture: &RgbImage,
        place: &ConceptPlace,
    ) -> Result<MaskImage, PipelineError> {
        cancellable(&request.cancel, Stage::Encoding, || {
            look(self, request, picture, place)
        })
    }

    /// Decodes latents to 8-bit pictures, one after the other. Of a part that was cut out it gives the part.
    ///
    /// # Errors
    ///
    /// Those of loading the autoencoder, [`PipelineError::NotFinite`], and [`PipelineError::Cancelled`].
    fn pictures(
        &self,
        latents: Tensor<4>,
        request: &Request<Self::Extra>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, PipelineError> {
        let total = latents.dims()[0];
        let mut pictures = Vec::with_capacity(total);
        for done in 0..total {
            let stage = Stage::Decoding { done, total };
            observer.on_stage(stage);
            let one = latents.clone().slice_dim(0, done..done + 1);
            pictures.extend(cancellable(&request.cancel, stage, || {
                let decoded = self.decode(one, request.vae_tile)?;
                let what = || "the pixels".into();
                finite::check(&decoded, what, stage, self.profile().dtype)?;
                let [_, _, height, width] = decoded.dims();
                Ok(data_to_images(finite::read(decoded)?, [height, width]))
            })?);
        }
        Ok(pictures)
    }

    /// A scheduler as the loop builds it: the request's or the model's own, for the request's steps and size.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for a scheduler of another kind of model, and one that cannot be built.
    fn scheduler(
        &self,
        request: &Request<Self::Extra>,
    ) -> Result<Box<dyn Scheduler>, PipelineError> {
        scheduler(self, request, self.size(request))
    }

    /// The attention sites of the denoiser, to build plans for.
    fn attention_sites(&self) -> &AttentionSites {
        &self.profile().sites
    }
}

impl<F: Family + ?Sized> Pipeline for F {}

/// Runs a part, unless the switch is on already. Kernels leave it in the middle when the switch is turned: its result then
/// counts for nothing.
fn cancellable<T>(
    cancel: &Cancel,
    stage: Stage,
    part: impl FnOnce() -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    let result = (!cancel.is_cancelled()).then(|| cancel.scope(part));
    match result {
        Some(result) if !cancel.is_cancelled() => result,
        _ => Err(PipelineError::Cancelled { stage }),
    }
}
