//! Measures against naive twins and hand-made examples.

use conceptrol_core::analysis::{
    AnalysisError, difference, heat_map, iou, leakage, overlay, resize_bilinear, roc_auc,
};
use ndarray::{Array2, Array3, array};
use proptest::prelude::*;

#[test]
fn undefined_measures_are_errors() {
    let mask = array![[0.1, 0.2], [0.3, 0.4]];
    let none = Array2::from_elem((2, 2), false);
    let some = array![[true, false], [false, false]];
    assert_eq!(
        roc_auc(mask.view(), none.view()),
        Err(AnalysisError::OneSided {
            inside: 0,
            cells: 4
        })
    );
    assert!(leakage(mask.view(), none.mapv(|_| true).view()).is_err());
    assert!(matches!(
        roc_auc(mask.t().slice(ndarray::s![..1, ..]), some.view()),
        Err(AnalysisError::Shape { .. })
    ));
    let broken = array![[0.1, f32::NAN], [0.3, 0.4]];
    assert!(matches!(
        roc_auc(broken.view(), some.view()),
        Err(AnalysisError::NotFinite {
            row: 0,
            column: 1,
            ..
        })
    ));
    assert_eq!(iou(Array2::zeros((2, 2)).view(), none.view(), 0.5), Ok(1.0));
    assert!(iou(mask.view(), array![[true]].view(), 0.5).is_err());
}

#[test]
fn resizing_equals_that_of_torch() {
    // torch.nn.functional.interpolate(x, size=(3, 5), mode="bilinear", align_corners=False)
    let mask = array![[0.0, 1.0], [2.0, 4.0]];
    let expected = array![
        [0.0, 0.1, 0.5, 0.9, 1.0],
        [1.0, 1.15, 1.75, 2.35, 2.5],
        [2.0, 2.2, 3.0, 3.8, 4.0],
    ];
    let found = resize_bilinear(mask.view(), 3, 5);
    assert!(
        (&found - &expected).iter().all(|d: &f32| d.abs() < 1e-6),
        "{found}"
    );
    assert_eq!(resize_bilinear(mask.view(), 2, 2), mask);
    assert_eq!(resize_bilinear(mask.view(), 0, 2).dim(), (0, 2));
    assert!(resize_bilinear(Array2::zeros((0, 3)).view(), 4, 4).is_empty());
}

#[test]
fn an_overlay_leaves_the_unmasked_alone() {
    let picture = Array3::from_shape_fn((6, 8, 3), |(y, x, c)| (y * 31 + x * 7 + c * 50) as u8);
    assert_eq!(
        overlay(picture.view(), Array2::zeros((2, 3)).view(), 1.0, 0.7),
        picture
    );
    assert_eq!(
        overlay(picture.view(), Array2::ones((2, 3)).view(), 1.0, 0.0),
        picture
    );
    let covered = overlay(picture.view(), Array2::ones((6, 8)).view(), 1.0, 1.0);
    assert_eq!(covered, heat_map(Array2::ones((6, 8)).view(), 1.0));
    // Nothing a mask can hold breaks it.
    let odd = array![[f32::NAN, f32::INFINITY], [-1.0, 0.0]];
    let _ = overlay(picture.view(), odd.view(), 0.0, f32::NAN);
    let _ = heat_map(odd.view(), 0.0);
}

#[test]
fn differences_are_shares_of_full_scale() {
    let black = Array3::zeros((1, 2, 3));
    let mut other = black.clone();
    other[[0, 1, 0]] = 255;
    assert_eq!(
        difference(black.view(), other.view()).unwrap(),
        array![[0.0, 1.0 / 3.0]]
    );
    assert!(difference(black.view(), Array3::zeros((2, 2, 3)).view()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The definition, pair by pair.
    #[test]
    fn the_area_is_a_probability_over_pairs(cells in prop::collection::vec((-3i8..4, any::<bool>()), 2..40)) {
        let mask = Array2::from_shape_fn((1, cells.len()), |(_, i)| f32::from(cells[i].0));
        let region = Array2::from_shape_fn((1, cells.len()), |(_, i)| cells[i].1);
        let (mut won, mut pairs) = (0.0, 0.0);
        for a in cells.iter().filter(|c| c.1) {
            for b in cells.iter().filter(|c| !c.1) {
                pairs += 1.0;
                won += if a.0 > b.0 { 1.0 } else if a.0 == b.0 { 0.5 } else { 0.0 };
            }
        }
        match roc_auc(mask.view(), region.view()) {
            Ok(auc) => prop_assert!((auc - won / pairs).abs() < 1e-12),
            Err(_) => prop_assert_eq!(pairs, 0.0),
        }
    }
}
