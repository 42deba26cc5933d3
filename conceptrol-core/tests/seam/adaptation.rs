//! Additions to modules: nothing where they do not act, and each alone in its own region.

use std::{collections::HashMap, sync::Arc};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    Adaptation, AttentionPlan, AttentionSites, BatchLayout, Concept, ConditionSchedule, Grid,
    Ground, LowRank, MaskRole, Session, SiteId, StepInfo, StepWindow,
    mask::ConceptMask,
    models::{
        nn::{Conv2d, Linear},
        weights::Weights,
    },
};

use crate::noise;

const GRID: Grid = Grid::new(4, 6);
const BATCH: BatchLayout = BatchLayout::guided(2);

fn weights() -> Weights {
    Weights::random(1, &Device::flex(), FloatDType::F32)
}

fn linear() -> Linear {
    Linear::new(&weights().at("to_q"), 5, 7, true)
}

fn low_rank(seed: f32) -> LowRank {
    LowRank {
        down: Some(noise([3, 5], seed)),
        up: noise([7, 3], seed + 1.0),
    }
}

fn adaptation(module: &str, change: LowRank) -> Adaptation {
    Adaptation::new(
        "style",
        Arc::new(HashMap::from([(module.to_owned(), vec![change])])),
    )
}

/// A concept that acts in a part of the picture: 1 in these columns, 0 elsewhere.
fn concept(columns: std::ops::Range<usize>) -> Concept {
    let cells =
        (0..GRID.cells()).map(|cell| f32::from(u8::from(columns.contains(&(cell % GRID.width)))));
    let values = Tensor::<1>::from_floats(cells.collect::<Vec<_>>().as_slice(), &Device::flex());
    let mask = ConceptMask::new(values.unsqueeze(), GRID).expect("as many values as cells");
    Concept::new("thing", [vec![1..2]])
        .mask(mask)
        .mask_role(MaskRole::Instead)
}

fn session(adaptations: Vec<Adaptation>, concepts: Vec<Concept>) -> Session {
    let sites = AttentionSites::new([]);
    let builder = AttentionPlan::builder(&sites);
    let builder = adaptations
        .into_iter()
        .fold(builder, |builder, one| builder.adapt(one));
    let plan = builder.build().expect("a plan");
    Session::new(&plan, BATCH, concepts).expect("a session")
}

fn tokens() -> Tensor<3> {
    noise([BATCH.rows(), GRID.cells(), 5], 3.0)
}

fn run(mut session: Session, ground: Ground) -> Tensor<3> {
    linear().adapted(tokens(), ground, &mut session)
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    let values: Vec<f32> = tensor.into_data().try_to_vec().expect("f32");
    values.into_iter().map(f32::to_bits).collect()
}

const LATENTS: Ground = Ground::Latents(GRID);

#[test]
fn without_strength_and_without_any_every_bit_is_the_same() {
    let plain = bits(linear().forward(tokens()));
    let none = ConditionSchedule::new(0.0, StepWindow::ALWAYS);
    let weak = adaptation("to_q", low_rank(0.0)).strength(none);
    let elsewhere = adaptation("to_k", low_rank(0.0));
    for adaptations in [vec![], vec![weak], vec![elsewhere]] {
        assert_eq!(bits(run(session(adaptations, vec![]), LATENTS)), plain);
    }
    let acting = session(vec![adaptation("to_q", low_rank(0.0))], vec![]);
    assert_ne!(bits(run(acting, LATENTS)), plain);
}

#[test]
fn an_addition_is_a_product_of_its_matrices() {
    let change = low_rank(0.0);
    let half = ConditionSchedule::new(0.5, StepWindow::ALWAYS);
    let adaptations = vec![adaptation("to_q", change.clone()).strength(half)];
    let found = run(session(adaptations, vec![]), LATENTS);
    let matrix = change.up.matmul(change.down.expect("low rank"));
    let added = tokens().matmul(matrix.transpose().unsqueeze());
    let expected = linear().forward(tokens()) + added * 0.5;
    let difference = (found - expected).abs().max().into_scalar::<f32>();
    assert!(difference < 1e-5, "{difference}");
}

/// Two gated adapters with disjoint masks: in the region of each, the bits of it alone; outside of both, those of none.
#[test]
fn disjoint_masks_keep_adapters_apart() {
    let left = || adaptation("to_q", low_rank(0.0)).concept(0);
    let right = || adaptation("to_q", low_rank(50.0)).concept(1);
    let concepts = || vec![concept(0..2), concept(3..6)];
    let column = |tokens: Tensor<3>, column: usize| {
        let grid = tokens.reshape([BATCH.rows(), GRID.height, GRID.width, 7]);
        bits(grid.narrow(2, column, 1))
    };
    let both = run(session(vec![left(), right()], concepts()), LATENTS);
    let alone = |adaptation: Adaptation| run(session(vec![adaptation], concepts()), LATENTS);
    let everywhere = |seed| {
        run(
            session(vec![adaptation("to_q", low_rank(seed))], vec![]),
            LATENTS,
        )
    };
    let plain = linear().forward(tokens());
    for x in 0..GRID.width {
        let (expected, ungated) = match x {
            0..2 => (alone(left()), everywhere(0.0)),
            2 => (plain.clone(), plain.clone()),
            _ => (alone(right()), everywhere(50.0)),
        };
        assert_eq!(column(both.clone(), x), column(expected, x), "column {x}");
        assert_eq!(
            column(both.clone(), x),
            column(ungated, x),
            "column {x}, ungated"
        );
    }
}

