//! The command line as the parameters that its pictures carry.

use std::{error::Error, fs, path::Path};

use conceptrol_core::pipeline::{ConceptPlace, Pipeline, Region, Request, Start};
use conceptrol_examples::parameters::{Parameters, hashed};

use crate::{arguments::Arguments, control::ControlArguments, start::StartArguments};

/// The parameters of every picture of a run.
pub(crate) fn parameters<P: Pipeline>(
    arguments: &Arguments,
    folder: &Path,
    pipeline: &P,
    request: &Request<P::Extra>,
) -> Result<Parameters, Box<dyn Error>> {
    let said = Parameters::of(pipeline, request, arguments.scheduler.as_deref())?;
    let mut after = Vec::new();
    for (sites, factor) in &arguments.site_scales {
        after.push(format!("Site scale: {sites} {factor}"));
    }
    for concept in &arguments.concepts {
        after.push(format!(
            "Concept: {} {} scale {}",
            concept.phrase,
            named(&concept.image)?,
            concept.scale
        ));
    }
    for identity in &arguments.identities {
        let (phrase, file) = (&identity.phrase, named(&identity.file)?);
        after.push(format!("Identity: {phrase} {file}"));
    }
    for mask in &arguments.masks {
        let role = arguments.mask_role;
        after.push(format!(
            "Mask: {} {} {role:?}",
            mask.phrase,
            named(&mask.file)?
        ));
    }
    after.extend(start(&arguments.start, request.start.as_ref())?);
    after.extend(control(&arguments.control)?);
    after.extend(arguments.mask_source.parameters());
    if let Some(tile) = request.vae_tile {
        after.push(format!("VAE tile: {tile}"));
    }
    if arguments.prompts.long_prompts {
        after.push("Long prompts: true".into());
    }
    if let Some(weights) = arguments.prompts.prompt_weights {
        after.push(format!("Prompt weights: {weights:?}"));
    }
    after.push(format!("Fidelity: {:?}", request.fidelity));
    after.push(format!("Model: {}", folder.display()));
    for adapter in &arguments.adapters {
        after.push(format!("Adapter: {}", adapter.display()));
    }
    for (name, file) in arguments.parts.given() {
        after.push(format!("{name}: {}", file.display()));
    }
    for (file, strength) in &arguments.loras {
        after.push(format!("LoRA: {} {strength}", file.display()));
    }
    for lora in &arguments.loras_at {
        let (phrase, file, strength) = (&lora.phrase, lora.image.display(), lora.scale);
        after.push(format!("LoRA: {file} {strength} at {phrase}"));
    }
    for (word, file) in &arguments.embeddings {
        let word = word.as_deref().unwrap_or_default();
        after.push(format!("Embedding: {word} {}", file.display()));
    }
    let (more, negative) = (&arguments.more_images, &arguments.flux.negative_images);
    for (what, pictures) in [("More of", more), ("Negative picture of", negative)] {
        for picture in pictures {
            let (phrase, file) = (&picture.phrase, named(&picture.file)?);
            after.push(format!("{what}: {phrase} {file}"));
        }
    }
    if let Some(scale) = request.guidance.true_cfg_scale {
        after.push(format!("True CFG scale: {scale}"));
    }
    if arguments.flux.no_text_rows {
        after.push("Text rows: off".into());
    }
    after.extend(arguments.references.parameters());
    let (dtype, backend) = (arguments.dtype, arguments.backend.feature());
    after.push(format!("Type: {}", format!("{dtype:?}").to_lowercase()));
    if let Some(bits) = arguments.flux.quantize {
        after.push(format!("Weights: {bits:?}"));
    }
    after.push(format!("Backend: {backend}"));
    after.push(format!("Version: conceptrol {}", env!("CARGO_PKG_VERSION")));
    Ok(said.with(after))
}

/// Control pictures, when and where they act, and the picture that is edited.
fn control(arguments: &ControlArguments) -> Result<Vec<String>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for control in &arguments.controls {
        let (net, scale) = (control.net.display(), control.scale);
        lines.push(format!(
            "Control: {net} {} scale {scale}",
            named(&control.image)?
        ));
    }
    for window in &arguments.control_windows {
        lines.push(format!(
            "Control window: {} to {}",
            window.start(),
            window.end()
        ));
    }
    for gate in &arguments.control_gates {
        lines.push(format!("Control gate: {gate}"));
    }
    if arguments.guess_mode {
        lines.push("Guess mode".into());
    }
    if let Some(edit) = &arguments.edit {
        lines.push(format!("Edit: {}", named(edit)?));
    }
    if let Some(scale) = arguments.image_guidance {
        lines.push(format!("Image CFG scale: {scale}"));
    }
    if let Some(gate) = &arguments.edit_gate {
        lines.push(format!("Edit gate: {gate}"));
    }
    Ok(lines)
}

/// The picture it starts from, how far it may leave it, and what of it is repainted.
fn start(arguments: &StartArguments, start: Option<&Start>) -> Result<Vec<String>, Box<dyn Error>> {
    let (Some(init), Some(start)) = (&arguments.init, start) else {
        return Ok(Vec::new());
    };
    let mut said = vec![
        format!("Init: {}", named(init)?),
        format!("Denoising strength: {}", start.resolved_strength()),
    ];
    let Some(repaint) = &start.repaint else {
        return Ok(said);
    };
    match (&repaint.region, &arguments.inpaint_mask) {
        (Region::Concept(place), _) => {
            let ConceptPlace {
                phrase,
                prompt,
                threshold,
                grow,
                ..
            } = place;
            let prompt = prompt.as_ref().map(|prompt| format!(" in \"{prompt}\""));
            let prompt = prompt.unwrap_or_default();
            let grow = grow.map(|grow| format!(" grow {grow}")).unwrap_or_default();
            said.push(format!(
                "Repaint: {phrase}{prompt} threshold {threshold}{grow}"
            ));
        }
        (_, Some(mask)) => said.push(format!("Repaint: {}", named(mask)?)),
        (_, None) => {}
    }
    said.extend(repaint.padding.map(|padding| format!("Padding: {padding}")));
    Ok(said)
}

/// The name of a file with the first half of its SHA-256.
fn named(path: &Path) -> Result<String, Box<dyn Error>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(hashed(&name, &fs::read(path)?))
}
