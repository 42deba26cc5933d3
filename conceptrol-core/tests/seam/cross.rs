//! Conceptrol over an IP-Adapter, at cross-attention.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Captures, Concept, ConditionSchedule, Grid, ReferenceTokens,
    Session, SiteId, SiteSelector, StepInfo, StepWindow, kernel,
    mask::{ConceptMask, Fixed},
    processors::CaptureLayer,
};

use crate::{
    CONTEXT, HEAD_DIM, HEADS, TEXT, adapter, block, cat, cross_call, cross_sites, max_difference,
    noise, plan_of, run,
};

#[test]
fn plain_plan_is_plain_attention() {
    let plan = AttentionPlan::plain(&cross_sites());
    let mut session = Session::new(&plan, BatchLayout::guided(1), []).expect("valid session");
    let call = cross_call(0, 2, 0);
    let expected = kernel::attention(
        call.query.clone(),
        call.key.clone(),
        call.value.clone(),
        None,
    );
    let out = session.attend(SiteId::new(0), call).expect("a valid call");
    assert_eq!(out.into_data(), expected.into_data());
}

#[test]
fn scale_zero_is_text_only_and_ones_are_the_vanilla_adapter() {
    let batch = BatchLayout::guided(2);
    let always = ConditionSchedule::default();
    let vanilla = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), adapter())
        .build()
        .expect("fits");
    let text_only = run(&AttentionPlan::plain(&cross_sites()), batch, vec![], always);

    let off = ConditionSchedule::new(0.0, StepWindow::ALWAYS);
    assert_eq!(run(&plan_of(block()), batch, vec![cat()], off), text_only);

    let ones = ConceptMask::new(Tensor::ones([1, 24], &Device::flex()), Grid::new(4, 6))
        .expect("24 cells");
    let gated = run(
        &plan_of(Fixed::required()),
        batch,
        vec![cat().mask(ones)],
        always,
    );
    let plain = run(&vanilla, batch, vec![cat()], always);
    let difference = max_difference(&gated, &plain);
    assert!(
        difference < 1e-6,
        "a gate of ones changes the adapter by {difference}"
    );
    assert!(
        max_difference(&plain, &text_only) > 0.1,
        "the adapter must act at all"
    );
}

#[test]
fn a_gate_is_the_formula() {
    let call = cross_call(0, 1, 0);
    let grid = Grid::new(4, 6);
    let mask = noise([1, 24], 3.0).abs();
    let plan = plan_of(Fixed::required());
    let concept = cat()
        .scale(0.5)
        .mask(ConceptMask::new(mask.clone(), grid).expect("24 cells"));
    let mut session =
        Session::new(&plan, BatchLayout::unguided(1), [concept]).expect("valid session");
    let out = session
        .attend(SiteId::new(0), call.clone())
        .expect("a valid call");

    let tokens = noise([1, 4, CONTEXT], 7.0);
    let project = |seed: f32| {
        let weight: Tensor<2> = noise([HEADS * HEAD_DIM, CONTEXT], seed);
        let x = tokens.clone().matmul(weight.transpose().unsqueeze());
        x.reshape([1, 4, HEADS, HEAD_DIM]).swap_dims(1, 2)
    };
    let image = kernel::attention(call.query.clone(), project(1.0), project(1.5), None);
    let text = kernel::attention(call.query, call.key, call.value, None);
    let expected = text + image * mask.reshape([1, 1, 24, 1]) * 0.5;
    // a few roundings of the largest values, which are near 10: their spacing is 1e-6
    let largest: f32 = expected.clone().abs().max().into_scalar();
    let difference: f32 = (out - expected).abs().max().into_scalar();
    assert!(
        difference < 4.0 * f32::EPSILON * largest,
        "differs from the formula by {difference}, the largest value is {largest}"
    );
}

