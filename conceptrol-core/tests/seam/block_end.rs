//! IP-Adapters at joint attention: which rows look at the picture, and where their term goes in.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept, Grid,
    Ground, MaskRole, ReferenceTokens, Session, SiteId, SiteKind, SiteSelector, TokenLayout,
    kernel,
    mask::{ConceptMask, Fixed},
    processors::{ConceptrolLayer, IpAdapterLayer, IpProjection},
};

use crate::{CONTEXT, HEAD_DIM, HEADS, chain, noise};

/// Tokens: 4 of text, 6 latents, 3 of a condition.
const TEXT: usize = 4;
const LATENTS: Grid = Grid::new(2, 3);
const LEN: usize = 13;
const WIDTH: usize = HEADS * HEAD_DIM;

fn sites() -> AttentionSites {
    let site = |name| AttentionSite::new(name, SiteKind::Joint, HEADS, HEAD_DIM, 1);
    AttentionSites::new([site("a").with_block_end(), site("b")])
}

fn call() -> AttentionCall {
    let layout = TokenLayout::joint(TEXT, LATENTS, [Grid::new(1, 3)]);
    let qkv = |seed| noise([1, HEADS, LEN, HEAD_DIM], seed);
    AttentionCall::joint(qkv(1.0), qkv(2.0), qkv(3.0), layout).with_unrotated(qkv(4.0))
}

fn projection() -> IpProjection {
    IpProjection::new(noise([WIDTH, CONTEXT], 5.0), noise([WIDTH, CONTEXT], 6.0))
}

fn at(names: &[&str], projection: &IpProjection) -> IpAdapterLayer {
    let named = names
        .iter()
        .map(|name| ((*name).into(), projection.clone()));
    IpAdapterLayer::new(named.collect::<Vec<_>>())
}

fn concept() -> Concept {
    let tokens: Tensor<3> = noise([1, 3, CONTEXT], 7.0);
    Concept::new("cat", []).reference(ReferenceTokens::new(tokens.clone(), tokens))
}

fn session(layer: IpAdapterLayer, concept: Concept) -> Session {
    let sites = sites();
    let mut plan = AttentionPlan::builder(&sites);
    if concept.mask.is_some() {
        plan = plan.layer(
            SiteSelector::joint(),
            ConceptrolLayer::new(Fixed::required()),
        );
    }
    let plan = plan
        .layer(SiteSelector::joint(), layer)
        .build()
        .expect("fits");
    Session::new(&plan, BatchLayout::unguided(1), [concept]).expect("a session")
}

