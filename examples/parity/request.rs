//! The parameters of a case as a request.

use std::error::Error;

use conceptrol_core::{
    SiteSelector, StepWindow,
    mask::{ConceptBlock, Local},
    models::{image::open, scheduler::SchedulerConfig},
    pipeline::{ConceptRequest, Fidelity, ImageSize, Mode, Request, Words},
};
use conceptrol_sd::pipeline::{Extra, MicroConditioning};
use serde_json::Value;

use crate::{case::Case, start::started};

/// What every family's cases have.
pub(crate) fn common<X: Default>(case: &Case) -> Result<Request<X>, Box<dyn Error>> {
    let params = case.params();
    let number = |field: &str| params[field].as_f64().ok_or(format!("no number `{field}`"));
    let whole = |field: &str| -> Result<usize, Box<dyn Error>> {
        let value = params[field].as_u64();
        Ok(usize::try_from(
            value.ok_or(format!("no whole number `{field}`"))?,
        )?)
    };
    // the prior of Redux has a list of them, or none
    let first = params
        .get("prompts")
        .map(|prompts| prompts[0].as_str().unwrap_or_default());
    let prompt = params["prompt"].as_str().or(first).ok_or("no prompt")?;
    let mut request = Request::new(prompt)
        .steps(whole("num_inference_steps")?)
        .guidance_scale(number("guidance_scale")?)
        .size(ImageSize::new(whole("height")?, whole("width")?))
        .seed(whole("seed")? as u64)
        .fidelity(Fidelity::Authors);
    request = started(case, request)?;
    let Some(method) = params["method"].as_str() else {
        if !case.has_file("ip_image") {
            return Ok(request.mode(Mode::TextOnly));
        }
        // the plain adapter
        let picture = ConceptRequest::new("picture", open(case.file("ip_image")?)?);
        let request = request.concept(picture.words(Words::Everywhere));
        return Ok(request.mode(Mode::Adapter));
    };
    let (start, end) = (
        number("control_guidance_start")?,
        number("control_guidance_end")?,
    );
    request = request
        .window(StepWindow::new(start, end)?)
        .mode(match method == "conceptrol" {
            true => Mode::Conceptrol,
            false => Mode::Adapter,
        });
    let images = params["images"].as_array().cloned().unwrap_or_default();
    for (index, image) in images.iter().enumerate() {
        let picture = open(case.image(image.as_str().ok_or("an image without a name")?))?;
        let subject = params["subjects"][index].as_str();
        let mut concept = ConceptRequest::new(subject.unwrap_or("picture"), picture);
        if subject.is_none() {
            concept = concept.words(Words::Everywhere);
        }
        request = request.concept(concept);
    }
    Ok(request)
}

/// A case of Stable Diffusion.
pub(crate) fn stable_diffusion(case: &Case) -> Result<Request<Extra>, Box<dyn Error>> {
    let params = case.params();
    let text = |field: &str| {
        let text = params[field].as_str().map(str::to_owned);
        text.ok_or(format!("no string `{field}`"))
    };
    let mut scheduler = params["scheduler"]["config"].clone();
    scheduler["_class_name"] = params["scheduler"]["class"].clone();
    let mut request: Request<Extra> = common(case)?
        .negative_prompt(text("negative_prompt")?)
        .scheduler(SchedulerConfig::from_json(&scheduler.to_string())?);
    options(params, &mut request);
    if let Some(scale) = params["scale"].as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
        let scale = scale as f32;
        request = request.scale(scale);
    }
    if request.mode == Mode::Conceptrol {
        let site = text("concept_mask_layer")?;
        let site = site.strip_suffix(".processor").unwrap_or(&site);
        request = if params["global_masking"] == false {
            request.mask_source(Local::new())
        } else {
            request.mask_source(ConceptBlock::cross(SiteSelector::named(site)))
        };
    }
    Ok(request)
}

/// SDXL's options, where the case has them.
fn options(params: &Value, request: &mut Request<Extra>) {
    let text = |field: &str| params[field].as_str().map(|text| vec![text.to_owned()]);
    request.guidance.rescale = params["guidance_rescale"].as_f64().unwrap_or(0.0);
    request.scheduler_options.denoising_end = params["denoising_end"].as_f64();
    let extra = &mut request.extra;
    extra.prompts_2 = text("prompt_2").unwrap_or_default();
    extra.negative_prompts_2 = text("negative_prompt_2");
    extra.clip_skip = params["clip_skip"]
        .as_u64()
        .and_then(|skip| usize::try_from(skip).ok())
        .unwrap_or(0);
    let pair = |field: &str| {
        let at = |index: usize| {
            params[field][index]
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
        };
        at(0).zip(at(1))
    };
    let size = |field: &str| pair(field).map(|(height, width)| ImageSize::new(height, width));
    let micro = |prefix: &str| MicroConditioning {
        original_size: size(&format!("{prefix}original_size")),
        crop_top_left: pair(&format!("{prefix}crops_coords_top_left")).unwrap_or_default(),
        target_size: size(&format!("{prefix}target_size")),
    };
    extra.micro = micro("");
    // diffusers takes the negative sizes only when both are given
    let negative = micro("negative_");
    extra.negative_micro =
        (negative.original_size.is_some() && negative.target_size.is_some()).then_some(negative);
}
