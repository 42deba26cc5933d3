//! Reference pictures as tokens of the sequence.

use burn::tensor::Tensor;
use conceptrol_core::{
    models::image::RgbImage,
    pipeline::{Fidelity, PipelineError, Seeds},
    processors::ReferenceSight,
};

use crate::omini::{Condition, ConditionSize};
use crate::pipeline::{
    Flux, Kind, ReduxPictures, Request, readers::Reader, redux::is_redux, sequence::Reference,
};

/// Size at which the authors' code reads every reference picture.
const AUTHORS_SIZE: ConditionSize = ConditionSize::Exact {
    height: 512,
    width: 512,
};

impl Flux {
    /// The tokens of each concept's picture, in the order of the concepts.
    pub(super) fn read_references(
        &self,
        request: &Request,
        seeds: &mut Seeds,
    ) -> Result<Vec<Reference>, PipelineError> {
        let mut references = Vec::new();
        for concept in request.concepts.iter().filter(|_| request.has_references()) {
            let picture = concept.image.as_ref().zip(self.readers.of(concept));
            let Some((picture, reader)) = picture else {
                continue;
            };
            match reader {
                Reader::Terms(_) => {}
                Reader::Kontext | Reader::Omini => {
                    let condition = self.read_beside(picture, request, seeds)?;
                    references.push(Reference::Beside(condition));
                }
                Reader::Redux(files, slot) => {
                    let text_dim = self.config().joint_attention_dim;
                    let redux = slot.get(|| files.load(text_dim, &self.options))?;
                    let (_, tokens) = redux.encode(picture)?;
                    let grid = files.grid();
                    references.push(Reference::InText(Condition { tokens, grid }));
                }
            }
        }
        Ok(references)
    }

    /// What references see: what is asked for, unless the adapter was trained with references that see themselves alone.
    pub(super) fn sight(&self, request: &Request) -> ReferenceSight {
        match self.options.extra.independent_conditions {
            true => ReferenceSight::Themselves,
            false => request.extra.references_see,
        }
    }

    fn read_beside(
        &self,
        picture: &RgbImage,
        request: &Request,
        seeds: &mut Seeds,
    ) -> Result<Condition, PipelineError> {
        let size = request.extra.condition_size;
        let size = size.unwrap_or_else(|| self.condition_size());
        match (self.kind(), request.fidelity) {
            // Their code samples the posterior with the numbers that follow those of the latents.
            (Kind::TextToImage, Fidelity::Authors) => {
                self.encode_condition(picture, AUTHORS_SIZE, Some(seeds))
            }
            _ => self.encode_condition(picture, size, None),
        }
    }

    /// The size at which pictures beside the latents are read where nothing else is asked for.
    fn condition_size(&self) -> ConditionSize {
        match self.kind() {
            // as large as the pictures that are made unasked: what both models and their adapters were trained with
            Kind::TextToImage => ConditionSize::Area(self.profile.defaults.size.pixels()),
            Kind::Kontext => ConditionSize::Preferred,
        }
    }

    /// The references that have tokens of their own in the sequence.
    pub(super) fn summed(&self, request: &Request, references: Vec<Reference>) -> Vec<Reference> {
        if request.extra.redux.pictures == ReduxPictures::Beside {
            return references;
        }
        let mut first = true;
        let own = |reference: &Reference| match reference {
            Reference::Beside(_) => true,
            Reference::InText(_) => std::mem::take(&mut first),
        };
        references.into_iter().filter(own).collect()
    }

    /// Whether the picture of concept number `index` has no tokens of its own: it is part of a sum.
    pub(super) fn is_summed_away(&self, request: &Request, index: usize) -> bool {
        let redux = |index: &usize| is_redux(&self.readers, &request.concepts[*index]);
        let first = (0..request.concepts.len()).find(redux);
        let summed = request.extra.redux.pictures == ReduxPictures::Summed;
        summed && redux(&index) && first != Some(index)
    }

    /// What the Redux that a concept names makes of a picture: the states of its image encoder, and the tokens.
    ///
    /// # Shapes
    ///
    /// `[1, patches, hidden_size]`, `[1, patches, joint_attention_dim]`
    ///
    /// # Errors
    ///
    /// Those of loading it; [`PipelineError::Unsupported`] if reader number `adapter` is another.
    pub fn encode_redux(
        &self,
        adapter: usize,
        picture: &RgbImage,
    ) -> Result<(Tensor<3>, Tensor<3>), PipelineError> {
        match self.readers.get(adapter) {
            Some(Reader::Redux(files, slot)) => {
                let text_dim = self.config().joint_attention_dim;
                slot.get(|| files.load(text_dim, &self.options))?
                    .encode(picture)
            }
            _ => Err(PipelineError::Unsupported {
                family: "this adapter",
                what: "tokens in the text stream".into(),
            }),
        }
    }
}
