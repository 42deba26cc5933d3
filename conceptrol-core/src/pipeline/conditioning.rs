//! Everything the denoising loop is conditioned on, computed once before it.

use burn::tensor::Tensor;

use crate::{
    concept::{Concept, ReferenceTokens},
    message::shown,
    models::{scheduler::Scheduler, tokenizer::Truncation},
    pipeline::{
        ConceptRequest, Family, Frame, ImageSize, InputKind, LocatedConcept, PipelineError,
        Request, Seeds, Stage, Start, Started, finite, guidance,
        locate::locate,
        memory,
        plan::{check_adapters, check_loras},
        start::{begin, check_place, find, prepare},
    },
    seam::BatchLayout,
};

/// The encoded prompts and pictures of a request, and the noise it starts from. It serves every mode, and as many runs of
/// the loop as are wanted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Conditioning<E> {
    /// Prompts and pictures as the denoiser takes them.
    pub states: E,
    /// The concepts: their words in every picture's prompt, and their pictures' tokens where they go in through a
    /// processor.
    pub concepts: Vec<Concept>,
    /// Where the words of each concept are: `[prompt][concept]`.
    pub located: Vec<Vec<LocatedConcept>>,
    /// What the text encoder did not see of each prompt.
    pub truncated: Vec<Option<Truncation>>,
    /// The rows of the generation.
    pub batch: BatchLayout,
    /// Size of the pictures.
    pub size: ImageSize,
    /// Noise of unit variance to start from, `[images, channels, height, width]`, in f32.
    pub latents: Tensor<4>,
    /// The picture it starts from, if it does not start from noise alone.
    pub start: Option<Started>,
    /// Channels that the denoiser takes beside the latents, `[images, further channels, height, width]`, in f32, the same at
    /// every step and in both halves of guidance.
    pub beside: Option<Tensor<4>>,
    /// The generators of the pictures, behind what was drawn so far.
    pub(super) seeds: Seeds,
}

/// Locates the words of a request that was [checked](check), draws its noise and encodes its prompts and pictures.
pub(super) fn condition<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    frame: Frame,
) -> Result<Conditioning<F::Encoded>, PipelineError> {
    let located = locate(family, request, &frame.prompts)?;
    let profile = family.profile();
    let images = frame.batch.images;
    let mut seeds = Seeds::new(request.seed, images, profile.noise, &profile.device);
    let found = find(family, request)?;
    let prepared = prepare(family, request, &frame, found, &mut seeds)?;
    let encoding = family.encode(request, &frame, &mut seeds)?;
    let concepts = concepts(request, &located, &encoding.references);
    for concept in &concepts {
        if let Some(reference) = &concept.reference {
            let what = || format!("the image tokens of concept `{}`", concept.name);
            for tokens in [&reference.conditional, &reference.unconditional] {
                finite::check(tokens, what, Stage::Encoding, profile.dtype)?;
            }
        }
    }
    Ok(Conditioning {
        states: encoding.states,
        concepts,
        located,
        truncated: (frame.prompts.into_iter())
            .map(|prompt| prompt.truncated)
            .collect(),
        batch: frame.batch,
        size: frame.size,
        latents: prepared.noise,
        start: prepared.start,
        beside: prepared.beside,
        seeds,
    })
}

impl<E> Conditioning<E> {
    /// The latents of a picture that stays as it is.
    pub(super) fn untouched(&self) -> Option<Tensor<4>> {
        let start = self.start.as_ref().filter(|start| start.untouched)?;
        start.picture.clone()
    }

    /// The latents before the first step, `[images, channels, height, width]`: noise, or the picture under as much noise as the
    /// scheduler has there.
    pub fn first_latents(&self, scheduler: &dyn Scheduler) -> Tensor<4> {
        let noise = self.latents.clone();
        match &self.start {
            Some(Started {
                picture: Some(picture),
                from_noise: false,
                ..
            }) => scheduler.add_noise(picture.clone(), noise, 0),
            _ => noise * scheduler.init_noise_sigma(),
        }
    }
}

/// Everything a caller can get wrong about a request, before anything is loaded or computed; its outline.
pub(super) fn check<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<Frame, PipelineError> {
    request.check()?;
    let profile = family.profile();
    guidance::check(request, profile)?;
    check_input(profile.input, request.start.as_ref())?;
    family.check(request)?;
    check_adapters(family, request)?;
    check_loras(family, request)?;
    let frame = frame(family, request)?;
    check_latents(request, &frame)?;
    memory::check(family, request, &frame)?;
    check_place(family, request)?;
    let scheduler = scheduler(family, request, frame.size)?;
    if request.start.is_some() && scheduler.timesteps().is_empty() {
        let (name, end) = (
            "the end of denoising",
            request.scheduler_options.denoising_end,
        );
        let end = end.unwrap_or(1.0);
        return Err(PipelineError::bad_request(
            name,
            end,
            "behind where the picture begins",
        ));
    }
    Ok(frame)
}

