//! Mask sources made of others, with values computed by hand.

use burn::tensor::Tensor;
use conceptrol_core::{
    Grid, MaskError,
    mask::{
        ConceptMask, ConceptMaskSource, Ema, Fixed, Local, MaskBoard, MaskNorm, MaskQuery, Product,
        Random, Threshold, Union,
    },
};

use crate::{
    ask::{Steps, ask, values},
    cat, noise,
};

/// The masks of three steps at the site in the middle.
fn three_steps(source: &impl ConceptMaskSource) -> [Vec<f32>; 3] {
    let mut board = MaskBoard::new(1);
    [0, 1, 2].map(|step| {
        let mask = ask(source, &cat(), (1, step, 1), &mut board);
        values(&mask.expect("no error").expect("a mask"))
    })
}

fn first(source: &impl ConceptMaskSource) -> Vec<f32> {
    let [first, ..] = three_steps(source);
    first
}

fn constant(values: [f32; 6]) -> Steps {
    Steps(vec![values; 3])
}

/// Powers of two, so that every mean below is exact.
fn changing() -> Steps {
    Steps(vec![
        [0.0, 1.0, 0.5, 0.25, 1.0, 0.0],
        [1.0, 1.0, 0.5, 0.75, 0.0, 0.0],
        [1.0, 0.0, 0.5, 0.5, 0.0, 1.0],
    ])
}

