//! Conceptrol over a joint condition.

use burn::tensor::{Device, Tensor, TensorData};
use conceptrol_core::{
    AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept,
    ConditionSchedule, Grid, Session, SiteId, SiteKind, SiteSelector, StepWindow, TokenLayout,
    kernel,
    mask::ConceptBlock,
    processors::{ConceptrolLayer, JointConditionLayer},
};

use crate::{HEAD_DIM, HEADS, dense, noise};

/// Tokens: 4 of text, 6 latents, 2 of each condition.
pub(crate) const LEN: usize = 14;
pub(crate) const LATENTS: Grid = Grid::new(2, 3);

pub(crate) fn sites() -> AttentionSites {
    let site = |name| AttentionSite::new(name, SiteKind::Joint, HEADS, HEAD_DIM, 1);
    AttentionSites::new([site("a"), site("b")])
}

pub(crate) fn call() -> AttentionCall {
    let layout = TokenLayout::joint(4, LATENTS, [Grid::new(1, 2), Grid::new(2, 1)]);
    let qkv = |seed| noise([1, HEADS, LEN, HEAD_DIM], seed);
    AttentionCall::joint(qkv(1.0), qkv(2.0), qkv(3.0), layout)
}

pub(crate) fn concepts() -> [Concept; 2] {
    [
        Concept::new("a", [vec![1..2]]),
        Concept::new("b", [vec![2..4]]).scale(0.5),
    ]
}

/// Equation 8 of the paper as a matrix, `[LEN, LEN]`.
pub(crate) fn condition_bias(strengths: &[f32; 2], masks: &[Vec<f32>; 2]) -> Vec<f32> {
    let words = [1..2, 2..4];
    let mut bias = vec![0.0_f32; LEN * LEN];
    for concept in 0..2 {
        let c = strengths[concept].ln();
        let keys = 10 + 2 * concept..12 + 2 * concept;
        for key in keys.clone() {
            for text in 0..4 {
                let own = words[concept].contains(&text);
                bias[text * LEN + key] = if own { c } else { -1e7 };
            }
            for latent in 0..6 {
                bias[(4 + latent) * LEN + key] = c + masks[concept][latent].ln();
            }
        }
        for query in keys {
            bias[query * LEN + 4..query * LEN + 10].fill(c);
        }
    }
    bias
}

/// The call's attention with this matrix.
pub(crate) fn attention(bias: Vec<f32>) -> Tensor<4> {
    let bias = TensorData::new(bias, [1, 1, LEN, LEN]);
    dense::attention(call(), Tensor::from_data(bias, &Device::flex()))
}

#[test]
fn joint_condition_equals_a_dense_bias() {
    let block = ConceptBlock::joint(SiteSelector::named("a"));
    let plan = AttentionPlan::builder(&sites())
        .layer(SiteSelector::joint(), ConceptrolLayer::new(block))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()
        .expect("fits");
    let mut session = Session::new(&plan, BatchLayout::unguided(1), concepts())
        .expect("valid session")
        .condition(ConditionSchedule::new(0.8, StepWindow::ALWAYS));
    let outputs = [0, 1].map(|site| {
        let out = session.attend(SiteId::new(site), call());
        out.expect("a valid call")
    });
    let masks = [0, 1].map(|i| {
        let mask = session.board().latest(i).expect("published");
        crate::ask::values(mask)
    });
    let ones = [vec![1.0; 6], vec![1.0; 6]];
    for (out, masks) in outputs.iter().zip([ones, masks]) {
        dense::close(out, &attention(condition_bias(&[0.8, 0.4], &masks)));
    }
}

#[test]
fn a_strength_of_zero_is_not_nan() {
    let sites = AttentionSites::new([AttentionSite::new("a", SiteKind::Joint, HEADS, HEAD_DIM, 1)]);
    let layout = TokenLayout::joint(2, Grid::new(1, 3), [Grid::new(1, 2)]);
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::all(), JointConditionLayer::new())
        .build()
        .expect("fits");
    let mut session = Session::new(
        &plan,
        BatchLayout::unguided(1),
        [Concept::new("a", [vec![0..1]])],
    )
    .expect("valid session")
    .condition(ConditionSchedule::new(0.0, StepWindow::ALWAYS));
    let x = noise([1, HEADS, 7, HEAD_DIM], 1.0);
    let call = AttentionCall::joint(x.clone(), x.clone(), x.clone(), layout);
    let out = session.attend(SiteId::new(0), call).expect("a valid call");
    let visible = |t: Tensor<4>| t.slice_dim(2, 0..5);
    let expected = kernel::attention(visible(x.clone()), visible(x.clone()), visible(x), None);
    dense::close(&visible(out), &expected);
}
