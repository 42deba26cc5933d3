//! Layers that add a bias, around layers that add one too.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan,
    AttentionProcessor, AttentionSite, BatchLayout, ConditionSchedule, Session, SiteId,
    SiteSelector, StepWindow,
    kernel::LogitBias,
    layer_fn,
    mask::ConceptBlock,
    processors::{ConceptrolLayer, JointConditionLayer},
};

use crate::{adapter, cat, cross_call, cross_sites, dense, joint, noise};

/// Adds a bias and asks what is inside.
#[derive(Debug)]
struct Add {
    bias: LogitBias,
    inner: ArcProcessor,
}

impl AttentionProcessor for Add {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        call.add_bias(self.bias.clone())?;
        self.inner.attend(call, cx)
    }
}

fn add(bias: LogitBias) -> impl conceptrol_core::ProcessorLayer {
    layer_fn(move |_: &AttentionSite, inner| Add {
        bias: bias.clone(),
        inner,
    })
}

#[test]
fn a_bias_above_the_joint_condition_counts() {
    // over words, latents and half of the first condition, and over all of the second
    let rows = noise([1, 2, joint::LEN], 5.0);
    let outer = LogitBias::new(vec![3..11, 12..14], rows);
    let plan = AttentionPlan::builder(&joint::sites())
        .layer(SiteSelector::all(), add(outer.clone()))
        .layer(
            SiteSelector::all(),
            ConceptrolLayer::new(ConceptBlock::joint(SiteSelector::named("b"))),
        )
        .layer(SiteSelector::all(), JointConditionLayer::new())
        .build()
        .expect("fits");
    let mut session = Session::new(&plan, BatchLayout::unguided(1), joint::concepts())
        .expect("valid session")
        .condition(ConditionSchedule::new(0.8, StepWindow::ALWAYS));
    let out = session.attend(SiteId::new(0), joint::call());
    let ones = [vec![1.0; 6], vec![1.0; 6]];
    let outer: Vec<f32> = dense::matrix(&outer, joint::LEN)
        .into_data()
        .try_to_vec()
        .expect("f32");
    let inner = joint::condition_bias(&[0.8, 0.4], &ones);
    let sum = outer.iter().zip(inner).map(|(a, b)| a + b).collect();
    dense::close(&out.expect("a valid call"), &joint::attention(sum));
}

#[test]
fn biases_of_several_layers_add_up_beside_an_adapter() {
    // one for all rows, one for each; overlapping, nested and apart
    let first = LogitBias::new(vec![0..4, 2..6], noise([1, 2, 24], 1.0));
    let second = LogitBias::new(vec![1..3, 4..4, 5..6], noise([4, 3, 24], 2.0));
    let plan = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::named("before"), add(first.clone()))
        .layer(SiteSelector::named("before"), add(second.clone()))
        .layer(SiteSelector::cross(), adapter())
        .build()
        .expect("fits");
    let vanilla = AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), adapter())
        .build()
        .expect("fits");
    let call = || cross_call(0, 4, 0);
    let attend = |plan: &AttentionPlan| {
        let mut session = Session::new(plan, BatchLayout::guided(2), [cat()]).expect("valid");
        let out = session.attend(SiteId::new(0), call());
        out.expect("a valid call")
    };
    let bias = dense::matrix(&first, 6).expand([4, 1, 24, 6]) + dense::matrix(&second, 6);
    let zeros = Tensor::zeros([1, 1, 24, 6], &Device::flex());
    // the adapter's branch has keys of its own, which the bias is not about
    let branch = attend(&vanilla) - dense::attention(call(), zeros);
    let expected = dense::attention(call(), bias) + branch;
    dense::close(&attend(&plan), &expected);
}

#[test]
fn a_bias_that_does_not_fit_is_an_error() {
    for (keys, batch, queries) in [(5..7, 1, 24), (0..2, 3, 24), (0..2, 1, 23)] {
        let mut call = cross_call(0, 4, 0);
        call.add_bias(LogitBias::new(vec![0..2], noise([4, 1, 24], 1.0)))
            .expect("fits");
        let end = keys.end;
        let wrong = LogitBias::new(vec![keys], noise([batch, 1, queries], 1.0));
        let error = call.add_bias(wrong).expect_err("refused");
        let expected = format!(
            "a bias of {batch} rows for {queries} queries and {end} keys, the call has 4, 24 and 6"
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn merging_is_the_sum_of_the_matrices() {
    let bias = |keys: Vec<std::ops::Range<usize>>, batch, seed| {
        let rows = noise([batch, keys.len(), 5], seed);
        LogitBias::new(keys, rows)
    };
    for (a, b) in [
        (vec![0..3], vec![3..6]),
        (vec![0..3], vec![0..3]),
        (vec![0..9], vec![2..4, 3..5, 4..4]),
        (vec![7..7], vec![1..2]),
        (vec![7..7], vec![2..2]),
        (vec![0..4, 0..4, 1..9], vec![8..9, 0..1]),
    ] {
        for (batch_a, batch_b) in [(1, 1), (1, 3), (3, 1), (3, 3)] {
            let (a, b) = (bias(a.clone(), batch_a, 1.0), bias(b.clone(), batch_b, 2.0));
            let batch = batch_a.max(batch_b);
            let matrix = |bias: &LogitBias| dense::matrix(bias, 9).expand([batch, 1, 5, 9]);
            let sum = matrix(&a) + matrix(&b);
            let merged = a.merged(b);
            let mut keys: Vec<_> = merged.keys().to_vec();
            keys.sort_by_key(|keys| keys.start);
            assert!(
                keys.windows(2).all(|pair| pair[0].end <= pair[1].start),
                "{keys:?} overlap"
            );
            dense::close(&matrix(&merged), &sum);
        }
    }
}
