//! How a plan shows itself.

use burn::tensor::Tensor;
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan,
    AttentionProcessor, AttentionSite, AttentionSites, Identity, SiteKind, SiteSelector, Stack,
    StepWindow, layer_fn,
    mask::{Ema, OwnMask},
    processors::{CaptureLayer, ConceptrolLayer, ScheduledLayer},
};

use crate::{adapter, block, cross_sites};

#[derive(Debug)]
struct Sharpen {
    inner: ArcProcessor,
}

impl AttentionProcessor for Sharpen {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        self.inner.attend(call, cx)
    }
}

fn sharpen() -> impl conceptrol_core::ProcessorLayer {
    layer_fn(|_: &AttentionSite, inner| Sharpen { inner })
}

#[test]
fn a_plan_shows_its_stacks_from_the_outside_in() {
    assert_eq!(
        AttentionPlan::plain(&cross_sites()).to_string(),
        "3 sites\n3 cross-attention  Sdpa"
    );
    let smooth = Ema::new(OwnMask::over(block()), 0.5).expect("in range");
    let plan = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::named("after"), sharpen())
        .layer(SiteSelector::cross(), ConceptrolLayer::new(smooth))
        .layer(
            SiteSelector::cross(),
            adapter()
                .scale(0.5)
                .site_scale(SiteSelector::named("before"), 2.0),
        )
        .build()
        .expect("fits");
    assert_eq!(
        plan.to_string(),
        "\
3 sites
1 cross-attention  Conceptrol(Ema(0.5, OwnMask over concept, Max)) > IpAdapter(scale 1) > Sdpa
1 cross-attention  Conceptrol(Ema(0.5, OwnMask over concept, Max)) > IpAdapter(scale 0.5) > Sdpa
1 cross-attention  Sharpen > Conceptrol(Ema(0.5, OwnMask over concept, Max)) > IpAdapter(scale 0.5) > Sdpa"
    );
}

#[test]
fn layers_of_layers_show_what_they_are_made_of() {
    let half = StepWindow::new(0.5, 1.0).expect("valid");
    let both = Stack::new(
        sharpen(),
        Stack::new(CaptureLayer::new(), Stack::new(Identity, sharpen())),
    );
    let plan = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), both)
        .layer(
            SiteSelector::cross(),
            ScheduledLayer::new(half, Stack::new(sharpen(), adapter())),
        )
        .build()
        .expect("fits");
    assert_eq!(
        plan.to_string(),
        "\
3 sites
3 cross-attention  Sharpen > Capture(0..1) > Sharpen > Scheduled(0.5..1: Sharpen > IpAdapter(scale 1)) > Sdpa"
    );
}

#[test]
fn rarer_stacks_name_their_sites() {
    let site = |i: usize| {
        let kind = if i.is_multiple_of(2) {
            SiteKind::SelfAttention
        } else {
            SiteKind::CrossAttention
        };
        AttentionSite::new(format!("block{}.attn{}", i / 2, i % 2 + 1), kind, 1, 8, 1)
    };
    let sites = AttentionSites::new((0..32).map(site));
    let some = ["block1", "block2", "block3", "block4", "block5", "block6"]
        .map(SiteSelector::under)
        .into_iter()
        .reduce(SiteSelector::or)
        .expect("six");
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::cross().and(some), CaptureLayer::new())
        .build()
        .expect("fits");
    assert_eq!(
        plan.to_string(),
        "\
32 sites
16 self-attention   Sdpa
10 cross-attention  Sdpa
 6 cross-attention  Capture(0..1) > Sdpa
     at block1.attn2, block2.attn2, block3.attn2, block4.attn2 and 2 more"
    );
}
