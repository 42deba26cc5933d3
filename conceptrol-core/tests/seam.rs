//! Properties of the plug-in seam, against plain attention.

use burn::tensor::{Device, Tensor, TensorData};
use conceptrol_core::{
    AttentionCall, AttentionPlan, AttentionSite, AttentionSites, BatchLayout, Concept,
    ConditionSchedule, Grid, ReferenceTokens, Session, SiteId, SiteKind, SiteSelector, StepInfo,
    StepWindow, TokenLayout, kernel,
    mask::{
        ConceptBlock, ConceptMask, Ema, Fixed, Local, MaskNorm, Product, Random, Threshold, Union,
    },
    processors::{
        CaptureLayer, Captures, ConceptrolLayer, IpAdapterLayer, IpProjection, JointConditionLayer,
        ScheduledLayer,
    },
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
    let weights = |seed| IpProjection {
        key: noise([HEADS * HEAD_DIM, CONTEXT], seed),
        value: noise([HEADS * HEAD_DIM, CONTEXT], seed + 0.5),
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
    Concept::new("cat", [vec![2..4]]).with_reference(ReferenceTokens::new(tokens(7.0), tokens(8.0)))
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
        .with_condition(condition);
    let mut outputs = Vec::new();
    for step in 0..2 {
        session.begin_step(StepInfo {
            index: step,
            total: 2,
            timestep: 0.0,
        });
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
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

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
        vec![cat().with_mask(ones)],
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
        .with_scale(0.5)
        .with_mask(ConceptMask::new(mask.clone(), grid).expect("24 cells"));
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
        session.begin_step(StepInfo {
            index: step,
            total: 2,
            timestep: 0.0,
        });
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
            .with_reference(ReferenceTokens::new(tokens(17.0), tokens(18.0)))
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

#[test]
fn combined_sources_follow_their_definitions() {
    let source = |values: [f32; 6]| {
        let row = Tensor::<1>::from_floats(values, &Device::flex()).unsqueeze();
        Constant(ConceptMask::new(row, Grid::new(2, 3)).expect("6 cells"))
    };
    let a = || source([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    let b = || source([1.0, 0.5, 0.5, 0.5, 0.5, 0.0]);
    assert_eq!(
        first_mask(Product(a(), b())),
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.0]
    );
    assert_eq!(first_mask(Union(a(), b())), [1.0, 0.5, 0.5, 0.6, 0.8, 1.0]);
    assert_eq!(
        first_mask(Threshold::new(a(), 0.6).expect("finite")),
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(
        first_mask(Ema::new(a(), 0.5).expect("in range")),
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    );
    assert!(Ema::new(a(), 1.0).is_err() && Threshold::new(a(), f32::NAN).is_err());
    let random = first_mask(Random::new(3));
    assert!(
        random.iter().all(|v| (0.0..1.0).contains(v)) && random[0] != random[1],
        "{random:?}"
    );
    let local = first_mask(Local::new().with_norm(MaskNorm::Mean));
    assert!(
        (local.iter().sum::<f32>() / 6.0 - 1.0).abs() < 1e-5,
        "{local:?}"
    );
}

/// The same mask at every call.
#[derive(Debug)]
struct Constant(ConceptMask);

impl conceptrol_core::mask::ConceptMaskSource for Constant {
    fn mask(
        &self,
        _: usize,
        _: &Concept,
        _: &conceptrol_core::Probe<'_>,
        _: &mut conceptrol_core::mask::MaskBoard,
    ) -> Result<Option<ConceptMask>, conceptrol_core::MaskError> {
        Ok(Some(self.0.clone()))
    }
}

fn first_mask(source: impl conceptrol_core::mask::ConceptMaskSource) -> Vec<f32> {
    let sites = cross_sites();
    let call = cross_call(1, 1, 0);
    let step = StepInfo {
        index: 0,
        total: 1,
        timestep: 0.0,
    };
    let probe = conceptrol_core::Probe::new(
        sites.get(SiteId::new(1)).expect("3 sites"),
        step,
        BatchLayout::unguided(1),
        &call,
    );
    let mut board = conceptrol_core::mask::MaskBoard::new(1);
    let mask = source
        .mask(0, &cat(), &probe, &mut board)
        .expect("no error")
        .expect("a mask");
    mask.values().to_data().try_to_vec().expect("f32")
}

#[test]
fn joint_condition_equals_a_dense_bias() {
    let sites = AttentionSites::new([
        AttentionSite::new("a", SiteKind::Joint, HEADS, HEAD_DIM, 1),
        AttentionSite::new("b", SiteKind::Joint, HEADS, HEAD_DIM, 1),
    ]);
    let layout = TokenLayout::joint(4, Grid::new(2, 3), [Grid::new(1, 2), Grid::new(2, 1)]);
    let qkv = |seed| noise([1, HEADS, 14, HEAD_DIM], seed);
    let call = || AttentionCall::joint(qkv(1.0), qkv(2.0), qkv(3.0), layout.clone());
    let concepts = || {
        [
            Concept::new("a", [vec![1..2]]),
            Concept::new("b", [vec![2..4]]).with_scale(0.5),
        ]
    };
    let plan = AttentionPlan::builder(&sites)
        .layer(
            SiteSelector::joint(),
            ConceptrolLayer::new(ConceptBlock::joint(SiteSelector::named("a"))),
        )
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()
        .expect("fits");
    let mut session = Session::new(&plan, BatchLayout::unguided(1), concepts())
        .expect("valid session")
        .with_condition(ConditionSchedule::new(0.8, StepWindow::ALWAYS));
    let first = session
        .attend(SiteId::new(0), call())
        .expect("a valid call");
    let second = session
        .attend(SiteId::new(1), call())
        .expect("a valid call");
    let masks: Vec<Vec<f32>> = (0..2)
        .map(|i| {
            session
                .board()
                .latest(i)
                .expect("published")
                .values()
                .to_data()
                .try_to_vec()
                .expect("f32")
        })
        .collect();

    for (out, masks) in [(first, vec![vec![1.0; 6]; 2]), (second, masks)] {
        let strengths = [0.8_f32, 0.4];
        let words = [1..2, 2..4];
        let mut bias = vec![0.0_f32; 14 * 14];
        for concept in 0..2 {
            let c = strengths[concept].ln();
            let keys = 10 + 2 * concept..12 + 2 * concept;
            for key in keys.clone() {
                for text in 0..4 {
                    bias[text * 14 + key] = if words[concept].contains(&text) {
                        c
                    } else {
                        -1e7
                    };
                }
                for latent in 0..6 {
                    bias[(4 + latent) * 14 + key] = c + masks[concept][latent].ln();
                }
            }
            for query in keys {
                bias[query * 14 + 4..query * 14 + 10].fill(c);
            }
        }
        let bias = Tensor::from_data(TensorData::new(bias, [1, 1, 14, 14]), &Device::flex());
        let options = burn::tensor::ops::AttentionModuleOptions::default();
        let expected = burn::tensor::module::attention_fallback(
            qkv(1.0),
            qkv(2.0),
            qkv(3.0),
            None,
            Some(bias),
            options,
        );
        let difference: f32 = (out - expected).abs().max().into_scalar();
        assert!(
            difference < 2e-6,
            "differs from the dense bias by {difference}"
        );
    }
}

#[test]
fn a_strength_of_zero_is_not_nan() {
    let sites = AttentionSites::new([AttentionSite::new("a", SiteKind::Joint, HEADS, HEAD_DIM, 1)]);
    let layout = TokenLayout::joint(2, Grid::new(1, 3), [Grid::new(1, 2)]);
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::all(), JointConditionLayer)
        .build()
        .expect("fits");
    let mut session = Session::new(
        &plan,
        BatchLayout::unguided(1),
        [Concept::new("a", [vec![0..1]])],
    )
    .expect("valid session")
    .with_condition(ConditionSchedule::new(0.0, StepWindow::ALWAYS));
    let x = noise([1, HEADS, 7, HEAD_DIM], 1.0);
    let call = AttentionCall::joint(x.clone(), x.clone(), x.clone(), layout);
    let out = session.attend(SiteId::new(0), call).expect("a valid call");
    let visible = |t: Tensor<4>| t.slice_dim(2, 0..5);
    let expected = kernel::attention(visible(x.clone()), visible(x.clone()), visible(x), None);
    let difference: f32 = (visible(out) - expected).abs().max().into_scalar();
    assert!(
        difference < 1e-6,
        "strength 0 must be as without the condition, differs by {difference}"
    );
}

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
        new(cat().with_scale(f32::NAN)),
        "concept `cat`: scale NaN is not finite"
    );
    assert_eq!(
        new(Concept::new("cat", vec![vec![1..2]; 3])),
        "concept `cat`: spans for 3 pictures, the batch has 2"
    );

    let error = AttentionPlan::builder(&sites)
        .layer(SiteSelector::all(), JointConditionLayer)
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