#[test]
fn masks_flow_from_the_concept_block_to_later_sites_and_the_next_step() {
    let plan = plan_of(block());
    let mut session = Session::new(&plan, BatchLayout::guided(1), [cat()]).expect("valid session");
    for step in 0..2 {
        session.begin_step(StepInfo::new(step, 2, 0.0));
        for site in 0..3 {
            let stamp = |session: &Session| {
                session
                    .board()
                    .latest(0)
                    .and_then(ConceptMask::stamp)
                    .map(|stamp| (stamp.site.index(), stamp.step))
            };
            let before = stamp(&session);
            session
                .attend(SiteId::new(site), cross_call(site, 2, step))
                .expect("a valid call");
            match site {
                0 => assert_eq!(
                    before,
                    (step > 0).then_some((1, step - 1)),
                    "earlier sites use the step before"
                ),
                1 => assert_eq!(
                    stamp(&session),
                    Some((1, step)),
                    "the concept block publishes"
                ),
                _ => assert_eq!(before, Some((1, step)), "later sites use this step"),
            }
        }
    }
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let plan = plan_of(block());
    let one = run(
        &plan,
        BatchLayout::unguided(1),
        vec![cat()],
        ConditionSchedule::default(),
    );
    let batch = BatchLayout::unguided(3);
    let mut session = Session::new(&plan, batch, [cat()]).expect("valid session");
    for step in 0..2 {
        for site in 0..3 {
            let mut call = cross_call(site, 1, step);
            let other = cross_call(site, 2, step + 5);
            call.query = Tensor::cat(vec![other.query.clone(), call.query], 0);
            call.key = Tensor::cat(vec![other.key.clone(), call.key], 0);
            call.value = Tensor::cat(vec![other.value.clone(), call.value], 0);
            let out = session
                .attend(SiteId::new(site), call)
                .expect("a valid call");
            let last: Vec<f32> = out
                .slice_dim(0, 2..3)
                .into_data()
                .try_to_vec()
                .expect("f32");
            let difference = max_difference(&[last], &one[step * 3 + site..=step * 3 + site]);
            assert!(difference < 1e-5, "site {site}: {difference}");
        }
    }
}

#[test]
fn concepts_commute() {
    let dog = || {
        let tokens = |seed| noise([1, 4, CONTEXT], seed);
        Concept::new("dog", [vec![5..6]])
            .reference(ReferenceTokens::new(tokens(17.0), tokens(18.0)))
    };
    let batch = BatchLayout::guided(1);
    let ab = run(
        &plan_of(block()),
        batch,
        vec![cat(), dog()],
        ConditionSchedule::default(),
    );
    let ba = run(
        &plan_of(block()),
        batch,
        vec![dog(), cat()],
        ConditionSchedule::default(),
    );
    let difference = max_difference(&ab, &ba);
    assert!(
        difference < 1e-5,
        "the order of concepts changes the output by {difference}"
    );
}

#[test]
fn text_map_rows_sum_to_one_and_captures_respect_their_budget() {
    let plan = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), CaptureLayer::new())
        .build()
        .expect("fits");
    let everything = Concept::new("all", [vec![0..TEXT]]);
    let mut session = Session::new(&plan, BatchLayout::guided(1), [everything])
        .expect("valid session")
        .with_captures(Captures::with_budget(24 * 4));
    for site in [0, 2] {
        session
            .attend(SiteId::new(site), cross_call(site, 2, 0))
            .expect("a valid call");
    }
    let captures = session.finish();
    assert_eq!(
        (
            captures.iter().count(),
            captures.dropped(),
            captures.bytes()
        ),
        (1, 1, 96)
    );
    // the mean over all text tokens of probabilities that sum to 1
    let map: Vec<f32> = captures
        .iter()
        .next()
        .expect("one")
        .map
        .values()
        .to_data()
        .try_to_vec()
        .expect("f32");
    assert!(
        map.iter().all(|p| (p - 1.0 / TEXT as f32).abs() < 1e-6),
        "{map:?}"
    );
}
