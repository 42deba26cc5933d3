//! A model that is open, whatever its family: settings in, a picture out.

use std::{path::Path, time::Instant};

use conceptrol_core::{
    StepWindow,
    message::shown,
    pipeline::{
        ConceptRequest, Conditioning, Fidelity, Generation, ImageSize, LoadOptions, Pipeline,
        PipelineError, Request, Words,
    },
    processors::CaptureLayer,
};
use conceptrol_examples::{
    model::is_flux,
    parameters::{Parameters, hashed},
    phrase::places,
};
use conceptrol_flux::{Flux, pipeline::FluxOptions};
use conceptrol_sd::StableDiffusion;

use super::{
    catalogue::Adapter,
    masks::Masks,
    queue::Job,
    results::Finished,
    settings::{Method, Settings},
    watch::Watch,
};
use crate::arguments::Machine;

/// Encodings that are kept: those of the settings used last.
const MOST_ENCODINGS: usize = 4;

/// What a model does, for the thread that owns it.
pub(crate) trait Painter {
    /// Finds what is wrong with a picture of a job before its first step.
    fn check(&self, job: &Job, method: Method) -> Result<(), PipelineError>;

    /// Makes it.
    fn paint(
        &mut self,
        job: &Job,
        method: Method,
        pace: &mut Pace,
    ) -> Result<Finished, PipelineError>;
}

/// How far a job of several pictures is.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Steps of its pictures before this one, and of all that are computed.
    pub(crate) before: usize,
    pub(crate) total: usize,
}

/// A pipeline, and what it has encoded.
struct Open<P: Pipeline> {
    pipeline: P,
    /// What pictures call the plain adapter.
    plain: &'static str,
    adapter: Option<String>,
    machine: Machine,
    encoded: Vec<(String, Conditioning<P::Encoded>)>,
}

/// Opens a model with an adapter.
///
/// # Errors
///
/// Those of the files.
pub(crate) fn open(
    model: &Path,
    adapter: Option<&Adapter>,
    machine: &Machine,
) -> Result<Box<dyn Painter>, Box<dyn std::error::Error>> {
    let label = adapter.map(|adapter| adapter.label.clone());
    if is_flux(model)? {
        let mut options: LoadOptions<FluxOptions> = machine.options()?;
        if let Some(adapter) = adapter {
            options = match &adapter.encoder {
                Some(encoder) => options.adapter((&*adapter.path, &**encoder)),
                None => options.adapter(&*adapter.path),
            };
        }
        let pipeline = Flux::open(model, options)?;
        let plain = pipeline.readers().next().unwrap_or("ominicontrol");
        return Ok(Box::new(Open::new(pipeline, plain, label, machine)));
    }
    let mut options: LoadOptions = machine.options()?;
    if let Some(adapter) = adapter {
        let own = model.join("image_encoder");
        let encoder = adapter.encoder.as_deref().unwrap_or(&own);
        options = options.adapter((&*adapter.path, encoder));
    }
    let pipeline = StableDiffusion::open(model, options)?;
    Ok(Box::new(Open::new(pipeline, "ip_adapter", label, machine)))
}

impl<P: Pipeline> Open<P> {
    fn new(pipeline: P, plain: &'static str, adapter: Option<String>, machine: &Machine) -> Self {
        Self {
            pipeline,
            plain,
            adapter,
            machine: machine.clone(),
            encoded: Vec::new(),
        }
    }

    fn request(&self, job: &Job, method: Method) -> Result<Request<P::Extra>, PipelineError> {
        let settings = &job.order.settings;
        let window = StepWindow::new(settings.warmup, 1.0)?;
        let mut request = Request::new(&settings.prompt)
            .mode(method.into())
            .scale(settings.scale)
            .window(window)
            .steps(settings.steps)
            .guidance_scale(settings.guidance)
            .seed(settings.seed())
            .cancel(job.cancel.clone());
        let own = &self.pipeline.profile().scheduler;
        match &settings.scheduler {
            // pictures call the model's own by its class
            Some(name) if own.kind().is_ok_and(|kind| kind.to_string() == *name) => {}
            Some(name) => request = request.scheduler(own.with_name(name)?),
            None => {}
        }
        if !settings.negative_prompt.is_empty() {
            request = request.negative_prompt(&settings.negative_prompt);
        }
        if settings.width.is_some() || settings.height.is_some() {
            let own = self.pipeline.size(&request);
            let (height, width) = (
                settings.height.unwrap_or(own.height),
                settings.width.unwrap_or(own.width),
            );
            request = request.size(ImageSize::new(height, width));
        }
        if let (Some(phrase), Some(bytes)) = (settings.phrase(), settings.concept.clone()) {
            let mut concept = ConceptRequest::words_only(phrase).words(Words::Bytes(bytes));
            if let Some(reference) = &job.reference {
                let pixels = reference.pixels();
                concept.image = Some(pixels.map_err(|_| PipelineError::NoPicture {
                    concept: phrase.into(),
                })?);
            }
            request = request.concept(concept);
        }
        Ok(request)
    }

