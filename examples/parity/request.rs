//! The parameters of a Stable Diffusion case as a request.

use std::error::Error;

use conceptrol_core::models::scheduler::SchedulerConfig;
use conceptrol_core::{
    SiteSelector, StepWindow,
    mask::{ConceptBlock, Local},
    models::image::open,
    pipeline::Fidelity,
};
use conceptrol_sd::pipeline::{ConceptRequest, MicroConditioning, Mode, Request, Words};
use serde_json::Value;

use crate::case::Case;

/// The case as a request.
pub(crate) fn request(case: &Case) -> Result<Request, Box<dyn Error>> {
    let params = case.params();
    let text = |field: &str| {
        params[field]
            .as_str()
            .map(str::to_owned)
            .ok_or(format!("no string `{field}`"))
    };
    let number = |field: &str| params[field].as_f64().ok_or(format!("no number `{field}`"));
    let whole = |field: &str| {
        params[field]
            .as_u64()
            .ok_or(format!("no whole number `{field}`"))
    };

    let mut request = Request::new(text("prompt")?)
        .window(StepWindow::new(
            number("control_guidance_start")?,
            number("control_guidance_end")?,
        )?)
        .steps(usize::try_from(whole("num_inference_steps")?)?)
        .guidance_scale(number("guidance_scale")?)
        .seed(whole("seed")?);
    #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
    {
        request.scale = number("scale")? as f32;
    }
    request.negative_prompts = Some(vec![text("negative_prompt")?]);
    request.size = Some((
        usize::try_from(whole("width")?)?,
        usize::try_from(whole("height")?)?,
    ));
    request.fidelity = Fidelity::Authors;
    options(params, &mut request);
    let mut scheduler = params["scheduler"]["config"].clone();
    scheduler["_class_name"] = params["scheduler"]["class"].clone();
    request.scheduler = Some(SchedulerConfig::from_json(&scheduler.to_string())?);

    let conceptrol = params["method"] == "conceptrol";
    request.mode = if conceptrol {
        Mode::Conceptrol
    } else {
        Mode::IpAdapter
    };
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
    if conceptrol {
        let site = text("concept_mask_layer")?;
        let site = site.strip_suffix(".processor").unwrap_or(&site);
        request.mask_source = Some(if params["global_masking"] == false {
            std::sync::Arc::new(Local::new())
        } else {
            std::sync::Arc::new(ConceptBlock::cross(SiteSelector::named(site)))
        });
    }
    Ok(request)
}

/// SDXL's options, where the case has them.
fn options(params: &Value, request: &mut Request) {
    let text = |field: &str| params[field].as_str().map(|text| vec![text.to_owned()]);
    request.prompts_2 = text("prompt_2").unwrap_or_default();
    request.negative_prompts_2 = text("negative_prompt_2");
    request.guidance.rescale = params["guidance_rescale"].as_f64().unwrap_or(0.0);
    request.scheduler_options.denoising_end = params["denoising_end"].as_f64();
    request.clip_skip = params["clip_skip"]
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
    let micro = |prefix: &str| MicroConditioning {
        original_size: pair(&format!("{prefix}original_size")),
        crop_top_left: pair(&format!("{prefix}crops_coords_top_left")).unwrap_or_default(),
        target_size: pair(&format!("{prefix}target_size")),
    };
    request.micro = micro("");
    // diffusers takes the negative sizes only when both are given
    let negative = micro("negative_");
    request.negative_micro =
        (negative.original_size.is_some() && negative.target_size.is_some()).then_some(negative);
}
