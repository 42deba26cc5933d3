//! Conceptrol over a joint condition.

use burn::tensor::{Device, Tensor, TensorData};
use conceptrol_core::{
    AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept,
    ConditionSchedule, Grid, Session, SiteId, SiteKind, SiteSelector, StepWindow, TokenLayout,
    kernel,
    mask::ConceptBlock,
    processors::{ConceptrolLayer, JointConditionLayer},
};

use crate::{HEAD_DIM, HEADS, noise};

#[test]
fn joint_condition_equals_a_dense_bias() {
    let sites = AttentionSites::new([
        AttentionSite::new("a", SiteKind::Joint, HEADS, HEAD_DIM, 1),
        AttentionSite::new("b", SiteKind::Joint, HEADS, HEAD_DIM, 1),
    ]);
    let layout = TokenLayout::joint(4, Grid::new(2, 3), [Grid::new(1, 2), Grid::new(2, 1)]);
    let qkv = |seed| noise([1, HEADS, 14, HEAD_DIM], seed);
    let call = || AttentionCall::joint(qkv(1.0), qkv(2.0), qkv(3.0), layout.clone());
    let concepts = || {
        [
            Concept::new("a", [vec![1..2]]),
            Concept::new("b", [vec![2..4]]).scale(0.5),
        ]
    };
    let plan = AttentionPlan::builder(&sites)
        .layer(
            SiteSelector::joint(),
            ConceptrolLayer::new(ConceptBlock::joint(SiteSelector::named("a"))),
        )
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()
        .expect("fits");
    let mut session = Session::new(&plan, BatchLayout::unguided(1), concepts())
        .expect("valid session")
        .condition(ConditionSchedule::new(0.8, StepWindow::ALWAYS));
    let first = session
        .attend(SiteId::new(0), call())
        .expect("a valid call");
    let second = session
        .attend(SiteId::new(1), call())
        .expect("a valid call");
    let masks: Vec<Vec<f32>> = (0..2)
        .map(|i| {
            session
                .board()
                .latest(i)
                .expect("published")
                .values()
                .to_data()
                .try_to_vec()
                .expect("f32")
        })
        .collect();

    for (out, masks) in [(first, vec![vec![1.0; 6]; 2]), (second, masks)] {
        let strengths = [0.8_f32, 0.4];
        let words = [1..2, 2..4];
        let mut bias = vec![0.0_f32; 14 * 14];
        for concept in 0..2 {
            let c = strengths[concept].ln();
            let keys = 10 + 2 * concept..12 + 2 * concept;
            for key in keys.clone() {
                for text in 0..4 {
                    bias[text * 14 + key] = if words[concept].contains(&text) {
                        c
                    } else {
                        -1e7
                    };
                }
                for latent in 0..6 {
                    bias[(4 + latent) * 14 + key] = c + masks[concept][latent].ln();
                }
            }
            for query in keys {
                bias[query * 14 + 4..query * 14 + 10].fill(c);
            }
        }
        let bias = Tensor::from_data(TensorData::new(bias, [1, 1, 14, 14]), &Device::flex());
        let options = burn::tensor::ops::AttentionModuleOptions::default();
        let expected = burn::tensor::module::attention_fallback(
            qkv(1.0),
            qkv(2.0),
            qkv(3.0),
            None,
            Some(bias),
            options,
        );
        let difference: f32 = (out - expected).abs().max().into_scalar();
        assert!(
            difference < 2e-6,
            "differs from the dense bias by {difference}"
        );
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
    let difference: f32 = (visible(out) - expected).abs().max().into_scalar();
    assert!(
        difference < 1e-6,
        "strength 0 must be as without the condition, differs by {difference}"
    );
}
