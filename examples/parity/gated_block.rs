//! One double block of FLUX with the IP-Adapter of two concepts.

use std::error::Error;

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept, Grid, MaskRole,
    ReferenceTokens, Session, SiteId, SiteKind, SiteSelector, TokenLayout,
    mask::{ConceptMask, Fixed},
    models::weights::Weights,
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};
use conceptrol_flux::{
    FluxConfig,
    mmdit::{BlockContext, DoubleBlock, Reading, Rotary, Streams},
};

use crate::{
    Outcome,
    case::{Array, Arrays, Case},
    processor::number,
    report::Report,
};

const SITE: &str = "transformer_blocks.0.attn";

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let block = Block::open(case, device)?;
    let expected = case.expected()?;
    let concepts = block.concepts()?;
    let bare = block.forward(None, Vec::new(), false)?;

    for (index, concept) in concepts.iter().enumerate() {
        let alone = concept.clone().scale(1.0);
        let term = block.forward(Some(&bare), vec![alone], false)?.term;
        let name = format!("ip_branch.{index}");
        report.tensor(&name, term, &expected[&name]);
    }
    for (suffix, gated) in [("", true), ("_ungated", false)] {
        let out = block.forward(Some(&bare), concepts.clone(), gated)?;
        let name = |tensor: &str| format!("{tensor}{suffix}");
        let mut compare = |tensor: &str, found: Tensor<3>| {
            if let Some(wanted) = expected.get(&name(tensor)) {
                report.tensor(&name(tensor), found, wanted);
            }
        };
        compare("ip_out", out.term);
        compare("hidden_out", out.latents);
        compare("encoder_out", out.text);
    }
    Ok(())
}

/// What the block makes of its inputs.
struct Out {
    text: Tensor<3>,
    latents: Tensor<3>,
    /// What the adapter adds to the latents.
    term: Tensor<3>,
}

struct Block<'a> {
    case: &'a Case,
    inputs: Arrays,
    device: &'a Device,
    block: DoubleBlock,
    projection: IpProjection,
    sites: AttentionSites,
    rotary: Rotary,
    layout: TokenLayout,
    grid: Grid,
}

impl<'a> Block<'a> {
    fn open(case: &'a Case, device: &'a Device) -> Result<Self, Box<dyn Error>> {
        let (params, inputs) = (case.params(), case.inputs()?);
        let get = |name: &str| number(&params[name], name);
        let (heads, head_dim) = (get("heads")?, get("head_dim")?);
        let axis = |index: usize| number(&params["axes_dims_rope"][index], "an axis");
        let config = FluxConfig {
            num_attention_heads: heads,
            attention_head_dim: head_dim,
            axes_dims_rope: [axis(0)?, axis(1)?, axis(2)?],
            ..FluxConfig::schnell()
        };
        let w = Weights::open(case.file("weights")?, device, FloatDType::F32)?;
        let block = DoubleBlock::new(&config, &w, SiteId::new(0));
        let (inner, context) = (heads * head_dim, get("image_context")?);
        let (key, value) = (w.at("ip.to_k_ip"), w.at("ip.to_v_ip"));
        let weight = |w: &Weights| w.tensor("weight", [inner, context]).val();
        let bias = |w: &Weights| w.tensor("bias", [inner]).val();
        let projection =
            IpProjection::new(weight(&key), weight(&value)).biases(bias(&key), bias(&value));
        w.finish()?;
        let site = AttentionSite::new(SITE, SiteKind::Joint, heads, head_dim, 1).with_block_end();
        let grid = Grid::new(
            number(&params["grid"][0], "the grid")?,
            number(&params["grid"][1], "the grid")?,
        );
        let ids = inputs["ids"].values.chunks_exact(3);
        let positions: Vec<_> = ids.map(|id| [id[0], id[1], id[2]].map(f64::from)).collect();
        Ok(Self {
            rotary: Rotary::new(&positions, config.axes_dims_rope, device, FloatDType::F32),
            layout: TokenLayout::joint(get("text_tokens")?, grid, []),
            sites: AttentionSites::new([site]),
            case,
            inputs,
            device,
            block,
            projection,
            grid,
        })
    }

    fn input<const D: usize>(&self, name: &str) -> Result<Tensor<D>, Box<dyn Error>> {
        self.inputs[name].tensor(self.device)
    }

    /// The concepts with their gates as masks of their own.
    fn concepts(&self) -> Result<Vec<Concept>, Box<dyn Error>> {
        let (tokens, gates) = (&self.inputs["image_tokens"], &self.inputs["gates"]);
        let scales = self.case.params()["scales"].as_array().cloned();
        let scales = scales.unwrap_or_default().into_iter().enumerate();
        let concept = |(index, scale): (usize, serde_json::Value)| {
            let tokens = tokens.row(index).tensor::<3>(self.device)?;
            let gate = gates.row(index);
            let gate = Array {
                shape: vec![1, gate.values.len()],
                ..gate
            };
            let mask = ConceptMask::new(gate.tensor::<2>(self.device)?, self.grid)?;
            #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
            let scale = scale.as_f64().ok_or("no number as a scale")? as f32;
            Ok(Concept::new(format!("concept {index}"), [])
                .reference(ReferenceTokens::new(tokens.clone(), tokens))
                .scale(scale)
                .mask(mask)
                .mask_role(MaskRole::Instead))
        };
        scales.map(concept).collect()
    }

    /// The adapter's term is the difference to the `bare` block.
    fn forward(
        &self,
        bare: Option<&Out>,
        concepts: Vec<Concept>,
        gated: bool,
    ) -> Result<Out, Box<dyn Error>> {
        let mut plan = AttentionPlan::builder(&self.sites);
        if gated {
            plan = plan.layer(SiteSelector::all(), ConceptrolLayer::new(Fixed::required()));
        }
        let projections = [(SITE.to_owned(), self.projection.clone())];
        let plan = plan
            .layer(
                SiteSelector::all(),
                IpAdapterLayer::new(projections).after_block(),
            )
            .build()?;
        let mut session = Session::new(&plan, BatchLayout::unguided(1), concepts)?;
        let streams = Streams {
            text: self.input("encoder_hidden_states")?,
            latents: self.input("hidden_states")?,
            condition: None,
        };
        let context = BlockContext {
            vector: self.input("temb")?,
            condition_vector: None,
            reading: Reading::default(),
            rotary: &self.rotary,
            layout: &self.layout,
        };
        let out = self.block.forward(streams, &context, &mut session)?;
        let term = match bare {
            Some(bare) => out.latents.clone() - bare.latents.clone(),
            None => out.latents.zeros_like(),
        };
        Ok(Out {
            text: out.text,
            latents: out.latents,
            term,
        })
    }
}
