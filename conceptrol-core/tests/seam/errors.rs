//! Where an error came from, and what each level of it says.

use std::error::Error;

use burn::tensor::Tensor;
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan,
    AttentionProcessor, AttentionSite, BatchLayout, Concept, Identity, InstallError, MaskError,
    Session, SiteId, SiteSelector, Stack, StepWindow, layer_fn,
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery},
    processors::{CaptureLayer, ConceptrolLayer, ScheduledLayer},
};

use crate::{adapter, block, cat, chain, cross_call, cross_sites};

#[derive(Debug)]
struct Passes(ArcProcessor);

impl AttentionProcessor for Passes {
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        self.0.attend(call, cx)
    }
}

#[derive(Debug)]
struct Fails;

impl AttentionProcessor for Fails {
    fn attend(
        &self,
        _: AttentionCall,
        _: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let disk = std::io::Error::other(InstallError::EmptyBatch);
        Err(AttentionError::Processor(disk.into()))
    }
}

fn passes() -> impl conceptrol_core::ProcessorLayer {
    layer_fn(|_: &AttentionSite, inner| Passes(inner))
}

fn fails() -> impl conceptrol_core::ProcessorLayer {
    layer_fn(|_: &AttentionSite, _| Fails)
}

fn error_of(plan: &AttentionPlan, concept: Concept) -> AttentionError {
    let mut session = Session::new(plan, BatchLayout::guided(1), [concept]).expect("valid");
    let out = session.attend(SiteId::new(2), cross_call(2, 2, 0));
    out.expect_err("refused")
}

#[test]
fn an_error_names_the_site_and_the_layers_down_to_the_one_that_failed() {
    let sites = cross_sites();
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::cross(), passes())
        .layer(SiteSelector::cross(), CaptureLayer::new())
        .layer(SiteSelector::cross(), fails())
        .layer(SiteSelector::cross(), passes())
        .build()
        .expect("fits");
    let error = error_of(&plan, cat());
    assert_eq!(
        error.to_string(),
        "after, in Passes > Capture(0..1) > Fails"
    );
    let AttentionError::At {
        site,
        layers,
        source,
    } = &error
    else {
        panic!("no place in {error:?}");
    };
    assert_eq!((site.as_str(), layers.len()), ("after", 3));
    // an error from elsewhere can be had back
    let AttentionError::Processor(own) = &**source else {
        panic!("not the processor's error: {source:?}");
    };
    assert!(own.downcast_ref::<std::io::Error>().is_some());

    // within layers of layers
    let half = StepWindow::new(0.0, 1.0).expect("valid");
    let plan = AttentionPlan::builder(&sites)
        .layer(
            SiteSelector::cross(),
            Stack::new(passes(), Stack::new(Identity, passes())),
        )
        .layer(SiteSelector::cross(), ScheduledLayer::new(half, fails()))
        .build()
        .expect("fits");
    assert_eq!(
        error_of(&plan, cat()).to_string(),
        "after, in Passes > Passes > Scheduled(0..1: Fails) > Fails"
    );
}

#[test]
fn a_failing_source_is_named_by_its_layer() {
    #[derive(Debug)]
    struct NoMask;
    impl ConceptMaskSource for NoMask {
        fn mask(
            &self,
            _: &MaskQuery<'_>,
            _: &mut MaskBoard,
        ) -> Result<Option<ConceptMask>, MaskError> {
            Err(MaskError::Source("the file of masks is gone".into()))
        }
    }
    let plan = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), passes())
        .layer(SiteSelector::cross(), ConceptrolLayer::new(NoMask))
        .layer(SiteSelector::cross(), adapter())
        .build()
        .expect("fits");
    assert_eq!(
        chain(&error_of(&plan, cat())),
        "after, in Passes > Conceptrol(NoMask): the file of masks is gone"
    );
    let lonely = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), ConceptrolLayer::new(block()))
        .build()
        .expect("the plan cannot know");
    assert_eq!(
        chain(&error_of(&lonely, cat())),
        "after, in Conceptrol(concept, Max): the mask of concept 0 was not applied; is an adapter layer missing?"
    );
}

#[test]
fn no_level_of_an_error_repeats_the_one_below() {
    let at = |site: &str, source: AttentionError| AttentionError::At {
        site: site.into(),
        layers: vec!["Conceptrol".into()],
        source: Box::new(source),
    };
    let io = || std::io::Error::other("the disk is full");
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(at("attn2", AttentionError::UnappliedGate { concept: 1 })),
        Box::new(at("attn2", MaskError::NoText.into())),
        Box::new(at("attn2", MaskError::Source(Box::new(io())).into())),
        Box::new(at("attn2", AttentionError::Processor(io().into()))),
        Box::new(at(
            "attn2",
            AttentionError::Processor(Box::new(at(
                "other",
                AttentionError::Processor(std::io::Error::other(MaskError::NoText).into()),
            ))),
        )),
        Box::new(MaskError::Source(Box::new(InstallError::EmptyBatch))),
    ];
    for error in &errors {
        let mut level: &dyn Error = error.as_ref();
        while let Some(source) = level.source() {
            let (message, below) = (level.to_string(), source.to_string());
            assert!(!message.contains(&below), "`{message}` repeats `{below}`");
            level = source;
        }
    }
}
