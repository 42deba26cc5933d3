//! Which cases there is something to run for, and what runs them.

use crate::case::Case;

/// What runs a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    Component,
    Processor,
    StableDiffusion,
    Flux,
}

/// Kinds of whole generations with Stable Diffusion that are built.
const STABLE_DIFFUSION: &[&str] = &[
    "sd15",
    "sdxl",
    "single_file",
    "v_prediction",
    "lora",
    "lycoris",
    "textual_inversion",
    "faceid",
    "img2img",
    "inpaint",
    "controlnet",
    "pix2pix",
];

/// Files of a FLUX case that are read. A case with another one is about something that is not built yet.
const FLUX_FILES: &[&str] = &[
    "model",
    "lora",
    "gguf",
    "transformer_config",
    "ip_adapter",
    "image_encoder",
    "images",
    "clip_crops",
    "negative_image",
    "negative_clip_crop",
    "redux",
];

/// Pipelines of FLUX that are built.
const FLUX_PIPELINES: &[&str] = &[
    "FluxPipeline",
    "FluxKontextPipeline",
    "FluxPriorReduxPipeline + FluxPipeline",
];

/// Files of a FLUX case that starts from a picture.
const FLUX_START_FILES: &[&str] = &["model", "images", "mask", "transformer"];

/// Pipelines of FLUX that start from a picture.
const FLUX_STARTS: &[&str] = &[
    "FluxImg2ImgPipeline",
    "FluxInpaintPipeline",
    "FluxFillPipeline",
];

/// What runs the case, or why nothing does.
pub(crate) fn runner(case: &Case) -> Result<Runner, String> {
    let unbuilt = |what: &str| Err(format!("{what} not supported yet"));
    match case.kind.as_str() {
        "component" => Ok(Runner::Component),
        "processor" => Ok(Runner::Processor),
        "flux" => match flux_unbuilt(case) {
            Some(what) => unbuilt(&what),
            None => Ok(Runner::Flux),
        },
        kind if STABLE_DIFFUSION.contains(&kind) => Ok(Runner::StableDiffusion),
        kind => unbuilt(&format!("kind `{kind}`")),
    }
}

/// What a FLUX case needs that is not built.
fn flux_unbuilt(case: &Case) -> Option<String> {
    let params = case.params();
    let pipeline = params["pipeline"].as_str().unwrap_or("FluxPipeline");
    let starts = FLUX_STARTS.contains(&pipeline);
    if !FLUX_PIPELINES.contains(&pipeline) && !starts {
        return Some(format!("pipeline `{pipeline}`"));
    }
    let files = case.json["files"].as_object();
    let mut names = files.into_iter().flatten().map(|(name, _)| name.as_str());
    // the pictures of OminiControl are parameters, those of other adapters are files
    let known = if starts { FLUX_START_FILES } else { FLUX_FILES };
    let unknown = names.find(|name| !known.contains(name));
    unknown.map(|file| format!("file `{file}`"))
}
