//! Sources that set concepts against each other, and that spread masks, against naive versions of themselves.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Grid, MaskError, Probe, Session, SiteId, SiteSelector,
    StepInfo,
    mask::{
        Competition, ConceptBlock, ConceptMask, ConceptMaskSource, Local, MaskBoard, MaskNorm,
        MaskQuery, Spread,
    },
    processors::{ConceptrolLayer, JointConditionLayer},
};

use crate::{HEAD_DIM, HEADS, ask::values, cat, joint, noise};

/// A mask for each concept by its number, and how often each was asked.
#[derive(Debug)]
struct Given(Vec<[f32; 6]>, std::sync::Mutex<Vec<usize>>);

impl Given {
    fn new(masks: &[[f32; 6]]) -> Self {
        Self(masks.to_vec(), std::sync::Mutex::new(vec![0; masks.len()]))
    }
}

impl ConceptMaskSource for Given {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        _: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        self.1.lock().expect("not poisoned")[query.index] += 1;
        let row = Tensor::<1>::from_floats(self.0[query.index], &Device::flex());
        Ok(Some(ConceptMask::new(row.unsqueeze(), Grid::new(2, 3))?))
    }
}

const MASKS: [[f32; 6]; 3] = [
    [2.0, 1.0, 0.2, 0.5, 0.0, 0.4],
    [0.3, 0.9, 0.3, 0.45, 0.0, 0.2],
    [0.0, 0.5, 0.1, 0.4, 0.1, 1.0],
];

fn concepts() -> [Concept; 3] {
    ["a", "b", "c"].map(|name| Concept::new(name, [vec![1..2]]))
}

/// The masks of all concepts at the call of a joint site, asked twice, in the order of the session.
fn ask_all(source: &impl ConceptMaskSource) -> [Vec<Vec<f32>>; 2] {
    let (sites, call, concepts) = (joint::sites(), joint::call(), concepts());
    let mut board = MaskBoard::new(3);
    [0, 1].map(|step| {
        let site = sites.get(SiteId::new(0)).expect("a site");
        let batch = BatchLayout::unguided(1);
        let probe = Probe::new(site, StepInfo::new(step, 2, 0.0), batch, &call);
        let each = concepts.iter().enumerate().map(|(index, concept)| {
            let query = MaskQuery::new(index, concept, &probe).among(&concepts);
            let mask = source.mask(&query, &mut board).expect("no error");
            values(&mask.expect("a mask"))
        });
        each.collect()
    })
}

/// The definition, cell by cell.
fn shares(peaks: &[f32], level: Option<f32>, temperature: Option<f32>) -> Vec<f32> {
    match temperature {
        Some(t) => {
            let all = peaks.iter().copied().chain(level);
            let sum: f32 = all.map(|p| (p / t).exp()).sum();
            peaks.iter().map(|p| (p / t).exp() / sum).collect()
        }
        None => {
            let most = peaks.iter().copied().fold(0.0, f32::max);
            let winner = peaks.iter().position(|p| *p == most);
            let reached = level.is_none_or(|level| most >= level);
            let owns = |index| reached && winner == Some(index);
            (0..peaks.len())
                .map(|index| f32::from(owns(index)))
                .collect()
        }
    }
}

fn expected(level: Option<f32>, temperature: Option<f32>) -> Vec<Vec<f32>> {
    let peak = |mask: &[f32; 6]| mask.iter().copied().fold(0.0, f32::max) + 1e-6;
    let mut out = vec![vec![0.0; 6]; 3];
    for cell in 0..6 {
        let peaks: Vec<f32> = MASKS.iter().map(|mask| mask[cell] / peak(mask)).collect();
        for (concept, share) in shares(&peaks, level, temperature).into_iter().enumerate() {
            out[concept][cell] = MASKS[concept][cell] * share;
        }
    }
    out
}

fn close(found: &[Vec<f32>], expected: &[Vec<f32>]) {
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!(
            (found - expected).abs() < 1e-6,
            "{found} instead of {expected}"
        );
    }
}