#[test]
fn text_is_changed_at_the_words_of_the_conditional_rows() {
    let gated = adaptation("to_q", low_rank(0.0)).concept(0);
    let found = run(session(vec![gated], vec![concept(0..2)]), Ground::Text);
    let plain = linear().forward(tokens());
    let everywhere = run(
        session(vec![adaptation("to_q", low_rank(0.0))], vec![]),
        Ground::Text,
    );
    for row in 0..BATCH.rows() {
        for token in 0..GRID.cells() {
            let at = |x: &Tensor<3>| bits(x.clone().narrow(0, row, 1).narrow(1, token, 1));
            let acts = row >= BATCH.images && token == 1;
            let expected = if acts { at(&everywhere) } else { at(&plain) };
            assert_eq!(at(&found), expected, "row {row}, token {token}");
        }
    }
}

#[test]
fn vectors_for_the_whole_picture_are_left_out_where_there_is_a_place() {
    let time = || noise([1, 5], 7.0);
    let gated = adaptation("to_q", low_rank(0.0)).concept(0);
    let mut session_ = session(vec![gated], vec![concept(0..2)]);
    let plain = bits(linear().forward(time()));
    assert_eq!(
        bits(linear().adapted(time(), Ground::Whole, &mut session_)),
        plain
    );
    let mut everywhere = session(vec![adaptation("to_q", low_rank(0.0))], vec![]);
    assert_ne!(
        bits(linear().adapted(time(), Ground::Whole, &mut everywhere)),
        plain
    );
}

#[test]
fn nothing_is_added_before_the_first_mask() {
    let words = Concept::new("thing", [vec![1..2]]);
    let gated = adaptation("to_q", low_rank(0.0)).concept(0);
    let plain = bits(linear().forward(tokens()));
    assert_eq!(bits(run(session(vec![gated], vec![words]), LATENTS)), plain);
}

#[test]
fn convolutions_with_strides_are_gated_on_their_output() {
    let conv = Conv2d::new(&weights().at("conv"), 5, 7, 3, 2, 1);
    let pixels = noise([BATCH.rows(), 5, 8, 12], 1.0);
    let change = LowRank {
        down: Some(noise([2, 5 * 9], 2.0)),
        up: noise([7, 2], 4.0),
    };
    let everywhere = conv.adapted(
        pixels.clone(),
        &mut session(vec![adaptation("conv", change.clone())], vec![]),
    );
    let gated = adaptation("conv", change.clone()).concept(0);
    let found = conv.adapted(
        pixels.clone(),
        &mut session(vec![gated], vec![concept(0..2)]),
    );
    let plain = conv.forward(pixels.clone());
    let full = LowRank {
        up: change.up.clone().matmul(change.down.expect("low rank")),
        down: None,
    };
    let same = conv.adapted(pixels, &mut session(vec![adaptation("conv", full)], vec![]));
    let difference = (same - everywhere.clone()).abs().max().into_scalar::<f32>();
    assert!(difference < 1e-4, "of full rank: {difference}");
    for x in 0..GRID.width {
        let column = |pixels: &Tensor<4>| bits(pixels.clone().narrow(3, x, 1));
        let expected = if x < 2 {
            column(&everywhere)
        } else {
            column(&plain)
        };
        assert_eq!(column(&found), expected, "column {x}");
    }
}

/// Text keys and values are kept, unless what is added to them changes.
#[test]
fn kept_keys_follow_a_strength_that_changes() {
    let windowed = ConditionSchedule::new(1.0, StepWindow::after_warmup(0.5).expect("a window"));
    let always = ConditionSchedule::default();
    for (strength, expected) in [(always, 1), (windowed, 2)] {
        let mut session = session(
            vec![adaptation("to_k", low_rank(0.0)).strength(strength)],
            vec![],
        );
        let mut projected = 0;
        for step in 0..2 {
            session.begin_step(StepInfo::new(step, 2, 0.0));
            session.constant(SiteId::new(0), &["to_k", "to_v"], |_| {
                projected += 1;
                (noise([1, 1, 1, 1], 0.0), noise([1, 1, 1, 1], 0.0))
            });
        }
        assert_eq!(projected, expected);
    }
}

#[test]
fn a_plan_says_what_it_adds_and_a_session_needs_its_concept() {
    let sites = AttentionSites::new([]);
    let gated = adaptation("to_q", low_rank(0.0)).concept(1);
    let plan = AttentionPlan::builder(&sites)
        .adapt(gated)
        .build()
        .expect("a plan");
    assert!(
        plan.to_string()
            .ends_with("style(strength 1, concept 1) at 1 modules")
    );
    let error = Session::new(&plan, BATCH, [concept(0..2)]).expect_err("refused");
    assert!(
        error.to_string().contains("below the number of concepts"),
        "{error}"
    );
}