    /// Prompt, reference and noise, encoded or as they were encoded before.
    fn conditioning(
        &mut self,
        settings: &Settings,
        request: &Request<P::Extra>,
    ) -> Result<Conditioning<P::Encoded>, PipelineError> {
        let rows = self.pipeline.guidance(request).layout(1).rows();
        let key = format!(
            "{:?} {rows}",
            (
                &settings.prompt,
                &settings.negative_prompt,
                &settings.concept,
                &settings.reference,
                &settings.seed,
                (settings.width, settings.height),
                request.has_references(),
            )
        );
        let known = self.encoded.iter().position(|(own, _)| *own == key);
        let entry = match known {
            Some(at) => self.encoded.remove(at),
            None => {
                // what serves Conceptrol serves every mode
                let widest = match request.has_references() {
                    true => Method::Conceptrol.into(),
                    false => request.mode,
                };
                (key, self.pipeline.condition(&request.clone().mode(widest))?)
            }
        };
        self.encoded.truncate(MOST_ENCODINGS - 1);
        self.encoded.insert(0, entry);
        Ok(self.encoded[0].1.clone())
    }

    /// What the picture's file says of it.
    fn parameters(
        &self,
        job: &Job,
        method: Method,
        request: &Request<P::Extra>,
    ) -> Result<String, PipelineError> {
        let settings = &job.order.settings;
        let mut entries = Vec::new();
        if let (Some(phrase), Some(picture)) = (settings.phrase(), &job.reference) {
            let named = occurrence(
                &settings.prompt,
                phrase,
                settings.concept.as_ref().map_or(0, |bytes| bytes.start),
            );
            entries.push(format!(
                "Concept: {named} {} scale 1",
                hashed(&picture.name, &picture.bytes)
            ));
        }
        entries.push(format!("Fidelity: {:?}", Fidelity::Paper));
        entries.push(format!("Model: {}", settings.model));
        entries.extend(
            self.adapter
                .iter()
                .map(|adapter| format!("Adapter: {adapter}")),
        );
        entries.extend(self.machine.entries());
        entries.push(format!("Version: conceptrol {}", env!("CARGO_PKG_VERSION")));
        let scheduler = settings.scheduler.as_deref();
        let said = Parameters::of(&self.pipeline, request, scheduler)?;
        let label = match method {
            Method::Adapter => self.plain,
            Method::Conceptrol => "conceptrol",
            Method::Text => "text_only",
        };
        Ok(said.with(entries).text(label, settings.seed()))
    }
}

impl<P: Pipeline> Painter for Open<P> {
    fn check(&self, job: &Job, method: Method) -> Result<(), PipelineError> {
        self.pipeline.check_request(&self.request(job, method)?)
    }

    fn paint(
        &mut self,
        job: &Job,
        method: Method,
        pace: &mut Pace,
    ) -> Result<Finished, PipelineError> {
        let started = Instant::now();
        let request = self.request(job, method)?;
        let parameters = self.parameters(job, method, &request)?;
        let conditioning = self.conditioning(&job.order.settings, &request)?;
        let sites = self.pipeline.profile().conditioned.clone();
        // it reads only: the picture has the same bits without
        let plan = match request.concepts.is_empty() {
            true => self.pipeline.plan(&request)?,
            false => self
                .pipeline
                .plan_around(&request, sites, CaptureLayer::new())?,
        };
        let mut watch = Watch::new(&self.pipeline, &request, job, method, pace);
        let generation = self
            .pipeline
            .finish(&plan, &request, conditioning, &mut watch)?;
        pace.before += job.order.settings.steps;
        let Generation {
            mut images,
            truncated,
            captures,
            ..
        } = generation;
        let block = self.pipeline.concept_block(Fidelity::Paper);
        let truncated = truncated.into_iter().flatten().next();
        Ok(Finished {
            settings: job.order.settings.clone(),
            method,
            picture: images.remove(0),
            masks: Masks::of(
                &captures,
                self.pipeline.attention_sites(),
                block.as_ref().map(|block| block.sites()),
            ),
            parameters,
            seconds: started.elapsed().as_secs_f64(),
            truncated: truncated.map(|cut| shown(&cut.to_string()).to_string()),
        })
    }
}

/// A phrase, and which of its occurrences begins at a byte of the prompt if it is not the first: `cat#2`.
fn occurrence(prompt: &str, phrase: &str, start: usize) -> String {
    match places(&prompt[..start], phrase).len() {
        0 => phrase.to_owned(),
        before => format!("{phrase}#{}", before + 1),
    }
}
