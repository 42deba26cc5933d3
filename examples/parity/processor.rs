//! The processors alone: consecutive calls of one session.

mod references;

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept,
    ConditionSchedule, Grid, ReferenceTokens, Session, SiteId, SiteKind, SiteSelector, StepWindow,
    TokenLayout,
    mask::{ConceptBlock, ConceptMask, MaskNorm},
    models::{nn::Linear, weights::Weights},
    processors::{
        CaptureLayer, ConceptrolLayer, IpAdapterLayer, IpProjection, JointConditionLayer,
    },
};
use serde_json::Value;

use crate::{
    Outcome,
    case::{Array, Arrays, Case, array},
    gated_block,
    report::Report,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    if case.params()["layers"].is_object() {
        cross(case, device, report)
    } else if case.params()["reference_tokens"].is_array() {
        references::run(case, device, report)
    } else if case.params()["image_context"].is_u64() {
        gated_block::run(case, device, report)
    } else {
        joint(case, device, report)
    }
}

pub(crate) fn number(value: &Value, what: &str) -> Result<usize, String> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("{what} is not a whole number"))
}

fn spans(params: &Value) -> Result<Vec<std::ops::Range<usize>>, String> {
    let spans = params["spans"].as_array().cloned().unwrap_or_default();
    spans
        .iter()
        .map(|span| Ok(number(&span[0], "a span")?..number(&span[1], "a span")?))
        .collect()
}

/// The projections around an attention site, as a UNet has them.
struct Projections {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
}

impl Projections {
    fn new(w: &Weights, hidden: usize, context: usize, heads: usize) -> Self {
        Self {
            to_q: Linear::new(&w.at("to_q"), hidden, hidden, false),
            to_k: Linear::new(&w.at("to_k"), context, hidden, false),
            to_v: Linear::new(&w.at("to_v"), context, hidden, false),
            to_out: Linear::new(&w.at("to_out").at(0), hidden, hidden, true),
            heads,
        }
    }

    fn split(&self, x: Tensor<3>) -> Tensor<4> {
        let [rows, tokens, inner] = x.dims();
        x.reshape([rows, tokens, self.heads, inner / self.heads])
            .swap_dims(1, 2)
    }

    fn merge(&self, x: Tensor<4>) -> Tensor<3> {
        let [rows, heads, tokens, head_dim] = x.dims();
        self.to_out
            .forward(x.swap_dims(1, 2).reshape([rows, tokens, heads * head_dim]))
    }
}

fn cross(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let params = case.params();
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let context_dim = number(&params["cross_attention_dim"], "cross_attention_dim")?;
    let text_len = number(&params["text_tokens"], "text_tokens")?;
    let num_tokens = number(&params["num_tokens"], "num_tokens")?;

    let w = Weights::open(
        case.directory.join("weights.safetensors"),
        device,
        FloatDType::F32,
    )?;
    let mut names = Vec::new();
    let mut sites = Vec::new();
    let mut projections = Vec::new();
    let mut adapter = Vec::new();
    for (name, layer) in params["layers"].as_object().ok_or("no layers")? {
        let (hidden, heads) = (
            number(&layer["hidden"], "hidden")?,
            number(&layer["heads"], "heads")?,
        );
        let scope = w.at(name);
        projections.push(Projections::new(
            &scope.at("attn"),
            hidden,
            context_dim,
            heads,
        ));
        let ip = scope.at("processor");
        let weight = |which: &str| ip.at(which).tensor("weight", [hidden, context_dim]).val();
        adapter.push((
            name.clone(),
            IpProjection::new(weight("to_k_ip"), weight("to_v_ip")),
        ));
        sites.push(AttentionSite::new(
            name,
            SiteKind::CrossAttention,
            heads,
            hidden / heads,
            1,
        ));
        names.push(name.clone());
    }
    w.finish()?;
    let sites = AttentionSites::new(sites);

    let states: Tensor<3> = inputs["encoder_hidden_states"].tensor(device)?;
    let [rows, tokens, _] = states.dims();
    let text = states.clone().slice_dim(1, 0..text_len);
    let spans = spans(params)?;
    let concepts = (0..(tokens - text_len) / num_tokens).map(|index| {
        let start = text_len + index * num_tokens;
        let image = states.clone().slice_dim(1, start..start + num_tokens);
        let half = rows / 2;
        let reference = ReferenceTokens::new(
            image.clone().slice_dim(0, half..rows),
            image.slice_dim(0, 0..half),
        );
        let span = spans.get(index).map(|span| vec![span.clone()]);
        Concept::new(format!("concept {index}"), span).reference(reference)
    });

    let is_conceptrol = params["method"] == "conceptrol";
    let mut plan = AttentionPlan::builder(&sites);
    if is_conceptrol {
        let site = params["concept_mask_layer"]
            .as_str()
            .ok_or("no concept_mask_layer")?;
        plan = plan
            .layer(SiteSelector::cross(), CaptureLayer::new())
            .layer(
                SiteSelector::cross(),
                ConceptrolLayer::new(ConceptBlock::cross(SiteSelector::named(site))),
            );
    }
    let plan = plan
        .layer(SiteSelector::cross(), IpAdapterLayer::new(adapter))
        .build()?;
    let mut session = Session::new(&plan, BatchLayout::guided(rows / 2), concepts)?;

    for (index, call) in params["calls"]
        .as_array()
        .ok_or("no calls")?
        .iter()
        .enumerate()
    {
        let site = names
            .iter()
            .position(|name| call["layer"] == **name)
            .ok_or("a call of an unknown layer")?;
        let side = number(&call["side"], "side")?;
        #[expect(clippy::cast_possible_truncation, reason = "scales are short decimals")]
        let scale = call["scale"].as_f64().ok_or("no scale")? as f32;
        session.set_condition(ConditionSchedule::new(scale, StepWindow::ALWAYS));
        let layer = &projections[site];
        let hidden: Tensor<3> = inputs[&format!("call{index}.hidden_states")].tensor(device)?;
        let call = AttentionCall::cross(
            layer.split(layer.to_q.forward(hidden)),
            layer.split(layer.to_k.forward(text.clone())),
            layer.split(layer.to_v.forward(text.clone())),
            Grid::new(side, side),
        );
        let before = session.captures().iter().count();
        let out = layer.merge(session.attend(SiteId::new(site), call)?);
        report.tensor(
            &format!("call{index}.output"),
            out,
            &expected[&format!("call{index}.output")],
        );
        let local = session
            .captures()
            .iter()
            .skip(before)
            .map(|capture| capture.map.clone().normalized(MaskNorm::Max));
        compare_masks(
            report,
            &expected,
            &format!("call{index}.local_mask"),
            local.collect(),
        );
        let published =
            (0..spans.len()).filter_map(|concept| session.board().latest(concept).cloned());
        compare_masks(
            report,
            &expected,
            &format!("call{index}.global_mask_after"),
            published.collect(),
        );
    }
    Ok(())
}