#[test]
fn concepts_share_places_as_defined() {
    for level in [None, Some(0.0), Some(0.4), Some(1.0)] {
        let with_level = |source: Competition<Given>| match level {
            Some(level) => source.background(level).expect("in range"),
            None => source,
        };
        for temperature in [0.05, 0.5, 3.0] {
            let source = Competition::softmax(Given::new(&MASKS), temperature);
            let [first, second] = ask_all(&with_level(source.expect("in range")));
            close(&first, &expected(level, Some(temperature)));
            assert_eq!(first, second, "the next step");
        }
        let [first, second] = ask_all(&with_level(Competition::partition(Given::new(&MASKS))));
        close(&first, &expected(level, None));
        assert_eq!(first, second, "the next step");
    }
}

#[test]
fn a_partition_gives_every_place_to_one() {
    let twins = [MASKS[0], MASKS[0], MASKS[2]];
    let [masks, _] = ask_all(&Competition::partition(Given::new(&twins)));
    for cell in 0..6 {
        let owners = masks.iter().filter(|mask| mask[cell] > 0.0).count();
        assert!(owners <= 1, "{owners} at {cell}");
    }
    assert!(
        masks[1].iter().all(|value| *value == 0.0),
        "the first of two twins has it all"
    );
}

#[test]
fn each_concept_is_asked_once_a_call() {
    let source = std::sync::Arc::new(Given::new(&MASKS));
    let _ = ask_all(&Competition::partition(std::sync::Arc::clone(&source)));
    assert_eq!(*source.1.lock().expect("not poisoned"), [2, 2, 2]);
}

#[test]
fn alone_without_background_nothing_changes() {
    let source = Competition::softmax(Given::new(&MASKS), 0.3).expect("in range");
    let mask = crate::ask::ask(&source, &cat(), (1, 0, 1), &mut MaskBoard::new(1));
    assert_eq!(values(&mask.expect("no error").expect("a mask")), MASKS[0]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let given = || Given::new(&MASKS);
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(Competition::softmax(given(), bad).is_err(), "{bad}");
        assert!(
            Spread::over(given(), MaskNorm::Max)
                .temperature(bad)
                .is_err(),
            "{bad}"
        );
    }
    for bad in [-0.1, 1.1, f32::NAN] {
        assert!(
            Competition::partition(given()).background(bad).is_err(),
            "{bad}"
        );
    }
    for bad in [0.0, 1.5, f32::NAN] {
        assert!(
            Spread::over(given(), MaskNorm::Max).core(bad).is_err(),
            "{bad}"
        );
    }
}

/// Through a plan: the board of a concept block that publishes after use is not disturbed by being asked for all at once.
#[test]
fn a_concept_block_below_reads_as_ever() {
    let block = || ConceptBlock::joint(SiteSelector::named("a"));
    let masks = |plan: &AttentionPlan| {
        let mut session =
            Session::new(plan, BatchLayout::unguided(1), joint::concepts()).expect("valid");
        for step in 0..2 {
            session.begin_step(StepInfo::new(step, 2, 0.0));
            for site in 0..2 {
                session
                    .attend(SiteId::new(site), joint::call())
                    .expect("a valid call");
            }
        }
        [0, 1].map(|index| values(session.board().latest(index).expect("published")))
    };
    let plan = |layer: ConceptrolLayer<Box<dyn ConceptMaskSource>>| {
        AttentionPlan::builder(&joint::sites())
            .layer(SiteSelector::joint(), layer)
            .layer(SiteSelector::joint(), JointConditionLayer::new())
            .build()
            .expect("fits")
    };
    let own = plan(ConceptrolLayer::new(Box::new(block())));
    let competing = Competition::softmax(block(), 0.2).expect("in range");
    let competing = plan(ConceptrolLayer::new(Box::new(competing)));
    assert_eq!(
        masks(&own),
        masks(&competing),
        "what is published is the source's"
    );
    assert!(
        format!("{competing}").contains("Competition(softmax 0.2) of"),
        "{competing}"
    );
}

