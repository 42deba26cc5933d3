//! From reference pictures to image tokens.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use conceptrol_core::{
    ReferenceTokens,
    models::{
        clip_vision::ClipVisionModel,
        image::{ClipImageConfig, clip_tensor},
    },
    pipeline::PipelineError,
};
use image::RgbImage;

use crate::{
    adapter::IpAdapterWeights,
    pipeline::{Request, StableDiffusion},
};

impl StableDiffusion {
    /// The image tokens of each concept that has a picture. One adapter after the other, so that with little memory no image
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
            let encoder = self.image_encoder(index, adapter.kind())?;
            let unconditional = adapter.image_proj().unconditional_tokens(&encoder)?;
            for (reference, concept) in references.iter_mut().zip(&request.concepts) {
                let Some(picture) = concept.image.as_ref().filter(|_| concept.adapter == index)
                else {
                    continue;
                };
                let conditional = self.image_tokens(&adapter, &encoder, picture)?;
                let tokens = ReferenceTokens::new(conditional, unconditional.clone());
                *reference = Some(tokens.adapter(index));
            }
        }
        Ok(references)
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
        let pictures = std::slice::from_ref(picture);
        let pixels = clip_tensor(pictures, &config, &self.profile.device)?;
        Ok(adapter
            .image_proj()
            .image_tokens(encoder, pixels.cast(self.profile.dtype))?)
    }
}
