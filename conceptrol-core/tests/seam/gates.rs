//! What is exact of a gate on reference tokens, at one attention.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionCall, AttentionPlan, BatchLayout, Concept, ConditionSchedule, Grid, MaskRole, Session,
    SiteId, SiteSelector, StepWindow, TokenLayout, TokenStream,
    mask::{ConceptMask, Fixed},
    processors::{ConceptrolLayer, JointConditionLayer, ReferenceSight, TextSight},
};

use crate::{HEAD_DIM, HEADS, dense, joint, noise};

/// The output for concepts with these masks; ungated without.
fn attend(
    masks: Option<[[f32; 6]; 2]>,
    layer: JointConditionLayer,
    call: AttentionCall,
) -> Tensor<4> {
    let sites = joint::sites();
    let mut plan = AttentionPlan::builder(&sites);
    let mut concepts = joint::concepts().map(|concept| concept.scale(1.0));
    if let Some(masks) = masks {
        plan = plan.layer(SiteSelector::all(), ConceptrolLayer::new(Fixed::required()));
        concepts = std::array::from_fn(|index| {
            let row = Tensor::<1>::from_floats(masks[index], &Device::flex());
            let mask = ConceptMask::new(row.unsqueeze(), joint::LATENTS).expect("6 cells");
            concepts[index]
                .clone()
                .mask(mask)
                .mask_role(MaskRole::Instead)
        });
    }
    let plan = plan
        .layer(SiteSelector::all(), layer)
        .build()
        .expect("fits");
    let session = Session::new(&plan, BatchLayout::unguided(1), concepts);
    let mut session = session
        .expect("valid")
        .condition(ConditionSchedule::new(1.0, StepWindow::ALWAYS));
    session.attend(SiteId::new(0), call).expect("a valid call")
}

fn numbers(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_to_vec().expect("f32")
}

/// The output of some queries.
fn of(x: Tensor<4>, queries: std::ops::Range<usize>) -> Vec<f32> {
    numbers(x.slice_dim(2, queries))
}

/// The call without the keys and queries of one condition.
fn without(condition: usize) -> AttentionCall {
    let call = joint::call();
    let (gone, other) = match condition {
        0 => (10..12, Grid::new(2, 1)),
        _ => (12..14, Grid::new(1, 2)),
    };
    let rest = |x: Tensor<4>| {
        let (before, after) = (
            x.clone().slice_dim(2, 0..gone.start),
            x.slice_dim(2, gone.end..14),
        );
        Tensor::cat(vec![before, after], 2)
    };
    AttentionCall::joint(
        rest(call.query),
        rest(call.key),
        rest(call.value),
        TokenLayout::joint(4, joint::LATENTS, [other]),
    )
}

#[test]
fn gates_of_ones_on_latents_and_text_are_none() {
    let ones = Some([[1.0; 6]; 2]);
    let open = JointConditionLayer::new().seen_by(TextSight::All);
    let gated = attend(ones, open, joint::call());
    let plain = attend(None, JointConditionLayer::new(), joint::call());
    assert_eq!(numbers(gated), numbers(plain.clone()));
    // no bias at all is added at strength 1
    let bare = AttentionPlan::plain(&joint::sites());
    let mut session = Session::new(&bare, BatchLayout::unguided(1), []).expect("valid");
    let bare = session
        .attend(SiteId::new(0), joint::call())
        .expect("a valid call");
    assert_eq!(numbers(plain), numbers(bare));
}

#[test]
fn each_reference_acts_in_its_own_region() {
    let left = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0];
    let right = left.map(|value: f32| 1.0 - value);
    let both = attend(
        Some([left, right]),
        JointConditionLayer::new(),
        joint::call(),
    );
    for (index, own) in [left, right].into_iter().enumerate() {
        // the same call, where the other reference was never there
        let concept = joint::concepts()[index].clone().scale(1.0);
        let row = Tensor::<1>::from_floats(own, &Device::flex());
        let mask = ConceptMask::new(row.unsqueeze(), joint::LATENTS).expect("6 cells");
        let concept: Concept = concept.mask(mask).mask_role(MaskRole::Instead);
        let plan = AttentionPlan::builder(&joint::sites())
            .layer(SiteSelector::all(), ConceptrolLayer::new(Fixed::required()))
            .layer(SiteSelector::all(), JointConditionLayer::new())
            .build()
            .expect("fits");
        let session = Session::new(&plan, BatchLayout::unguided(1), [concept]);
        let mut session = session
            .expect("valid")
            .condition(ConditionSchedule::new(1.0, StepWindow::ALWAYS));
        let alone = session.attend(SiteId::new(0), without(1 - index));
        let alone = alone.expect("a valid call");
        for cell in (0..6).filter(|cell| own[*cell] == 1.0) {
            let [both, alone] = [&both, &alone].map(|x| of(x.clone(), 4 + cell..5 + cell));
            for (both, alone) in both.iter().zip(&alone) {
                assert!((both - alone).abs() < 1e-6, "{both} and {alone} at {cell}");
            }
        }
    }
}

