//! Everything the denoising loop is conditioned on, computed once before it.

use burn::tensor::{FloatDType, Tensor};

use crate::{
    concept::{Concept, ReferenceTokens},
    message::shown,
    models::{scheduler::Scheduler, tokenizer::Truncation},
    pipeline::{
        ConceptRequest, Family, Frame, ImageSize, LocatedConcept, PipelineError, Request, Seeds,
        Stage, finite, guidance,
        locate::locate,
        memory,
        plan::{check_adapters, check_loras},
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
    let latents = start(request, &frame, &mut seeds);
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
        latents,
        seeds,
    })
}

/// Everything a caller can get wrong about a request, before anything is loaded or computed; its outline.
pub(super) fn check<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<Frame, PipelineError> {
    request.check()?;
    let profile = family.profile();
    guidance::check(request, profile)?;
    family.check(request)?;
    check_adapters(family, request)?;
    check_loras(family, request)?;
    let frame = frame(family, request)?;
    check_latents(request, &frame)?;
    memory::check(family, request, &frame)?;
    scheduler(family, request, frame.size)?;
    Ok(frame)
}

fn frame<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
) -> Result<Frame, PipelineError> {
    let profile = family.profile();
    let size = size(family, request);
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

/// The size of the pictures.
pub(super) fn size<F: Family + ?Sized>(family: &F, request: &Request<F::Extra>) -> ImageSize {
    request.size.unwrap_or(family.profile().defaults.size)
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
    Ok(config.build(steps, &request.scheduler_options.image_tokens(tokens))?)
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

/// The noise to start from, of unit variance.
fn start<X>(request: &Request<X>, frame: &Frame, seeds: &mut Seeds) -> Tensor<4> {
    match &request.latents {
        None => seeds.noise(frame.latent_shape),
        Some(given) => {
            let given = given.clone().to_device(seeds.device());
            given.cast(FloatDType::F32)
        }
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
