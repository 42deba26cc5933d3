//! Several references in one joint sequence, each gated by its own concept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{number, spans};
use crate::{
    Outcome,
    case::{Array, Arrays, Case, array},
    report::Report,
};
use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan,
    AttentionProcessor, AttentionSite, AttentionSites, BatchLayout, Concept, ConditionSchedule,
    Grid, MaskError, Session, SiteId, SiteKind, SiteSelector, StepWindow, TokenLayout,
    kernel::LogitBias,
    layer_fn,
    mask::{ConceptBlock, ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery},
    processors::{ConceptrolLayer, JointConditionLayer, ReferenceSight},
};

/// The biases of all calls, as an innermost processor sees them.
type Seen = Arc<Mutex<Vec<Option<LogitBias>>>>;

pub(super) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    for (name, sight) in [
        ("joint", ReferenceSight::All),
        ("isolated", ReferenceSight::NotEachOther),
    ] {
        variant(case, (name, sight), &inputs, &expected, device, report)?;
    }
    Ok(())
}

fn variant(
    case: &Case,
    (name, sight): (&str, ReferenceSight),
    inputs: &Arrays,
    expected: &Arrays,
    device: &Device,
    report: &mut Report,
) -> Outcome {
    let params = case.params();
    let get = |name: &str| number(&params[name], name);
    let (heads, head_dim, latents) = (get("heads")?, get("head_dim")?, get("latent_tokens")?);
    let lengths = params["reference_tokens"].as_array();
    let references = lengths
        .into_iter()
        .flatten()
        .map(|len| number(len, "a length"));
    let references: Vec<usize> = references.collect::<Result<_, _>>()?;
    let grids = references.iter().map(|len| Grid::new(1, *len));
    let layout = TokenLayout::joint(get("text_tokens")?, Grid::new(1, latents), grids);

    let calls = inputs["query"].shape[0];
    let site =
        |index| AttentionSite::new(format!("call.{index}"), SiteKind::Joint, heads, head_dim, 1);
    let sites = AttentionSites::new((0..calls).map(site));
    let seen = Seen::default();
    let watched = Arc::clone(&seen);
    let plan = AttentionPlan::builder(&sites)
        .layer(
            SiteSelector::joint(),
            ConceptrolLayer::new(EveryCall::default()),
        )
        .layer(
            SiteSelector::joint(),
            JointConditionLayer::new().references_see(sight),
        )
        .layer(
            SiteSelector::joint(),
            layer_fn(move |_: &AttentionSite, inner| Watch {
                seen: Arc::clone(&watched),
                inner,
            }),
        )
        .build()?;

    let (mut outputs, mut masks) = (Vec::new(), Vec::new());
    for call in 0..calls {
        let strengths = &inputs["scales"].row(call).values;
        // each call has strengths of its own, so it is a session of its own
        let concepts = spans(params)?.into_iter().enumerate().map(|(index, span)| {
            Concept::new(format!("concept {index}"), [vec![span]]).scale(strengths[index])
        });
        let mut session = Session::new(&plan, BatchLayout::unguided(1), concepts)?
            .condition(ConditionSchedule::new(1.0, StepWindow::ALWAYS));
        let part = |name: &str| inputs[name].row(call).tensor::<4>(device);
        let attention =
            AttentionCall::joint(part("query")?, part("key")?, part("value")?, layout.clone());
        outputs.extend(array(session.attend(SiteId::new(call), attention)?).values);
        for concept in 0..references.len() {
            let mask = session.board().latest(concept).ok_or("no mask")?;
            masks.extend(array(mask.values().clone().log()).values);
        }
    }
    let mut compare = |what: &str, values: Vec<f32>| {
        let name = format!("{name}.{what}");
        let wanted = &expected[&name];
        let shape = wanted.shape.clone();
        report.array(&name, &Array { shape, values }, wanted);
    };
    compare("output", outputs);
    compare("concept_mask_log_after_call", masks);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for (call, bias) in seen.iter().enumerate() {
        let what = format!("call{call}.bias");
        if expected.contains_key(&format!("{name}.{what}")) {
            compare(&what, dense(bias.as_ref().ok_or("no bias")?));
        }
    }
    Ok(())
}

/// Refreshes after every call, as the case does; the masks outlive the session.
#[derive(Debug, Default)]
struct EveryCall {
    latest: Mutex<HashMap<usize, ConceptMask>>,
}

impl ConceptMaskSource for EveryCall {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = latest.get(&query.index) {
            board.publish(query.index, before.clone());
        }
        let mask = ConceptBlock::joint(SiteSelector::all()).mask(query, board);
        if let Some(fresh) = board.latest(query.index) {
            latest.insert(query.index, fresh.clone());
        }
        mask
    }
}

/// Keeps the bias of every call.
#[derive(Debug)]
struct Watch {
    seen: Seen,
    inner: ArcProcessor,
}

impl AttentionProcessor for Watch {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(call.bias().cloned());
        self.inner.attend(call, cx)
    }
}

/// A bias as the matrix of the first row of the batch, `[queries, keys]`.
fn dense(bias: &LogitBias) -> Vec<f32> {
    let [_, _, queries] = bias.rows().dims();
    let rows = array(bias.rows().clone()).values;
    let mut matrix = vec![0.0; queries * queries];
    for (range, keys) in bias.keys().iter().enumerate() {
        for (query, keys_of_query) in matrix.chunks_exact_mut(queries).enumerate() {
            let value = rows[range * queries + query];
            keys_of_query[keys.clone()]
                .iter_mut()
                .for_each(|x| *x += value);
        }
    }
    matrix
}