#[test]
fn references_see_as_much_as_is_said() {
    let layer = |sight| JointConditionLayer::new().references_see(sight);
    let of_first = |sight| of(attend(None, layer(sight), joint::call()), 10..12);
    let rest = without(1);
    let apart = conceptrol_core::kernel::attention(rest.query, rest.key, rest.value, None);
    let apart = of(apart, 10..12);
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close(&of_first(ReferenceSight::NotEachOther), &apart));
    assert!(!close(&of_first(ReferenceSight::All), &apart));
    let call = joint::call();
    let own = |x: Tensor<4>| x.slice_dim(2, 10..12);
    let own =
        conceptrol_core::kernel::attention(own(call.query), own(call.key), own(call.value), None);
    assert!(close(&of_first(ReferenceSight::Themselves), &numbers(own)));
}

/// `[text | second condition | latents | first condition]`: the same attention in another order of tokens.
#[test]
fn conditions_may_lie_in_the_text_stream() {
    let (first, second) = (Grid::new(1, 2), Grid::new(2, 1));
    let places = [(TokenStream::Latents, first), (TokenStream::Text, second)];
    let layout = TokenLayout::joint_in(4, joint::LATENTS, places);
    let moved = |x: Tensor<4>| {
        let part = |range| x.clone().slice_dim(2, range);
        Tensor::cat(vec![part(0..4), part(12..14), part(4..12)], 2)
    };
    let call = joint::call();
    let call = AttentionCall::joint(
        moved(call.query),
        moved(call.key),
        moved(call.value),
        layout,
    );
    let masks = Some([
        [0.5, 1.0, 2.0, 0.25, 1.0, 0.0],
        [1.0, 0.0, 0.0, 3.0, 1.0, 1.0],
    ]);
    for sight in [ReferenceSight::All, ReferenceSight::NotEachOther] {
        let layer = || JointConditionLayer::new().references_see(sight);
        let in_text = attend(masks, layer(), call.clone());
        let beside = attend(masks, layer(), joint::call());
        dense::close(&in_text, &moved(beside));
    }
}

/// A picture in the text stream is part of the prompt: with guidance, the other text does not see it.
#[test]
fn unconditional_rows_see_no_picture_in_the_text_stream() {
    let places = [(TokenStream::Text, Grid::new(1, 3))];
    let layout = TokenLayout::joint_in(4, joint::LATENTS, places);
    let qkv = |seed| noise([2, HEADS, 13, HEAD_DIM], seed);
    let [q, k, v] = [1.0, 2.0, 3.0].map(qkv);
    let plan = AttentionPlan::builder(&joint::sites())
        .layer(SiteSelector::all(), JointConditionLayer::new())
        .build()
        .expect("fits");
    let concept = Concept::new("a", [vec![0..1]]);
    let session = Session::new(&plan, BatchLayout::guided(1), [concept]);
    let mut session = session
        .expect("valid")
        .condition(ConditionSchedule::new(1.0, StepWindow::ALWAYS));
    let call = AttentionCall::joint(q.clone(), k.clone(), v.clone(), layout);
    let out = session.attend(SiteId::new(0), call).expect("a valid call");
    let row = |x: &Tensor<4>, row: usize| x.clone().slice_dim(0, row..row + 1);
    let seen = |x: &Tensor<4>| {
        let x = row(x, 0);
        Tensor::cat(vec![x.clone().slice_dim(2, 0..4), x.slice_dim(2, 7..13)], 2)
    };
    let without = conceptrol_core::kernel::attention(seen(&q), seen(&k), seen(&v), None);
    dense::close(&seen(&out), &without);
    let all = conceptrol_core::kernel::attention(row(&q, 1), row(&k, 1), row(&v, 1), None);
    dense::close(&row(&out, 1), &all);
}
