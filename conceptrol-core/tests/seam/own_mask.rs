//! The user's mask and the one read from attention, in both families.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ConditionSchedule, Grid, MaskRole, Session, SiteId,
    SiteSelector,
    mask::{ConceptBlock, ConceptMask, ConceptMaskSource, Fixed, MaskBoard, OwnMask},
    processors::{ConceptrolLayer, JointConditionLayer},
};

use crate::{
    ask::{ask, values},
    block, cat, dense, joint, noise, plan_of, run,
};

/// 0..1 on a fine grid that no site divides.
fn drawn() -> ConceptMask {
    let grid = Grid::new(13, 17);
    ConceptMask::new(noise([1, grid.cells()], 9.0).abs() / 1.5, grid).expect("221 cells")
}

fn filled(value: f32) -> ConceptMask {
    let grid = Grid::new(13, 17);
    let values = Tensor::full([1, grid.cells()], value, &Device::flex());
    ConceptMask::new(values, grid).expect("221 cells")
}

#[test]
fn the_mask_is_the_product_and_the_attention_goes_on_being_published() {
    let (mut with, mut without) = (MaskBoard::new(1), MaskBoard::new(1));
    let source = OwnMask::over(block());
    for (site, step) in [(0, 0), (1, 0), (2, 0), (0, 1)] {
        let of = |source: &dyn ConceptMaskSource, concept, board: &mut MaskBoard| {
            let mask = ask(&source, &concept, (site, step, 2), board);
            values(&mask.expect("no error").expect("a mask"))
        };
        let product = of(&source, cat().mask(drawn()), &mut with);
        let read = of(&block(), cat(), &mut without);
        let own = of(
            &Fixed::required(),
            cat().mask(drawn()),
            &mut MaskBoard::new(1),
        );
        let expected: Vec<f32> = read
            .chunks_exact(own.len())
            .flat_map(|row| row.iter().zip(&own).map(|(a, b)| a * b))
            .collect();
        assert_eq!(product, expected, "site {site} of step {step}");
    }
    let published = |board: &MaskBoard| values(board.latest(0).expect("published"));
    assert_eq!(published(&with), published(&without));
    let stamp = with.latest(0).and_then(ConceptMask::stamp);
    assert_eq!(stamp.map(|stamp| stamp.site.index()), Some(1));
}

#[test]
fn a_mask_of_ones_changes_no_bit_and_one_of_zeros_leaves_the_text() {
    let batch = BatchLayout::guided(2);
    let always = ConditionSchedule::default();
    let masked = |mask| run(&plan_of(OwnMask::over(block())), batch, vec![mask], always);
    let without = run(&plan_of(block()), batch, vec![cat()], always);
    assert_eq!(masked(cat()), without, "no mask of one's own");
    assert_eq!(masked(cat().mask(filled(1.0))), without);
    let text = run(
        &AttentionPlan::plain(&crate::cross_sites()),
        batch,
        vec![],
        always,
    );
    assert_eq!(masked(cat().mask(filled(0.0))), text);
    assert_ne!(masked(cat().mask(drawn())), without);
}

#[test]
fn a_mask_instead_of_the_attention_is_that_mask() {
    let batch = BatchLayout::guided(1);
    let always = ConditionSchedule::default();
    // its words are nowhere: attention must not be asked
    let mut concept = cat().mask(drawn()).mask_role(MaskRole::Instead);
    concept.spans = vec![vec![40..41]];
    let instead = run(
        &plan_of(OwnMask::over(block())),
        batch,
        vec![concept.clone()],
        always,
    );
    let fixed = run(
        &plan_of(Fixed::required()),
        batch,
        vec![concept.clone()],
        always,
    );
    assert_eq!(instead, fixed);
    // without words there is nothing to be within
    concept.spans.clear();
    let wordless = concept.mask_role(MaskRole::Within);
    let alone = run(
        &plan_of(OwnMask::over(block())),
        batch,
        vec![wordless],
        always,
    );
    assert_eq!(alone, fixed);
}

#[test]
fn in_joint_attention_the_users_mask_multiplies_the_one_of_mean_one() {
    let plan = |source: Box<dyn ConceptMaskSource>| {
        AttentionPlan::builder(&joint::sites())
            .layer(SiteSelector::joint(), ConceptrolLayer::new(source))
            .layer(SiteSelector::joint(), JointConditionLayer::new())
            .build()
            .expect("fits")
    };
    let block = || ConceptBlock::joint(SiteSelector::named("a"));
    let outputs = |plan: &AttentionPlan, concepts: [Concept; 2]| {
        let batch = BatchLayout::unguided(1);
        let mut session = Session::new(plan, batch, concepts).expect("valid session");
        let outputs = [0, 1].map(|site| {
            let out = session.attend(SiteId::new(site), joint::call());
            out.expect("a valid call")
        });
        let masks = [0, 1].map(|i| values(session.board().latest(i).expect("published")));
        (outputs, masks)
    };
    let within = |mask: Option<ConceptMask>| {
        let [mut a, b] = joint::concepts();
        a.mask = mask;
        outputs(&plan(Box::new(OwnMask::over(block()))), [a, b])
    };
    let data = |outputs: [Tensor<4>; 2]| outputs.map(Tensor::into_data);
    let (without, read) = outputs(&plan(Box::new(block())), joint::concepts());
    assert_eq!(data(within(None).0), data(without.clone()));
    assert_eq!(data(within(Some(filled(1.0))).0), data(without));

    let (outputs, published) = within(Some(drawn()));
    assert_eq!(published, read, "the map as it was read");
    let own = values(&drawn().resized(joint::LATENTS, conceptrol_core::mask::ResizeFilter::Area));
    for (out, [a, b]) in outputs
        .into_iter()
        .zip([[vec![1.0; 6], vec![1.0; 6]], read])
    {
        let a: Vec<f32> = a.iter().zip(&own).map(|(read, own)| read * own).collect();
        let expected = joint::attention(joint::condition_bias(&[1.0, 0.5], &[a, b]));
        dense::close(&out, &expected);
    }
}
