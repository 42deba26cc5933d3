//! Properties of the plug-in seam, against plain attention.

mod adaptation;
mod ask;
mod bias;
mod block_end;
mod cancel;
#[path = "../common/mod.rs"]
mod common;
mod contrast;
mod cross;
mod dense;
mod display;
mod errors;
mod gates;
mod joint;
mod misuse;
mod own_mask;
mod sources;
mod threads;

use burn::tensor::{Device, Tensor, TensorData};
use common::largest;
use conceptrol_core::{
    AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept,
    ConditionSchedule, Grid, ReferenceTokens, Session, SiteId, SiteKind, SiteSelector, StepInfo,
    mask::ConceptBlock,
    message::chain,
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};

const HEADS: usize = 2;
const HEAD_DIM: usize = 8;
const TEXT: usize = 6;
const CONTEXT: usize = 5;

/// Numbers without a pattern, the same every time.
fn noise<const D: usize>(shape: [usize; D], seed: f32) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i as f32 + seed) * 12.9898).sin() * 1.5)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn cross_sites() -> AttentionSites {
    let site = |name: &str, downsample| {
        AttentionSite::new(name, SiteKind::CrossAttention, HEADS, HEAD_DIM, downsample)
    };
    AttentionSites::new([site("before", 1), site("concept", 2), site("after", 1)])
}

fn cross_call(site: usize, rows: usize, step: usize) -> AttentionCall {
    let grid = if site == 1 {
        Grid::new(2, 3)
    } else {
        Grid::new(4, 6)
    };
    let seed = (site * 100 + step * 10) as f32;
    let query = noise([rows, HEADS, grid.cells(), HEAD_DIM], seed);
    let key = noise([rows, HEADS, TEXT, HEAD_DIM], seed + 1.0);
    let value = noise([rows, HEADS, TEXT, HEAD_DIM], seed + 2.0);
    AttentionCall::cross(query, key, value, grid)
}

fn adapter() -> IpAdapterLayer {
    let weights = |seed| {
        IpProjection::new(
            noise([HEADS * HEAD_DIM, CONTEXT], seed),
            noise([HEADS * HEAD_DIM, CONTEXT], seed + 0.5),
        )
    };
    let names = ["before", "concept", "after"];
    IpAdapterLayer::new(
        names
            .iter()
            .zip([1.0, 2.0, 3.0])
            .map(|(name, seed)| ((*name).into(), weights(seed))),
    )
}

fn cat() -> Concept {
    let tokens = |seed| noise([1, 4, CONTEXT], seed);
    Concept::new("cat", [vec![2..4]]).reference(ReferenceTokens::new(tokens(7.0), tokens(8.0)))
}

fn plan_of(source: impl conceptrol_core::mask::ConceptMaskSource + 'static) -> AttentionPlan {
    AttentionPlan::builder(&cross_sites())
        .layer(SiteSelector::cross(), ConceptrolLayer::new(source))
        .layer(SiteSelector::cross(), adapter())
        .build()
        .expect("the layers fit the sites")
}

fn block() -> ConceptBlock {
    ConceptBlock::cross(SiteSelector::named("concept"))
}

/// The outputs of two steps of three sites.
fn run(
    plan: &AttentionPlan,
    batch: BatchLayout,
    concepts: Vec<Concept>,
    condition: ConditionSchedule,
) -> Vec<Vec<f32>> {
    let mut session = Session::new(plan, batch, concepts)
        .expect("valid session")
        .condition(condition);
    let mut outputs = Vec::new();
    for step in 0..2 {
        session.begin_step(StepInfo::new(step, 2, 0.0));
        for site in 0..3 {
            let out = session
                .attend(SiteId::new(site), cross_call(site, batch.rows(), step))
                .expect("a valid call");
            outputs.push(out.into_data().try_to_vec().expect("f32"));
        }
    }
    outputs
}

fn max_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    largest(pairs.map(|(a, b)| (a - b).abs()))
}