/// That a denoiser that repaints is given a picture and a region.
fn check_input(input: InputKind, start: Option<&Start>) -> Result<(), PipelineError> {
    let missing = match (input, start) {
        (InputKind::Region, None) => "picture to start from",
        (InputKind::Region, Some(Start { repaint: None, .. })) => "region of the picture",
        _ => return Ok(()),
    };
    Err(PipelineError::NothingToRepaint { missing })
}

/// The outline of a request.
pub(super) fn frame<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<Frame, PipelineError> {
    let profile = family.profile();
    let size = family.size(request);
    let (multiple, most) = (profile.multiple, profile.max_edge);
    for (name, edge) in [("the width", size.width), ("the height", size.height)] {
        if edge == 0 || edge % multiple != 0 || edge > most {
            let expected = format!("a multiple of {multiple} between {multiple} and {most}");
            return Err(PipelineError::bad_request(name, edge, expected));
        }
    }
    let images = request.images();
    let batch = match request.guidance.mixing(profile) {
        Some(_) => BatchLayout::guided(images),
        None => BatchLayout::unguided(images),
    };
    let prompts = (request.prompts.iter())
        .map(|prompt| family.tokenize(prompt, &request.extra))
        .collect::<Result<_, _>>()?;
    Ok(Frame {
        size,
        batch,
        prompts,
        latent_shape: [
            profile.latent_channels,
            size.height / profile.downscale,
            size.width / profile.downscale,
        ],
    })
}

/// The scheduler of a run.
pub(super) fn scheduler<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    size: ImageSize,
) -> Result<Box<dyn Scheduler>, PipelineError> {
    let profile = family.profile();
    let config = request.scheduler.as_ref().unwrap_or(&profile.scheduler);
    // The model's own class may be one that is not computed: another is then put in its place.
    if config.is_flow_matching() != profile.scheduler.is_flow_matching() {
        let name = "the scheduler";
        let own = shown(profile.scheduler.class_name());
        let expected = format!("one for {}, as {own}", profile.name);
        let found = shown(config.class_name());
        return Err(PipelineError::bad_request(name, found, expected));
    }
    let steps = request.steps.unwrap_or(profile.defaults.steps);
    let tokens = size.pixels() / (profile.multiple * profile.multiple);
    // of a picture that stays as it is no step is run, and none is left out
    let begin = Some(begin(family, request)?).filter(|begin| *begin < steps);
    let options = request.scheduler_options.image_tokens(tokens);
    Ok(config.build(steps, &options.begin_at(begin.unwrap_or(0)))?)
}

/// That latents that are given are those of the pictures.
fn check_latents<X>(request: &Request<X>, frame: &Frame) -> Result<(), PipelineError> {
    let [channels, height, width] = frame.latent_shape;
    let shape = [frame.batch.images, channels, height, width];
    match request.latents.as_ref().map(Tensor::dims) {
        Some(found) if found != shape => {
            let (name, found) = ("the shape of the latents", format!("{found:?}"));
            let expected = format!("{shape:?}");
            Err(PipelineError::bad_request(name, found, expected))
        }
        _ => Ok(()),
    }
}

/// The session's concepts: words of each prompt repeated for each of its pictures.
fn concepts<X>(
    request: &Request<X>,
    located: &[Vec<LocatedConcept>],
    references: &[Option<ReferenceTokens>],
) -> Vec<Concept> {
    let one = |(index, asked): (usize, &ConceptRequest)| {
        let spans: Vec<_> = located
            .iter()
            .flat_map(|located| {
                let ranges = located[index].spans.iter().map(|span| span.range());
                std::iter::repeat_n(ranges.collect::<Vec<_>>(), request.images_per_prompt)
            })
            .collect();
        let nowhere = spans.iter().all(Vec::is_empty);
        let mut concept =
            Concept::new(&asked.name, if nowhere { Vec::new() } else { spans }).scale(asked.scale);
        concept.reference = references.get(index).cloned().flatten();
        concept.conditioned = asked.has_reference();
        concept.mask = asked.mask.clone();
        concept.mask_role = asked.mask_role;
        concept
    };
    request.concepts.iter().enumerate().map(one).collect()
}
