//! Layers in a window, and what is an error.

use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, ConditionSchedule, Session, SiteId, SiteSelector,
    StepWindow,
    mask::ConceptBlock,
    processors::{
        CaptureLayer, ConceptrolLayer, IpAdapterLayer, JointConditionLayer, ScheduledLayer,
    },
};

use crate::{adapter, block, cat, cross_call, cross_sites, max_difference, plan_of, run};

#[test]
fn scheduled_layers_act_in_their_window() {
    let half = StepWindow::new(0.5, 1.0).expect("valid");
    let plan = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), ScheduledLayer::new(half, adapter()))
        .build()
        .expect("fits");
    let batch = BatchLayout::guided(1);
    let scheduled = run(&plan, batch, vec![cat()], ConditionSchedule::default());
    let text_only = run(
        &AttentionPlan::plain(&cross_sites()),
        batch,
        vec![],
        ConditionSchedule::default(),
    );
    assert_eq!(scheduled[..3], text_only[..3]);
    assert!(
        max_difference(&scheduled[3..], &text_only[3..]) > 0.1,
        "the second step has the adapter"
    );
}

#[test]
fn misuse_is_a_clear_error() {
    let sites = cross_sites();
    let lonely = AttentionPlan::builder(&sites)
        .layer(SiteSelector::cross(), ConceptrolLayer::new(block()))
        .build()
        .expect("the plan cannot know");
    let mut session =
        Session::new(&lonely, BatchLayout::guided(1), [cat()]).expect("valid session");
    let error = session
        .attend(SiteId::new(0), cross_call(0, 2, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "before: the mask of concept 0 was not applied; is an adapter layer missing?"
    );

    let error = session
        .attend(SiteId::new(0), cross_call(0, 3, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "before: the call has 3 rows, the session 2"
    );
    let error = session
        .attend(SiteId::new(9), cross_call(0, 2, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "site number 9 is beyond the 3 sites of the plan"
    );

    let no_picture = Concept::new("cat", [vec![2..4]]);
    let mut session = Session::new(&plan_of(block()), BatchLayout::guided(1), [no_picture])
        .expect("valid session");
    let error = session
        .attend(SiteId::new(0), cross_call(0, 2, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "before: concept `cat` has no reference picture"
    );

    let late = Concept::new("cat", [vec![5..9]]);
    let capture = AttentionPlan::builder(&sites)
        .layer(SiteSelector::cross(), CaptureLayer::new())
        .build()
        .expect("fits");
    let mut session =
        Session::new(&capture, BatchLayout::guided(1), [late]).expect("valid session");
    let error = session
        .attend(SiteId::new(0), cross_call(0, 2, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "before: concept `cat` ends at token 9, the text has 6"
    );

    let new = |concept: Concept| {
        Session::new(&capture, BatchLayout::guided(2), [concept])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        new(Concept::new("cat", [vec![3..3]])),
        "concept `cat`: it has no tokens"
    );
    assert_eq!(
        new(cat().scale(f32::NAN)),
        "concept `cat`: scale NaN is not finite"
    );
    assert_eq!(
        new(Concept::new("cat", vec![vec![1..2]; 3])),
        "concept `cat`: spans for 3 pictures, the batch has 2"
    );

    let error = AttentionPlan::builder(&sites)
        .layer(SiteSelector::all(), JointConditionLayer::new())
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "before is a cross-attention site, JointCondition serves joint-attention sites only"
    );
    let error = AttentionPlan::builder(&sites)
        .layer(
            SiteSelector::all(),
            ConceptrolLayer::new(ConceptBlock::sd15()),
        )
        .build()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no site matches `up_blocks.1.attentions.0"),
        "{error}"
    );
    let error = AttentionPlan::builder(&sites)
        .layer(SiteSelector::all(), adapter().scale(f32::NAN))
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the scale of the adapter is NaN, it must be finite"
    );
    let error = AttentionPlan::builder(&sites)
        .layer(SiteSelector::all(), IpAdapterLayer::new([]))
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "the adapter has no weights for before");
}
