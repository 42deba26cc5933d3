//! Tensors that several of ours share, and tensors by other names.

use conceptrol_core::models::weights::{KeyRule, StoredDType};

use crate::{checkpoint, counting, message, values};

const TABLE: &[KeyRule<'static>] = &[
    KeyRule::rename("single.{}.norm", "blocks.{}.norm"),
    KeyRule::rows(
        "single.{}.linear1",
        &[("blocks.{}.q", 1), ("blocks.{}.k", 1), ("blocks.{}.mlp", 2)],
    ),
    KeyRule::swap_halves("final.adaLN.1", "norm_out.linear"),
    KeyRule::drop("extra"),
];

#[test]
fn pieces_are_views_of_the_rows_of_the_fused_tensor() {
    let checkpoint = checkpoint(counting(&[
        ("single.0.linear1.weight", &[4, 2]),
        ("single.0.linear1.bias", &[4]),
        ("single.11.norm.scale", &[2]),
        ("final.adaLN.1.weight", &[4, 1]),
        ("extra.x", &[1]),
        ("other", &[1]),
    ]))
    .unwrap();
    let mapped = checkpoint.map(TABLE).unwrap();
    let names: Vec<_> = mapped.tensors().map(|tensor| tensor.to_string()).collect();
    assert_eq!(
        names,
        [
            "blocks.0.k.bias [1] f32",
            "blocks.0.k.weight [1, 2] f32",
            "blocks.0.mlp.bias [2] f32",
            "blocks.0.mlp.weight [2, 2] f32",
            "blocks.0.q.bias [1] f32",
            "blocks.0.q.weight [1, 2] f32",
            "blocks.11.norm.scale [2] f32",
            "norm_out.linear.weight [4, 1] f32",
            "other [1] f32",
        ]
    );
    assert_eq!(values::<2>(&mapped, "blocks.0.q.weight"), [0.0, 1.0]);
    assert_eq!(values::<2>(&mapped, "blocks.0.k.weight"), [2.0, 3.0]);
    assert_eq!(
        values::<2>(&mapped, "blocks.0.mlp.weight"),
        [4.0, 5.0, 6.0, 7.0]
    );
    assert_eq!(values::<1>(&mapped, "blocks.0.mlp.bias"), [10.0, 11.0]);
    assert_eq!(
        values::<2>(&mapped, "norm_out.linear.weight"),
        [16.0, 17.0, 14.0, 15.0]
    );
}

#[test]
fn views_of_views() {
    let checkpoint = checkpoint(counting(&[("x", &[4])])).unwrap();
    let swapped = checkpoint.map(&[KeyRule::swap_halves("x", "y")]).unwrap();
    let thirds = [("a", 1), ("b", 2), ("c", 1)];
    let cut = swapped.map(&[KeyRule::rows("y", &thirds)]).unwrap();
    assert_eq!(values::<1>(&cut, "a"), [2.0]);
    assert_eq!(values::<1>(&cut, "b"), [3.0, 0.0]); // across the seam
    assert_eq!(values::<1>(&cut, "c"), [1.0]);
}

#[test]
fn what_does_not_divide_is_refused() {
    let checkpoint = checkpoint(counting(&[("x", &[5, 2]), ("s", &[])])).unwrap();
    for name in ["x", "s"] {
        let text = message(checkpoint.map(&[KeyRule::swap_halves(name, "y")]));
        assert!(text.contains("do not divide into 2 equal parts"), "{text}");
    }
    let text = message(checkpoint.map(&[KeyRule::rows("x", &[])]));
    assert!(text.contains("do not divide into 0"), "{text}");
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let checkpoint = checkpoint(counting(&[("x", &[1]), ("y", &[1])])).unwrap();
    let text = message(checkpoint.map(&[KeyRule::rename("x", "y")]));
    assert!(text.contains("mapped to y as well"), "{text}");
}

#[test]
fn prefixes_select() {
    let checkpoint = checkpoint(counting(&[
        ("model.a", &[1]),
        ("model.b", &[1]),
        ("c", &[1]),
    ]))
    .unwrap();
    let model = checkpoint.strip_prefix("model.");
    assert_eq!(model.len(), 2);
    assert_eq!(model.get("b"), Some((StoredDType::F32, &[1][..])));
    assert!(checkpoint.strip_prefix("absent.").is_empty());
}
