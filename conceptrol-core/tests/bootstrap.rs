//! Intervals against numpy, areas against scikit-learn: `fixtures/analysis`, written by its `generate.py`.

use std::{fs, path::Path};

use conceptrol_core::analysis::{AnalysisError, Bootstrap, Interval, Scores, roc_auc};
use ndarray::Array2;
use proptest::prelude::*;
use serde_json::Value;

/// numpy adds in another order.
const ATOL: f64 = 1e-13;

fn fixture(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/analysis");
    let text = fs::read_to_string(folder.join(name)).expect("a fixture");
    serde_json::from_str(&text).expect("a list")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

fn scores(case: &Value, concept: &str, prompt: &str) -> Vec<Scores> {
    let pairs = numbers(&case[concept])
        .into_iter()
        .zip(numbers(&case[prompt]));
    pairs.map(|(c, p)| Scores::new(c, p)).collect()
}

#[test]
fn intervals_equal_those_of_numpy() {
    for case in fixture("bootstrap.json") {
        let bootstrap = Bootstrap {
            resamples: case["resamples"].as_u64().expect("a number") as usize,
            seed: case["seed"].as_u64().expect("a number") as u32,
            confidence: case["confidence"].as_f64().expect("a number"),
        };
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        let (method, baseline) = (scores(&case, "a", "b"), scores(&case, "c", "d"));
        let found = [
            ("mean_of_a", bootstrap.mean(&a)),
            ("a_minus_b", bootstrap.difference(&a, &b)),
            ("product_of_a_and_b", bootstrap.product(&method)),
            ("product_ratio", bootstrap.product_ratio(&method, &baseline)),
            (
                "product_difference",
                bootstrap.product_difference(&method, &baseline),
            ),
        ];
        for (name, interval) in found {
            let Interval {
                value, low, high, ..
            } = interval.expect("enough units");
            for (found, expected) in [value, low, high].into_iter().zip(numbers(&case[name])) {
                let units = a.len();
                assert!(
                    (found - expected).abs() <= ATOL,
                    "{name} of {units} units: {found}, numpy {expected}"
                );
            }
        }
    }
}

#[test]
fn units_are_drawn_as_numpy_draws_them() {
    use std::cell::RefCell;
    for case in fixture("bootstrap.json") {
        let units = numbers(&case["a"]).len();
        let drawn = RefCell::new(Vec::new());
        let bootstrap = Bootstrap {
            resamples: 20,
            seed: case["seed"].as_u64().expect("a number") as u32,
            confidence: 0.95,
        };
        let of_indices = bootstrap.statistic(units, |indices| {
            drawn.borrow_mut().extend(indices.iter().map(|&i| i as f64));
            0.0
        });
        of_indices.expect("enough units");
        // the first are the units as they are
        let drawn = &drawn.borrow()[units..units + 20];
        assert_eq!(drawn, numbers(&case["first_indices"]), "{units} units");
    }
}

#[test]
fn intervals_that_do_not_exist_are_errors() {
    let bootstrap = Bootstrap::default();
    let few = |found, least| Err(AnalysisError::TooFew { found, least });
    assert_eq!(bootstrap.mean(&[]), few(0, 2));
    assert_eq!(bootstrap.mean(&[1.0]), few(1, 2));
    let none = Bootstrap {
        resamples: 0,
        ..bootstrap
    };
    assert_eq!(none.mean(&[1.0, 2.0]), few(0, 1));
    let unpaired = Err(AnalysisError::Unpaired {
        first: 2,
        second: 1,
    });
    assert_eq!(bootstrap.difference(&[1.0, 2.0], &[1.0]), unpaired);
    let undefined = bootstrap.mean(&[1.0, f64::NAN]);
    assert!(matches!(undefined, Err(AnalysisError::Undefined { .. })));
    // of two units, one of which scores nothing, some resamples draw that one alone
    let baseline = [Scores::new(0.0, 1.0), Scores::new(1.0, 1.0)];
    let ratio = bootstrap.product_ratio(&baseline, &baseline);
    assert!(matches!(ratio, Err(AnalysisError::Undefined { .. })));
    assert_eq!(Scores::mean([]), Err(AnalysisError::NoRatings));
}

/// Regions as in `generate.py`.
fn region(name: &str, edge: usize) -> Array2<bool> {
    Array2::from_shape_fn((edge, edge), |(y, x)| {
        let from_centre = |i: usize| (2 * i as isize - edge as isize + 1).pow(2) as usize;
        match name {
            "left" => x < edge / 2,
            "disc" => from_centre(y) + from_centre(x) <= edge.pow(2) / 2,
            "cell" => y == edge / 3 && x == edge / 2,
            _ => panic!("{name} is no region"),
        }
    })
}

#[test]
fn areas_of_recorded_masks_equal_those_of_scikit_learn() {
    let cases = fixture("auc.json");
    for case in &cases {
        let values: Vec<f32> = numbers(&case["mask"])
            .into_iter()
            .map(|value| value as f32)
            .collect();
        let edge = values.len().isqrt();
        let mask = Array2::from_shape_vec((edge, edge), values).expect("a square");
        for (name, expected) in case["auc"].as_object().expect("names") {
            let auc = roc_auc(mask.view(), region(name, edge).view()).expect("two sides");
            let expected = expected.as_f64().expect("a number");
            assert!(
                (auc - expected).abs() <= ATOL,
                "{} {} {name}: {auc}, scikit-learn {expected}",
                case["case"],
                case["index"]
            );
        }
    }
    assert_eq!(cases.len(), 6 + 14 + 5 + 12);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_constant_sample_has_no_width(value in -1e3..1e3_f64, units in 2_usize..40, seed: u32) {
        let bootstrap = Bootstrap { resamples: 50, seed, confidence: 0.95 };
        let interval = bootstrap.mean(&vec![value; units]).expect("enough units");
        let rounding = value.abs() * 1e-14;
        prop_assert!((interval.value - value).abs() <= rounding);
        prop_assert!((interval.high - interval.low).abs() <= rounding);
    }

    #[test]
    fn a_sample_does_not_differ_from_itself(
        sample in prop::collection::vec((0.01..1.0_f64, 0.01..1.0_f64), 2..40),
        seed: u32,
    ) {
        let bootstrap = Bootstrap { resamples: 50, seed, confidence: 0.95 };
        let scores: Vec<Scores> = sample.iter().map(|&(c, p)| Scores::new(c, p)).collect();
        let first: Vec<f64> = sample.iter().map(|pair| pair.0).collect();
        let all = |interval: Interval| [interval.value, interval.low, interval.high];
        prop_assert_eq!(bootstrap.difference(&first, &first).map(all), Ok([0.0; 3]));
        prop_assert_eq!(bootstrap.product_difference(&scores, &scores).map(all), Ok([0.0; 3]));
        prop_assert_eq!(bootstrap.product_ratio(&scores, &scores).map(all), Ok([1.0; 3]));
        prop_assert_eq!(bootstrap.mean(&first), bootstrap.mean(&first));
    }

    #[test]
    fn a_region_finds_itself_and_a_constant_map_nothing(
        cells in prop::collection::vec(any::<bool>(), 2..60),
        value in -5.0..5.0_f32,
    ) {
        let region = Array2::from_shape_vec((1, cells.len()), cells).expect("a row");
        prop_assume!(region.iter().any(|&inside| inside) && region.iter().any(|&inside| !inside));
        prop_assert_eq!(roc_auc(region.mapv(f32::from).view(), region.view()), Ok(1.0));
        prop_assert_eq!(roc_auc(Array2::from_elem(region.dim(), value).view(), region.view()), Ok(0.5));
    }
}
