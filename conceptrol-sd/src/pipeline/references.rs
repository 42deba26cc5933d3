//! From reference pictures to image tokens.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use conceptrol_core::{
    ReferenceTokens,
    models::image::{ClipImageConfig, clip_tensor},
};
use image::RgbImage;

use conceptrol_core::models::clip_vision::ClipVisionModel;

use crate::{
    adapter::IpAdapterWeights,
    pipeline::{ConceptRequest, Mode, PipelineError, Request, StableDiffusion},
};

impl StableDiffusion {
    /// The image tokens of each concept. One adapter after the other, so that with little memory no image encoder is loaded
    /// twice and no two at once.
    pub(super) fn encode_references(
        &self,
        request: &Request,
    ) -> Result<Vec<ReferenceTokens>, PipelineError> {
        if request.mode == Mode::TextOnly {
            return Ok(Vec::new());
        }
        let pictures: Vec<&RgbImage> = request
            .concepts
            .iter()
            .map(picture)
            .collect::<Result<_, _>>()?;
        let used: BTreeSet<usize> = request
            .concepts
            .iter()
            .map(|concept| concept.adapter)
            .collect();
        used.iter()
            .try_for_each(|index| self.check_adapter(*index))?;
        let mut tokens = vec![None; pictures.len()];
        for index in used {
            let adapter = self.adapter(index)?;
            let encoder = self.image_encoder(index, adapter.kind())?;
            let unconditional = adapter.image_proj().unconditional_tokens(&encoder)?;
            for ((tokens, concept), picture) in
                tokens.iter_mut().zip(&request.concepts).zip(&pictures)
            {
                if concept.adapter == index {
                    let conditional = self.image_tokens(&adapter, &encoder, picture)?;
                    let reference = ReferenceTokens::new(conditional, unconditional.clone());
                    *tokens = Some(reference.adapter(index));
                }
            }
        }
        Ok(tokens.into_iter().flatten().collect())
    }

    /// What an adapter makes of a picture, `[1, tokens, context]`.
    fn image_tokens(
        &self,
        adapter: &IpAdapterWeights,
        encoder: &ClipVisionModel,
        picture: &RgbImage,
    ) -> Result<Tensor<3>, PipelineError> {
        let side =
            u32::try_from(encoder.config().image_size).expect("validated with the configuration");
        let config = ClipImageConfig {
            size: side,
            crop_size: side,
            ..ClipImageConfig::default()
        };
        let pixels = clip_tensor(std::slice::from_ref(picture), &config, self.device())?;
        Ok(adapter
            .image_proj()
            .image_tokens(encoder, pixels.cast(self.dtype()))?)
    }
}

fn picture(concept: &ConceptRequest) -> Result<&RgbImage, PipelineError> {
    let no_picture = || PipelineError::NoPicture {
        concept: concept.name.clone(),
    };
    concept.image.as_ref().ok_or_else(no_picture)
}
