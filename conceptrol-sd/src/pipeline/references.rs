//! From reference pictures and faces to image tokens.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use conceptrol_core::{
    ReferenceTokens,
    models::{
        clip_vision::ClipVisionModel,
        image::{ClipImageConfig, clip_tensor},
    },
    pipeline::{ConceptRequest, PipelineError},
};
use image::RgbImage;

use crate::{
    adapter::{AdapterError, AdapterKind, ImageProjection, IpAdapterWeights},
    pipeline::{Request, StableDiffusion},
};

impl StableDiffusion {
    /// The image tokens of each concept that has a reference. One adapter after the other, so that with little memory no image
    /// encoder is loaded twice and no two at once.
    pub(super) fn encode_references(
        &self,
        request: &Request,
    ) -> Result<Vec<Option<ReferenceTokens>>, PipelineError> {
        let mut references = vec![None; request.concepts.len()];
        if !request.has_references() {
            return Ok(references);
        }
        let used: BTreeSet<usize> = (request.conditioned())
            .map(|concept| concept.adapter)
            .collect();
        for index in used {
            let adapter = self.adapter(index)?;
            let sees = adapter.kind().sees_picture();
            let encoder = sees.then(|| self.image_encoder(index, adapter.kind()));
            let encoder = encoder.transpose()?;
            let nothing = nothing(&adapter, encoder.as_deref())?;
            for (reference, concept) in references.iter_mut().zip(&request.concepts) {
                if concept.adapter != index || !concept.has_reference() {
                    continue;
                }
                check_reference(concept, adapter.kind())?;
                let tokens =
                    self.tokens(&adapter, encoder.as_deref(), nothing.as_ref(), concept)?;
                *reference = Some(tokens.adapter(index));
            }
        }
        Ok(references)
    }

    /// What an adapter makes of a concept's reference, and what stands for none; `nothing` is what it makes of no picture.
    fn tokens(
        &self,
        adapter: &IpAdapterWeights,
        encoder: Option<&ClipVisionModel>,
        nothing: Option<&Tensor<3>>,
        concept: &ConceptRequest,
    ) -> Result<ReferenceTokens, PipelineError> {
        let pictures: Vec<RgbImage> = concept.images().cloned().collect();
        let pixels = encoder.filter(|_| !pictures.is_empty());
        let pixels = pixels.map(|encoder| self.pixels(encoder, &pictures));
        let pixels = pixels.transpose()?;
        let checked = "the reference was compared with the adapter";
        let (conditional, unconditional) = match adapter.image_proj() {
            ImageProjection::Face(face) => {
                let faces = concept.identity.as_ref().expect(checked);
                let faces = faces.tensor(&self.profile.device).cast(self.profile.dtype);
                let nobody = faces.zeros_like();
                let seen = encoder.zip(pixels);
                let seen = seen.map(|(encoder, pixels)| encoder.penultimate(pixels));
                let seen = seen.transpose().map_err(AdapterError::from)?;
                (
                    face.forward(faces, seen),
                    face.forward(nobody, nothing.cloned()),
                )
            }
            projection => {
                let encoder = encoder.expect(checked);
                let each = projection.image_tokens(encoder, pixels.expect(checked))?;
                // the tokens of all pictures are keys of one attention, and as many stand for none
                let [count, tokens, width] = each.dims();
                let conditional = each.reshape([1, count * tokens, width]);
                let nothing = nothing.expect(checked).clone();
                (conditional, nothing.repeat_dim(1, count))
            }
        };
        Ok(ReferenceTokens::new(conditional, unconditional))
    }

    /// Pictures as an encoder takes them, `[pictures, 3, size, size]`.
    fn pixels(
        &self,
        encoder: &ClipVisionModel,
        pictures: &[RgbImage],
    ) -> Result<Tensor<4>, PipelineError> {
        let side =
            u32::try_from(encoder.config().image_size).expect("validated with the configuration");
        let config = ClipImageConfig {
            size: side,
            crop_size: side,
            ..ClipImageConfig::default()
        };
        let pixels = clip_tensor(pictures, &config, &self.profile.device)?;
        Ok(pixels.cast(self.profile.dtype))
    }
}

/// What no picture is to an adapter, the same for every concept: tokens, or for a face what its encoder sees of one.
fn nothing(
    adapter: &IpAdapterWeights,
    encoder: Option<&ClipVisionModel>,
) -> Result<Option<Tensor<3>>, PipelineError> {
    let Some(encoder) = encoder else {
        return Ok(None);
    };
    Ok(Some(match adapter.image_proj() {
        ImageProjection::Face(_) => {
            let seen = encoder.penultimate(encoder.zero_pixels());
            seen.map_err(AdapterError::from)?
        }
        projection => projection.unconditional_tokens(encoder)?,
    }))
}

/// That a concept has what its adapter reads, and nothing else.
pub(super) fn check_reference(
    concept: &ConceptRequest,
    kind: &AdapterKind,
) -> Result<(), PipelineError> {
    let refuse = |what: String| {
        Err(PipelineError::Unsupported {
            family: "the adapter",
            what,
        })
    };
    let name = &concept.name;
    if matches!(kind, AdapterKind::Face(_)) && !concept.more_images.is_empty() {
        return refuse(format!(
            "place for a second picture of concept `{name}`: it reads one with the face"
        ));
    }
    match (kind, &concept.identity) {
        (AdapterKind::Face(_), None) => refuse(format!(
            "face for concept `{name}`: it reads the embedding of one"
        )),
        (AdapterKind::Face(config), Some(identity)) => {
            let portraits = identity.faces();
            if identity.width() != config.embedding_dim {
                return Err(PipelineError::Mismatch {
                    part: "the embedding of a face",
                    axis: "numbers",
                    found: identity.width(),
                    expected: config.embedding_dim,
                });
            }
            match (config.perceiver.is_some(), concept.image.is_some()) {
                (true, false) => Err(PipelineError::NoPicture {
                    concept: name.clone(),
                }),
                (false, true) => refuse(format!(
                    "use for the picture of concept `{name}`: it reads the face alone"
                )),
                (true, true) if portraits > 1 => refuse(format!(
                    "place for {portraits} portraits of concept `{name}`: it reads one with its picture"
                )),
                _ => Ok(()),
            }
        }
        (_, Some(_)) => refuse(format!(
            "use for the face of concept `{name}`: it reads pictures"
        )),
        (_, None) => Ok(()),
    }
}