#[test]
fn combined_sources_follow_their_definitions() {
    let a = || constant([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    let b = || constant([1.0, 0.5, 0.5, 0.5, 0.5, 0.0]);
    assert_eq!(first(&Product(a(), b())), [0.0, 0.1, 0.2, 0.3, 0.4, 0.0]);
    assert_eq!(first(&Union(a(), b())), [1.0, 0.5, 0.5, 0.6, 0.8, 1.0]);
    assert_eq!(
        first(&Threshold::new(a(), 0.6).expect("finite")),
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    );
    assert!(Ema::new(a(), 1.0).is_err() && Threshold::new(a(), f32::NAN).is_err());
    let random = first(&Random::new(3));
    assert!(
        random.iter().all(|v| (0.0..1.0).contains(v)) && random[0] != random[1],
        "{random:?}"
    );
    let local = first(&Local::new().norm(MaskNorm::Mean));
    assert!(
        (local.iter().sum::<f32>() / 6.0 - 1.0).abs() < 1e-5,
        "{local:?}"
    );
}

/// No opinion.
#[derive(Debug)]
struct Silent;

impl ConceptMaskSource for Silent {
    fn mask(&self, _: &MaskQuery<'_>, _: &mut MaskBoard) -> Result<Option<ConceptMask>, MaskError> {
        Ok(None)
    }
}

#[test]
fn a_source_without_an_opinion_counts_as_ones() {
    let a = || constant([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    let some = Some([0.0, 0.2, 0.4, 0.6, 0.8, 1.0].to_vec());
    let of = |source: &dyn ConceptMaskSource| {
        let mask = ask(&source, &cat(), (1, 0, 1), &mut MaskBoard::new(1));
        mask.expect("no error").map(|mask| values(&mask))
    };
    assert_eq!(of(&Product(a(), Silent)), some);
    assert_eq!(of(&Product(Silent, a())), some);
    assert_eq!(of(&Product(Silent, Silent)), None);
    assert_eq!(of(&Union(a(), Silent)), None);
    assert_eq!(of(&Ema::new(Silent, 0.5).expect("in range")), None);
    assert_eq!(of(&Threshold::new(Silent, 0.5).expect("finite")), None);
}

#[test]
fn a_running_mean_is_that_of_its_definition() {
    let [zeroth, first, second] = three_steps(&Ema::new(changing(), 0.5).expect("in range"));
    assert_eq!(zeroth, [0.0, 1.0, 0.5, 0.25, 1.0, 0.0], "the first mask");
    assert_eq!(first, [0.5, 1.0, 0.5, 0.5, 0.5, 0.0], "half of each");
    assert_eq!(second, [0.75, 0.5, 0.5, 0.5, 0.25, 0.5]);
    // 1/4 of before, 3/4 of now
    let [_, first, second] = three_steps(&Ema::new(changing(), 0.25).expect("in range"));
    assert_eq!(first, [0.75, 1.0, 0.5, 0.625, 0.25, 0.0]);
    assert_eq!(second, [0.9375, 0.25, 0.5, 0.53125, 0.0625, 0.75]);
    let still = three_steps(&Ema::new(changing(), 0.0).expect("in range"));
    assert_eq!(still, three_steps(&changing()), "no memory at decay 0");
}

#[test]
fn every_source_has_a_memory_of_its_own() {
    let ema = |decay| Ema::new(changing(), decay).expect("in range");
    let alone = [three_steps(&ema(0.5)), three_steps(&ema(0.25))];
    let product = |i: usize| -> Vec<f32> {
        let pairs = alone[0][i].iter().zip(&alone[1][i]);
        pairs.map(|(a, b)| a * b).collect()
    };
    let both = three_steps(&Product(ema(0.5), ema(0.25)));
    assert_eq!(both, [product(0), product(1), product(2)]);
    // an `Ema` and its clone do not count each other's steps
    let one = ema(0.5);
    let square = three_steps(&Product(one.clone(), one));
    let squares = |i: usize| alone[0][i].iter().map(|v| v * v).collect::<Vec<_>>();
    assert_eq!(square, [squares(0), squares(1), squares(2)]);
    // a mean of a mean
    let [zeroth, after, _] = three_steps(&Ema::new(ema(0.5), 0.5).expect("in range"));
    let halves = alone[0][0].iter().zip(&alone[0][1]);
    let expected: Vec<f32> = halves.map(|(a, b)| 0.5 * a + 0.5 * b).collect();
    assert_eq!((zeroth, after), (alone[0][0].clone(), expected));

    let noises = [5, 6, 7].map(|seed| first(&Random::new(seed)));
    assert_ne!(noises[0], noises[1]);
    let nested = first(&Product(
        Product(Random::new(5), Random::new(6)),
        Random::new(7),
    ));
    let expected: Vec<f32> = (0..6)
        .map(|i| noises[0][i] * noises[1][i] * noises[2][i])
        .collect();
    assert_eq!(nested, expected);

    let own = noise([1, 6], 4.0).abs();
    let concept = cat().mask(ConceptMask::new(own.clone(), Grid::new(2, 3)).expect("6 cells"));
    let twice = Product(Fixed::required(), Fixed::required());
    let twice = ask(&twice, &concept, (1, 0, 1), &mut MaskBoard::new(1));
    let squares: Vec<f32> = (own.clone() * own).into_data().try_to_vec().expect("f32");
    assert_eq!(values(&twice.expect("no error").expect("a mask")), squares);
}

/// Masks for each picture beside one for all.
#[test]
fn a_union_is_one_of_the_two_to_the_bit() {
    let of = |source: &dyn ConceptMaskSource| {
        let mask = ask(&source, &cat(), (1, 0, 3), &mut MaskBoard::new(1));
        values(&mask.expect("no error").expect("a mask"))
    };
    let each = of(&Local::new());
    let (mut first, mut second) = (0, 0);
    for seed in 0..20 {
        let all = of(&Random::new(seed));
        assert_eq!((each.len(), all.len()), (18, 6));
        let pairs = || each.iter().zip(all.iter().cycle());
        first += pairs().filter(|(a, b)| a > b).count();
        second += pairs().filter(|(a, b)| a < b).count();
        let expected: Vec<f32> = pairs().map(|(a, b)| a.max(*b)).collect();
        assert_eq!(of(&Union(Local::new(), Random::new(seed))), expected);
        assert_eq!(of(&Union(Random::new(seed), Local::new())), expected);
    }
    assert!(
        first > 10 && second > 10,
        "{first} and {second}: both count"
    );
}

/// One source at several sites: each has its own mean.
#[test]
fn sites_do_not_mix_in_a_mean() {
    let source = Ema::new(Local::new(), 0.5).expect("in range");
    let at = |board: &mut MaskBoard, site, step| {
        let mask = ask(&source, &cat(), (site, step, 1), board);
        values(&mask.expect("no error").expect("a mask"))
    };
    let mut both = MaskBoard::new(1);
    let mut alone = MaskBoard::new(1);
    for step in 0..2 {
        // sites 0 and 2 have the same grid
        let _ = at(&mut both, 0, step);
        assert_eq!(at(&mut both, 2, step), at(&mut alone, 2, step));
    }
}

#[test]
fn noise_does_not_depend_on_the_batch_or_on_what_was_made_before() {
    let noise = |source: &Random, images| {
        let mask = ask(source, &cat(), (1, 0, images), &mut MaskBoard::new(1));
        mask.expect("no error").expect("a mask")
    };
    let one = noise(&Random::new(3), 1);
    let _others: Vec<Random> = (0..5).map(Random::new).collect();
    let three = noise(&Random::new(3), 3);
    let [rows, _] = three.values().dims();
    assert_eq!((rows, values(&three)), (1, values(&one)), "one for all");
}

#[test]
fn a_mask_of_a_wrong_size_is_an_error() {
    #[derive(Debug)]
    struct Sized(usize, Grid);
    impl ConceptMaskSource for Sized {
        fn mask(
            &self,
            query: &MaskQuery<'_>,
            _: &mut MaskBoard,
        ) -> Result<Option<ConceptMask>, MaskError> {
            let device = query.probe.call().query.device();
            let ones = Tensor::ones([self.0, self.1.cells()], &device);
            Ok(Some(ConceptMask::new(ones, self.1)?))
        }
    }
    let a = || constant([1.0; 6]);
    let of = |source: &dyn ConceptMaskSource| {
        let mask = ask(&source, &cat(), (1, 0, 3), &mut MaskBoard::new(1));
        mask.expect_err("refused").to_string()
    };
    let wide = || Sized(1, Grid::new(3, 2));
    let grid = "the mask of concept `cat` is on a 3x2 grid, the call on 2x3";
    assert_eq!(of(&Product(wide(), a())), grid);
    assert_eq!(of(&Union(a(), wide())), grid);
    assert_eq!(of(&Ema::new(wide(), 0.5).expect("in range")), grid);
    let rows = "the mask of concept `cat` has 2 rows, the batch 3 pictures";
    assert_eq!(of(&Product(a(), Sized(2, Grid::new(2, 3)))), rows);
    assert_eq!(
        of(&Fixed::required()),
        "concept `cat` has no mask of its own"
    );
}

#[test]
fn a_mask_is_in_f32_whatever_it_is_made_of() {
    let half = Tensor::<2>::ones([1, 6], &burn::tensor::Device::flex())
        .cast(burn::tensor::FloatDType::BF16);
    let concept = cat().mask(ConceptMask::new(half, Grid::new(2, 3)).expect("6 cells"));
    let source = Product(Fixed::required(), Local::new());
    let product = ask(&source, &concept, (1, 0, 1), &mut MaskBoard::new(1));
    let local = ask(&Local::new(), &cat(), (1, 0, 1), &mut MaskBoard::new(1));
    let of = |mask: Result<Option<ConceptMask>, MaskError>| {
        values(&mask.expect("no error").expect("a mask"))
    };
    assert_eq!(of(product), of(local));
}
