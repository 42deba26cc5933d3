//! From reference pictures to the image tokens of IP-Adapters.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use conceptrol_core::{
    ReferenceTokens,
    pipeline::{ConceptRequest, Frame, PipelineError},
};
use image::RgbImage;

use crate::adapter::{AdapterKind, ImageEncoder, ImageProjection};
use crate::pipeline::{Flux, Request};

impl Flux {
    /// That what a request says about pictures is read.
    pub(super) fn check_pictures(&self, request: &Request) -> Result<(), PipelineError> {
        let refuse = |what: &str| {
            Err(PipelineError::Unsupported {
                family: "FLUX",
                what: what.into(),
            })
        };
        let terms = self.readers.has_terms();
        let has = |some: fn(&ConceptRequest) -> bool| request.concepts.iter().any(some);
        if !terms && has(|concept| !concept.more_images.is_empty()) {
            return refuse("second picture of a concept: only IP-Adapters read several");
        }
        if !terms && has(|concept| concept.negative_image.is_some()) {
            return refuse("negative picture: only IP-Adapters read one");
        }
        let mut kinds = self.readers.terms().map(|(_, adapter)| adapter.kind());
        if !request.extra.text_rows && !kinds.any(|kind| kind == AdapterKind::InstantX) {
            return refuse("text rows to leave out: only InstantX's ip-adapter has some");
        }
        Ok(())
    }

    /// The image tokens of each concept that has a picture. One adapter after the other, so that with little memory no image
    /// encoder is loaded twice and no two at once.
    pub(super) fn encode_references(
        &self,
        request: &Request,
        frame: &Frame,
    ) -> Result<Vec<Option<ReferenceTokens>>, PipelineError> {
        let mut references = vec![None; request.concepts.len()];
        if !request.has_references() {
            return Ok(references);
        }
        let used: BTreeSet<usize> = (request.conditioned())
            .map(|concept| concept.adapter)
            .collect();
        for (index, adapter) in self.readers.terms() {
            if !used.contains(&index) {
                continue;
            }
            let encoder = adapter.encoder(&self.options)?;
            let carried = (references.iter_mut().zip(&request.concepts))
                .filter(|(_, concept)| concept.adapter == index && concept.has_reference());
            let carried: Vec<_> = carried.collect();
            let mut seen = Vec::with_capacity(carried.len());
            for (_, concept) in &carried {
                seen.push(self.see(&encoder, concept, frame.batch.is_guided())?);
            }
            drop(encoder);
            let projection = adapter.projection(&self.options)?;
            for ((reference, _), seen) in carried.into_iter().zip(seen) {
                *reference = Some(seen.tokens(&projection).adapter(index));
            }
        }
        Ok(references)
    }

    /// What an encoder sees of a concept's pictures, and for the unconditional rows of its negative one.
    fn see(
        &self,
        encoder: &ImageEncoder,
        concept: &ConceptRequest,
        guided: bool,
    ) -> Result<Seen, PipelineError> {
        let embed = |pictures: &[RgbImage]| -> Result<Tensor<2>, PipelineError> {
            let pixels = encoder.pixels(pictures, &self.profile.device)?;
            Ok(encoder.embed(pixels.cast(self.profile.dtype))?)
        };
        let pictures: Vec<RgbImage> = concept.images().cloned().collect();
        let negative = guided.then(|| {
            let given = concept.negative_image.clone();
            embed(&[given.unwrap_or_else(|| RgbImage::new(1, 1))]) // black
        });
        Ok(Seen {
            pictures: embed(&pictures)?,
            negative: negative.transpose()?,
        })
    }
}

/// Embeddings of a concept's pictures.
struct Seen {
    /// `[pictures, embedding_dim]`
    pictures: Tensor<2>,
    /// `[1, embedding_dim]`, with guidance.
    negative: Option<Tensor<2>>,
}

impl Seen {
    /// The tokens of all pictures as keys of one attention. Those of the negative picture are repeated to as many: keys that
    /// all stand there equally often have the same weights as once.
    fn tokens(self, projection: &ImageProjection) -> ReferenceTokens {
        let pictures = self.pictures.dims()[0];
        let joined = |embeds: Tensor<2>| {
            let tokens = projection.forward(embeds);
            let [pictures, each, width] = tokens.dims();
            tokens.reshape([1, pictures * each, width])
        };
        let conditional = joined(self.pictures);
        let unconditional = match self.negative {
            Some(negative) => joined(negative).repeat_dim(1, pictures),
            None => conditional.clone(), // no row reads it
        };
        ReferenceTokens::new(conditional, unconditional)
    }
}
