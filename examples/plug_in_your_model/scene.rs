//! What is generated: the latents of a cat on the left of a beach, and the words "a cat on the beach".

use std::error::Error;

use burn::tensor::{Device, Distribution, Tensor};
use conceptrol_core::{
    AttentionPlan, AttentionSites, BatchLayout, Captures, Concept, ReferenceTokens, Session,
    SiteKind, SiteSelector, StepInfo,
    mask::{ConceptBlock, ConceptMask},
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};

use crate::unet::{CHANNELS, UNet, WIDTH};

/// Cells a side.
pub(crate) const SIDE: usize = 16;
const STEPS: usize = 4;
/// Place of the word among those of the prompt.
const CAT: usize = 1;

/// A model, its input, and an adapter for it.
#[derive(Debug)]
pub(crate) struct Scene {
    model: UNet,
    latents: Tensor<4>,
    text: Tensor<3>,
    reference: ReferenceTokens,
    projections: Vec<(String, IpProjection)>,
}

impl Scene {
    pub(crate) fn new(device: &Device) -> Self {
        let model = UNet::new(device);
        let random = |shape| Tensor::random(shape, Distribution::Normal(0.0, 1.0), device);
        let colour = |values: [f32; CHANNELS]| {
            Tensor::<1>::from_floats(values, device).reshape([1, CHANNELS, 1, 1])
        };
        let [cat, beach, other] =
            [[3.0, -3.0, 0.0, 0.0], [-3.0, 3.0, 0.0, 0.0], [0.0; 4]].map(colour);

        // the cat fills the left half
        let half = |colour: &Tensor<4>| colour.clone().expand([1, CHANNELS, SIDE, SIDE / 2]);
        let latents = Tensor::cat(vec![half(&cat), half(&beach)], 3)
            + random([1, CHANNELS, SIDE, SIDE]) * 0.3;
        // a word is what its colour looks like to the model: [1, words, WIDTH]
        let word = |colour: &Tensor<4>| {
            let seen = model.features(colour.clone().expand([1, CHANNELS, 3, 3]));
            seen.slice([0..1, 0..WIDTH, 1..2, 1..2])
                .reshape([1, 1, WIDTH])
        };
        let text = [&other, &cat, &other, &other, &beach].map(word); // a cat on the beach
        let text = Tensor::cat(text.to_vec(), 1);

        // of an adapter: the tokens of a picture, and a key and a value matrix for each cross-attention
        let tokens = Tensor::random([1, 4, WIDTH], Distribution::Normal(0.0, 1.0), device);
        let reference = ReferenceTokens::new(tokens.clone(), tokens);
        let matrix = || Tensor::random([WIDTH, WIDTH], Distribution::Normal(0.0, 0.3), device);
        let cross = model.attention_sites().iter();
        let projections = cross
            .filter(|site| site.kind == SiteKind::CrossAttention)
            .map(|site| (site.name.clone(), IpProjection::new(matrix(), matrix())))
            .collect();
        Self {
            model,
            latents,
            text,
            reference,
            projections,
        }
    }

    pub(crate) const fn sites(&self) -> &AttentionSites {
        self.model.attention_sites()
    }

    /// The adapter, and in front of it Conceptrol, if a concept block is named.
    pub(crate) fn plan(
        &self,
        concept_block: Option<&str>,
    ) -> Result<AttentionPlan, Box<dyn Error>> {
        let mut plan = AttentionPlan::builder(self.sites());
        if let Some(name) = concept_block {
            let block = ConceptBlock::cross(SiteSelector::named(name));
            plan = plan.layer(SiteSelector::cross(), ConceptrolLayer::new(block));
        }
        let adapter = IpAdapterLayer::new(self.projections.clone());
        Ok(plan.layer(SiteSelector::cross(), adapter).build()?)
    }

    /// Runs the steps, and gives the latents and what was captured.
    pub(crate) fn generate(
        &self,
        plan: &AttentionPlan,
    ) -> Result<(Tensor<4>, Captures), Box<dyn Error>> {
        let cat = Concept::new("cat", [vec![CAT..CAT + 1]]).reference(self.reference.clone());
        let mut session = Session::new(plan, BatchLayout::unguided(1), [cat])?;
        let mut latents = self.latents.clone();
        for step in 0..STEPS {
            let time = 1.0 - step as f64 / STEPS as f64;
            session.begin_step(StepInfo::new(step, STEPS, time));
            let noise = self
                .model
                .forward(latents.clone(), &self.text, &mut session)?;
            latents = latents - noise / STEPS as f32;
        }
        Ok((latents, session.finish()))
    }

    /// How much of a map lies where the cat is.
    pub(crate) fn share_on_cat(&self, map: &ConceptMask) -> f32 {
        let grid = map.grid();
        let map = map.values().clone().reshape([grid.height, grid.width]);
        let left = map.clone().narrow(1, 0, grid.width / 2).sum() / map.sum();
        left.into_scalar()
    }
}

/// The mean difference of two latents in their left and their right half.
pub(crate) fn change(a: &Tensor<4>, b: &Tensor<4>) -> [f32; 2] {
    let half = SIDE / 2;
    let difference = (a.clone() - b.clone()).abs();
    [0, half].map(|start| {
        difference
            .clone()
            .narrow(3, start, half)
            .mean()
            .into_scalar()
    })
}
