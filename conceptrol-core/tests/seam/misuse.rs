//! Layers in a window, and what is an error.

use conceptrol_core::{
    AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept, ConditionSchedule, Session,
    SiteId, SiteKind, SiteSelector, StepWindow,
    mask::{
        ConceptBlock, ConceptMaskSource, Ema, Fixed, Local, OwnMask, Product, Threshold, Union,
    },
    processors::{
        CaptureLayer, ConceptrolLayer, IpAdapterLayer, IpProjection, JointConditionLayer,
        ScheduledLayer,
    },
};

use crate::{
    adapter, block, cat, chain, cross_call, cross_sites, max_difference, noise, plan_of, run,
};

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
        chain(&error),
        "before, in Conceptrol(concept, Max): the mask of concept 0 was not applied; is an adapter layer missing?"
    );

    let error = session
        .attend(SiteId::new(0), cross_call(0, 3, 0))
        .unwrap_err();
    assert_eq!(chain(&error), "before: the call has 3 rows, the session 2");
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
        chain(&error),
        "before, in Conceptrol(concept, Max) > IpAdapter(scale 1): concept `cat` has no reference picture"
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
        chain(&error),
        "before, in Capture(0..1): concept `cat` ends at token 9, the text has 6"
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
    // a terminal must not obey a name, and a message must not be a megabyte
    assert_eq!(
        new(Concept::new("\x1b[31mcat", [vec![3..3]])),
        r"concept `\u{1b}[31mcat`: it has no tokens"
    );
    let long = SiteSelector::named("x".repeat(1 << 20))
        .resolve(&sites)
        .unwrap_err();
    assert!(long.to_string().len() < 500, "{}", long.to_string().len());
    // a range that ends before it begins
    let reversed = std::ops::Range { start: 5, end: 3 };
    assert_eq!(
        new(Concept::new("cat", [vec![1..2, reversed]])),
        "concept `cat`: its tokens 5..3 end before they begin"
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

/// A selector of a source or of a scale that picks sites where nothing can be read or scaled.
#[test]
fn sites_that_cannot_serve_are_an_error() {
    let site = |i: usize| {
        let kind = if i.is_multiple_of(2) {
            SiteKind::SelfAttention
        } else {
            SiteKind::CrossAttention
        };
        AttentionSite::new(format!("block{}.attn{}", i / 2, i % 2 + 1), kind, 2, 8, 1)
    };
    let sites = AttentionSites::new((0..16).map(site));
    let block = |selector| ConceptBlock::cross(selector);
    let build = |installed: SiteSelector, source: Box<dyn ConceptMaskSource>| {
        AttentionPlan::builder(&sites)
            .layer(installed, ConceptrolLayer::new(source))
            .build()
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let refused = |selector: SiteSelector, message: &str| {
        let cross = SiteSelector::cross;
        assert_eq!(
            build(cross(), Box::new(block(selector.clone()))),
            Err(message.into())
        );
        // however deep in other sources
        let nested = Ema::new(OwnMask::over(Product(Local::new(), block(selector))), 0.5);
        let nested = Threshold::new(Union(nested.expect("in range"), Fixed::required()), 0.5);
        assert_eq!(
            build(cross(), Box::new(nested.expect("finite"))),
            Err(message.into())
        );
    };
    let those = "such are: block3.attn2, block0.attn2, block1.attn2, block2.attn2 and 4 more";
    let attn1 = || SiteSelector::named("block3.attn1");
    refused(
        attn1(),
        &format!("block3.attn1 is a self-attention site, not one that sees words; {those}"),
    );
    refused(
        SiteSelector::named("block4.attn2").or(attn1()),
        &format!("block3.attn1 is a self-attention site, not one that sees words; {those}"),
    );
    refused(
        SiteSelector::under("block3").and(SiteSelector::self_attention()),
        "(block3.* and self-attention) selects no site that sees words; such are: \
         block3.attn2, block0.attn2, block1.attn2, block2.attn2 and 4 more",
    );
    refused(
        SiteSelector::named("block3.atn2"),
        "no site matches `block3.atn2`; did you mean `block3.attn2`?",
    );
    let good = || block(SiteSelector::under("block3").except(attn1()));
    assert_eq!(build(SiteSelector::cross(), Box::new(good())), Ok(()));
    // a block that the layer never sees would not be published either
    let elsewhere = SiteSelector::cross().and(SiteSelector::under("block1"));
    assert_eq!(
        build(elsewhere, Box::new(good())),
        Err(
            "block3.* selects no site that sees words and has the layer; such are: block1.attn2"
                .into()
        )
    );

    // a scale of an adapter at a site without one
    let weights = || IpProjection::new(noise([16, 5], 1.0), noise([16, 5], 2.0));
    let adapter = |scaled| {
        let cross = sites.iter().filter(|site| site.kind.sees_text());
        let weights = cross.map(|site| (site.name.clone(), weights()));
        AttentionPlan::builder(&sites)
            .layer(
                SiteSelector::cross(),
                IpAdapterLayer::new(weights).site_scale(scaled, 0.5),
            )
            .build()
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(adapter(SiteSelector::under("block3")), Ok(()));
    assert_eq!(
        adapter(attn1()),
        Err(format!(
            "block3.attn1 is a self-attention site, not one that has the adapter; {those}"
        ))
    );
}