/// `softmax(q k^T / sqrt d) v` of all rows by the formula, `[1, LEN, WIDTH]`.
fn branch(keys: impl Fn(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
    let tokens: Tensor<3> = noise([1, 3, CONTEXT], 7.0);
    let of = |weight: Tensor<2>| tokens.clone().matmul(weight.transpose().unsqueeze());
    let split = |x: Tensor<3>| x.reshape([1, 3, HEADS, HEAD_DIM]).swap_dims(1, 2);
    let (key, value) = (keys(of(projection().key)), of(projection().value));
    let query: Tensor<4> = noise([1, HEADS, LEN, HEAD_DIM], 4.0);
    let scores = query.matmul(split(key).swap_dims(2, 3)) / (HEAD_DIM as f64).sqrt();
    let out = kernel::softmax(scores).matmul(split(value));
    out.swap_dims(1, 2).reshape([1, LEN, WIDTH])
}

fn merged(x: Tensor<4>) -> Tensor<3> {
    x.swap_dims(1, 2).reshape([1, LEN, WIDTH])
}

fn plain() -> Tensor<3> {
    let call = call();
    merged(kernel::attention(call.query, call.key, call.value, None))
}

#[track_caller]
fn assert_close(found: Tensor<3>, expected: Tensor<3>, what: &str) {
    let off: f32 = (found - expected).abs().max().into_scalar();
    assert!(off < 1e-5, "{what}: {off}");
}

fn same(a: Tensor<3>, b: Tensor<3>) -> bool {
    a.into_data() == b.into_data()
}

#[test]
fn a_term_goes_into_the_rows_of_the_latents() {
    let mut session = session(at(&["a", "b"], &projection()), concept());
    let out = merged(session.attend(SiteId::new(0), call()).expect("a call"));
    let added = out.clone() - plain();
    let latents = TEXT..TEXT + LATENTS.cells();
    let expected = branch(|key| key).slice_dim(1, latents.clone());
    assert_close(added.slice_dim(1, latents.clone()), expected, "latents");
    for rows in [0..latents.start, latents.end..LEN] {
        let part = |x: Tensor<3>| x.slice_dim(1, rows.clone());
        assert!(same(part(out.clone()), part(plain())), "{rows:?}");
    }
}

#[test]
fn text_rows_and_normalised_keys() {
    let layer = at(&["a", "b"], &projection().text_rows(true).key_norm(1e-5));
    let mut session = session(layer, concept());
    let out = merged(session.attend(SiteId::new(0), call()).expect("a call"));
    let normed = |key: Tensor<3>| {
        let heads = key.reshape([1, 3, HEADS, HEAD_DIM]);
        let mean = heads.clone().square().mean_dim(3);
        (heads / (mean + 1e-5).sqrt()).reshape([1, 3, WIDTH])
    };
    let looking = 0..TEXT + LATENTS.cells();
    let part = |x: Tensor<3>| x.slice_dim(1, looking.clone());
    assert_close(
        part(out - plain()),
        part(branch(normed)),
        "text and latents",
    );
}

#[test]
fn a_gate_leaves_text_rows_alone() {
    let mask = Tensor::zeros([1, LATENTS.cells()], &Device::flex());
    let mask = ConceptMask::new(mask, LATENTS).expect("6 cells");
    let gated = concept().mask(mask).mask_role(MaskRole::Instead);
    let mut session = session(at(&["a", "b"], &projection().text_rows(true)), gated);
    let out = merged(session.attend(SiteId::new(0), call()).expect("a call"));
    let text = |x: Tensor<3>| x.slice_dim(1, 0..TEXT);
    assert_close(text(out.clone() - plain()), text(branch(|key| key)), "text");
    let latents = |x: Tensor<3>| x.slice_dim(1, TEXT..TEXT + LATENTS.cells());
    assert!(same(latents(out), latents(plain())), "gated off");
}

#[test]
fn at_the_end_of_a_block_the_same_term() {
    let mut session = session(at(&["a"], &projection()).after_block().sparse(), concept());
    let out = merged(session.attend(SiteId::new(0), call()).expect("a call"));
    assert!(same(out, plain()), "the attention's output is untouched");
    let cells = LATENTS.cells();
    let term = branch(|key| key).narrow(1, TEXT, cells);
    let rows: Tensor<3> = noise([1, cells, WIDTH], 9.0);
    let ended = session.end_block(rows.clone(), Ground::Latents(LATENTS));
    assert_close(ended - rows.clone(), term.clone(), "latents");
    // it is added once
    let again = session.end_block(rows.clone(), Ground::Latents(LATENTS));
    assert!(same(again, rows));

    // where text and latents are one sequence
    session.attend(SiteId::new(0), call()).expect("a call");
    let rows: Tensor<3> = noise([1, TEXT + cells, WIDTH], 9.0);
    let ground = Ground::Joint {
        text: TEXT,
        grid: LATENTS,
    };
    let added = session.end_block(rows.clone(), ground) - rows;
    assert_close(
        added.clone().narrow(1, TEXT, cells),
        term,
        "latents behind text",
    );
    let text: f32 = added.narrow(1, 0, TEXT).abs().max().into_scalar();
    assert_eq!(text, 0.0);
}

#[test]
fn a_block_that_does_not_end_is_an_error() {
    let mut session = session(at(&["a"], &projection()).after_block().sparse(), concept());
    session.attend(SiteId::new(0), call()).expect("a call");
    let error = session.attend(SiteId::new(1), call()).unwrap_err();
    assert_eq!(
        chain(&error),
        "b: the block of a did not end: what its processors left was not added"
    );
}

#[test]
fn sites_without_weights_or_without_an_end() {
    let sites = sites();
    let build = |layer| {
        let plan = AttentionPlan::builder(&sites).layer(SiteSelector::joint(), layer);
        plan.build().map(|plan| plan.to_string())
    };
    let strict = build(at(&["a"], &projection())).expect_err("b has no weights");
    assert_eq!(strict.to_string(), "the adapter has no weights for b");
    let end = build(at(&["a", "b"], &projection()).after_block()).expect_err("b has no end");
    assert_eq!(
        end.to_string(),
        "the model does not hand over the end of the block of b"
    );
    let plan = build(at(&["a"], &projection()).after_block().sparse()).expect("fits");
    assert!(
        plan.contains("IpAdapter(scale 1, after the block)"),
        "{plan}"
    );
    assert!(plan.contains("IpAdapter(no weights)"), "{plan}");

    // gates have nothing to act on there, and are no error
    let mask = Tensor::ones([1, LATENTS.cells()], &Device::flex());
    let mask = ConceptMask::new(mask, LATENTS).expect("6 cells");
    let gated = concept().mask(mask).mask_role(MaskRole::Instead);
    let mut session = session(at(&["a"], &projection()).after_block().sparse(), gated);
    let out = merged(session.attend(SiteId::new(1), call()).expect("a call"));
    assert!(same(out, plain()));
}
