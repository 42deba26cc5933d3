//! The tiny adapters, their encoders, and one evaluation of the tiny transformer with them.

use std::path::PathBuf;

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::mask::{ConceptMask, Fixed};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_core::processors::ConceptrolLayer;
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ConditionSchedule, Grid, MaskRole, ReferenceTokens,
    Session, SiteSelector, StepWindow, TokenLayout,
};
use conceptrol_flux::adapter::{
    ImageEncoder, ImageEncoderConfig, ImageProjection, IpAdapterLayout, IpAdapterSites,
};
use conceptrol_flux::latents::{grid_positions, text_positions};
use conceptrol_flux::mmdit::{FluxInput, FluxTransformer, Rotary};
use conceptrol_flux::{FluxConfig, attention_sites};

use crate::common::{Case, fixtures};

pub(crate) const GRID: Grid = Grid::new(3, 4);
const TEXT: usize = 5;
/// Of the golden case.
pub(crate) const STRENGTH: f32 = 0.7;

/// An adapter, its encoder and the tiny transformer.
pub(crate) struct Tiny {
    pub(crate) case: Case,
    pub(crate) config: FluxConfig,
    pub(crate) encoder: ImageEncoder,
    pub(crate) projection: ImageProjection,
    pub(crate) sites: IpAdapterSites,
    transformer: FluxTransformer,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ip_adapter")
}

pub(crate) fn file(kind: &str) -> PathBuf {
    folder().join(match kind {
        "xlabs" => "xlabs.safetensors",
        _ => "instantx.bin",
    })
}

pub(crate) fn transformer_folder() -> PathBuf {
    fixtures().join("models/flux_dev/transformer")
}

impl Tiny {
    pub(crate) fn open(kind: &str) -> Self {
        let case = Case::crate_local("ip_adapter");
        let config =
            FluxConfig::from_file(transformer_folder().join("config.json")).expect("sizes");
        let file = Checkpoint::open(file(kind)).expect("an adapter");
        let layout = IpAdapterLayout::of(&file).expect("whole");
        let layout = layout.expect("an adapter for FLUX");
        let open =
            |path: PathBuf| Weights::open(path, &case.device, FloatDType::F32).expect("weights");

        let w = Weights::from_checkpoint(file, &case.device, FloatDType::F32);
        let projection = ImageProjection::new(&layout, &w);
        let sites = IpAdapterSites::new(&layout, &config, &w);
        w.finish().expect("every tensor is used");

        let seen = folder().join(format!("{kind}_encoder"));
        let encoder = ImageEncoderConfig::from_file(layout.kind, &seen.join("config.json"));
        let w = open(seen);
        let encoder = ImageEncoder::new(&encoder.expect("a configuration"), &w);
        w.finish().expect("every tensor is used");

        let w = open(transformer_folder());
        let transformer = FluxTransformer::new(&config, &w);
        w.finish().expect("every tensor is used");
        Self {
            case,
            config,
            encoder,
            projection,
            sites,
            transformer,
        }
    }

    /// Image tokens of the three pictures, `[3, tokens, context]`.
    pub(crate) fn tokens(&self) -> Tensor<3> {
        let embeds = self
            .encoder
            .embed(self.case.input("pixels"))
            .expect("pixels");
        self.projection.forward(embeds)
    }

    /// Concepts whose pictures are these, perhaps with masks over the latents.
    pub(crate) fn concept(&self, picture: usize, mask: Option<Vec<f32>>) -> Concept {
        let tokens = self.tokens().narrow(0, picture, 1);
        let concept = Concept::new(format!("picture {picture}"), [])
            .reference(ReferenceTokens::new(tokens.clone(), tokens));
        match mask {
            None => concept,
            Some(mask) => {
                let values = Tensor::<1>::from_floats(mask.as_slice(), &self.case.device);
                let mask = ConceptMask::new(values.unsqueeze(), GRID).expect("12 cells");
                concept.mask(mask).mask_role(MaskRole::Instead)
            }
        }
    }

    /// The plan with the adapter, gated by the concepts' own masks if they have some.
    pub(crate) fn plan(&self, gated: bool, text_rows: bool) -> AttentionPlan {
        let sites = attention_sites(&self.config);
        let mut plan = AttentionPlan::builder(&sites);
        if gated {
            plan = plan.layer(
                SiteSelector::joint(),
                ConceptrolLayer::new(Fixed::required()),
            );
        }
        let adapter = self.sites.layer(text_rows);
        plan.layer(SiteSelector::joint(), adapter)
            .build()
            .expect("fits")
    }

    /// One evaluation with these concepts, `[1, latents, channels]`.
    pub(crate) fn run(&self, concepts: Vec<Concept>, text_rows: bool, strength: f32) -> Tensor<3> {
        let gated = concepts.iter().any(|concept| concept.mask.is_some());
        let schedule = ConditionSchedule::new(strength, StepWindow::ALWAYS);
        let mut session = Session::new(
            &self.plan(gated, text_rows),
            BatchLayout::unguided(1),
            concepts,
        )
        .expect("a session")
        .condition(schedule);
        let mut positions = text_positions(TEXT);
        positions.extend(grid_positions(GRID));
        let axes = self.config.axes_dims_rope;
        let input = FluxInput {
            latents: self.case.input("latents"),
            text: self.case.input("text"),
            pooled: self.case.input("pooled"),
            condition: None,
            sigma: 0.6,
            guidance: 2.5,
            rotary: &Rotary::new(&positions, axes, &self.case.device, FloatDType::F32),
            layout: &TokenLayout::joint(TEXT, GRID, []),
        };
        (self.transformer.forward(input, &mut session)).expect("a prediction")
    }
}

pub(crate) fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().expect("f32")
}