/// The masks of all concepts as `[concepts, cells]`, where the case has them.
fn compare_masks(report: &mut Report, expected: &Arrays, name: &str, masks: Vec<ConceptMask>) {
    let Some(expected) = expected.get(name) else {
        return;
    };
    let values: Vec<f32> = masks
        .iter()
        .flat_map(|mask| array(mask.values().clone()).values)
        .collect();
    let shape = vec![masks.len(), values.len() / masks.len().max(1)];
    report.array(name, &Array { shape, values }, expected);
}

fn joint(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let params = case.params();
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let get = |name: &str| number(&params[name], name);
    let (heads, head_dim, text) = (get("heads")?, get("head_dim")?, get("M")?);
    let (latents, condition) = (get("latent_tokens")?, get("N")?);
    let layout = TokenLayout::joint(text, Grid::new(1, latents), [Grid::new(1, condition)]);
    let calls = inputs["query"].shape[0];

    let sites = (0..calls).map(|index| {
        AttentionSite::new(format!("call.{index}"), SiteKind::Joint, heads, head_dim, 1)
    });
    let sites = AttentionSites::new(sites);
    let mut plan = AttentionPlan::builder(&sites);
    if params["method"] == "conceptrol" {
        let (blocks, concept) = (get("NUM_BLOCKS")?, get("CONCEPT_BLOCK_IDX")?);
        let refreshes = (0..calls).filter(|call| call % blocks == concept);
        let selector = refreshes
            .map(|call| SiteSelector::named(format!("call.{call}")))
            .reduce(SiteSelector::or);
        let selector = selector.ok_or("no call refreshes the mask")?;
        plan = plan.layer(
            SiteSelector::joint(),
            ConceptrolLayer::new(ConceptBlock::joint(selector)),
        );
    }
    let plan = plan
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()?;
    let span = number(&params["span"][0], "span")?..number(&params["span"][1], "span")?;
    let mut session = Session::new(
        &plan,
        BatchLayout::unguided(1),
        [Concept::new("concept", [vec![span]])],
    )?;

    let mut outputs = Vec::new();
    let mut masks = Vec::new();
    for call in 0..calls {
        let strength = inputs["c_factors"].values[call];
        session.set_condition(ConditionSchedule::new(strength, StepWindow::ALWAYS));
        let part = |name: &str| inputs[name].row(call).tensor::<4>(device);
        let attention =
            AttentionCall::joint(part("query")?, part("key")?, part("value")?, layout.clone());
        outputs.extend(array(session.attend(SiteId::new(call), attention)?).values);
        let mask = session
            .board()
            .latest(0)
            .map(|mask| array(mask.values().clone().log()).values);
        masks.extend(mask.unwrap_or_else(|| vec![0.0; latents]));
    }
    let shape = expected["output"].shape.clone();
    report.array(
        "output",
        &Array {
            shape,
            values: outputs,
        },
        &expected["output"],
    );
    if let Some(expected) = expected.get("concept_mask_log_after_call") {
        report.array(
            "concept_mask_log_after_call",
            &Array {
                shape: expected.shape.clone(),
                values: masks,
            },
            expected,
        );
    }
    Ok(())
}