/// Spreading, number by number.
fn naive_spread(mask: &[f32], features: &[Vec<f32>], core: usize, t: f32) -> Vec<f32> {
    let unit = |f: &Vec<f32>| -> Vec<f32> {
        let length = f.iter().map(|x| x * x).sum::<f32>().sqrt();
        f.iter().map(|x| x / length).collect()
    };
    let features: Vec<_> = features.iter().map(unit).collect();
    let mut order: Vec<usize> = (0..mask.len()).collect();
    order.sort_by(|a, b| mask[*b].total_cmp(&mask[*a]));
    let core = &order[..core];
    let mean = |channel: usize| {
        core.iter().map(|x| features[*x][channel]).sum::<f32>() / core.len() as f32
    };
    let mean: Vec<f32> = (0..features[0].len()).map(mean).collect();
    let dot = |f: &Vec<f32>| f.iter().zip(&mean).map(|(a, b)| a * b).sum::<f32>();
    let raised: Vec<f32> = features.iter().map(|f| (dot(f) / t).exp()).collect();
    let sum: f32 = raised.iter().sum();
    raised.iter().map(|x| x / sum).collect()
}

#[test]
fn a_mask_spreads_over_what_looks_like_its_core() {
    let (sites, call) = (joint::sites(), joint::call());
    let site = sites.get(SiteId::new(0)).expect("a site");
    let probe = Probe::new(
        site,
        StepInfo::new(0, 1, 0.0),
        BatchLayout::unguided(1),
        &call,
    );
    let concept = &joint::concepts()[0];
    let query = MaskQuery::new(0, concept, &probe);
    let read = |source: &dyn ConceptMaskSource| {
        let mask = source.mask(&query, &mut MaskBoard::new(1));
        values(&mask.expect("no error").expect("a mask"))
    };
    let local = read(&Local::new().norm(MaskNorm::Mean));
    // latents are tokens 4 to 9; a feature is the values of all heads
    let v: Vec<f32> = noise([1, HEADS, joint::LEN, HEAD_DIM], 3.0)
        .into_data()
        .try_to_vec()
        .expect("f32");
    let feature = |cell: usize| -> Vec<f32> {
        let of_head = |head: usize| {
            let start = (head * joint::LEN + 4 + cell) * HEAD_DIM;
            v[start..start + HEAD_DIM].to_vec()
        };
        (0..HEADS).flat_map(of_head).collect()
    };
    let features: Vec<_> = (0..6).map(feature).collect();
    for (share, core) in [(0.1, 1), (0.5, 3), (1.0, 6)] {
        for t in [0.1, 0.7] {
            let source = Spread::over(Local::new().norm(MaskNorm::Mean), MaskNorm::None);
            let source = source.core(share).and_then(|source| source.temperature(t));
            let found = read(&source.expect("in range"));
            let expected = naive_spread(&local, &features, core, t);
            close(&[found], &[expected]);
        }
    }
}

#[test]
fn spread_masks_are_published_once_and_used_elsewhere() {
    let block = ConceptBlock::joint(SiteSelector::named("a"));
    let source = Spread::over(block.clone(), MaskNorm::Mean);
    let (sites, call) = (joint::sites(), joint::call());
    let concept = &joint::concepts()[0];
    let at = |source: &dyn ConceptMaskSource, site: usize, board: &mut MaskBoard| {
        let site = sites.get(SiteId::new(site)).expect("a site");
        let batch = BatchLayout::unguided(1);
        let probe = Probe::new(site, StepInfo::new(0, 1, 0.0), batch, &call);
        let mask = source.mask(&MaskQuery::new(0, concept, &probe), board);
        values(&mask.expect("no error").expect("a mask"))
    };
    let (mut plain, mut spread) = (MaskBoard::new(1), MaskBoard::new(1));
    assert_eq!(
        at(&source, 0, &mut spread),
        [1.0; 6],
        "the mask before the first"
    );
    at(&block, 0, &mut plain);
    let published = values(spread.latest(0).expect("published"));
    assert_ne!(published, values(plain.latest(0).expect("published")));
    let mean = published.iter().sum::<f32>() / 6.0;
    assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    assert_eq!(at(&source, 1, &mut spread), published);
    assert_eq!(values(spread.latest(0).expect("published")), published);
}
