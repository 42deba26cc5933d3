//! Checkpoints that are written, and tables of names the other way round.

use conceptrol_core::models::weights::{Checkpoint, Format, KeyRule};

use crate::{checkpoint, counting, fixture, gguf, message, scaled, values};

const TABLE: &[KeyRule<'static>] = &[
    KeyRule::rename("outer", "own.outer"),
    KeyRule::rows(
        "block.{}.qkv",
        &[("own.{}.q", 1), ("own.{}.k", 1), ("own.{}.v", 1)],
    ),
    KeyRule::swap_halves("final", "own.final"),
    KeyRule::matrix("attn.q", "own.to_q"),
    KeyRule::transposed("projection", "own.projection.weight"),
    KeyRule::drop("ema"),
];

fn file() -> Vec<u8> {
    counting(&[
        ("outer.weight", &[2, 3]),
        ("block.0.qkv.weight", &[6, 2]),
        ("block.1.qkv.bias", &[3]),
        ("final.weight", &[4]),
        ("attn.q.weight", &[2, 2, 1, 1]),
        ("attn.q.bias", &[2]),
        ("projection", &[2, 3]),
        ("other", &[1]),
    ])
}

#[test]
fn a_table_leads_back() {
    let original = checkpoint(file()).unwrap();
    let own = original.map(TABLE).unwrap();
    assert_eq!(own.get("own.to_q.weight").unwrap().1, [2, 2]);
    assert_eq!(own.get("own.projection.weight").unwrap().1, [3, 2]);
    let columns = values::<2>(&original, "projection");
    let turned: Vec<f32> = (0..6).map(|i| columns[i % 2 * 3 + i / 2]).collect();
    assert_eq!(values::<2>(&own, "own.projection.weight"), turned);
    let back = own.unmap(TABLE).unwrap();
    let list = |file: &Checkpoint| {
        file.tensors()
            .map(|tensor| tensor.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&back), list(&original));
    assert_eq!(
        values::<2>(&back, "block.0.qkv.weight"),
        values::<2>(&original, "block.0.qkv.weight")
    );
    assert_eq!(
        values::<1>(&back, "final.weight"),
        values::<1>(&original, "final.weight")
    );
    assert_eq!(values::<2>(&back, "projection"), columns);
}

#[test]
fn a_piece_that_is_not_there_is_an_error() {
    for piece in ["own.0.q.weight", "own.0.v.weight"] {
        let text = message(
            checkpoint(counting(&[(piece, &[2, 2])]))
                .unwrap()
                .unmap(TABLE),
        );
        assert!(text.contains("is not there to be put beside it"), "{text}");
    }
    let other = counting(&[("own.0.q", &[2]), ("own.0.k", &[2, 1]), ("own.0.v", &[2])]);
    let text = message(checkpoint(other).unwrap().unmap(TABLE));
    assert!(text.contains("does not go beside"), "{text}");
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/a.safetensors");
    let original = checkpoint(file()).unwrap();
    let own = original.map(TABLE).unwrap();
    own.write(&path, None).unwrap();
    let read = Checkpoint::open(&path).unwrap();
    assert_eq!(read.len(), own.len());
    for name in ["own.0.k.weight", "own.projection.weight", "own.to_q.weight"] {
        assert_eq!(values::<2>(&read, name), values::<2>(&own, name), "{name}");
    }
    // torch files keep their types, permuted tensors come out in order
    let torch = Checkpoint::open(fixture("views.pt")).unwrap();
    torch.write(&path, None).unwrap();
    let read = Checkpoint::open(&path).unwrap();
    assert_eq!(
        values::<2>(&read, "transposed"),
        values::<2>(&torch, "transposed")
    );
    assert!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count() == 1,
        "nothing beside it"
    );
}

#[test]
fn what_is_quantised_needs_a_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let blocks = Checkpoint::open(gguf::fixture("q4_0.gguf")).unwrap();
    let factors = Checkpoint::open(scaled::fixture("scaled.safetensors")).unwrap();
    for file in [&blocks, &factors] {
        let text = message(file.write(&path, None));
        assert!(text.contains("a type to write must be given"), "{text}");
        assert!(!path.exists());
        file.write(&path, Some(burn::tensor::FloatDType::F32))
            .unwrap();
        let read = Checkpoint::open(&path).unwrap();
        let name = file
            .tensors()
            .find(|tensor| tensor.shape.len() == 2)
            .unwrap()
            .name;
        assert_eq!(values::<2>(&read, &name), values::<2>(file, &name));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn two_of_one_name_are_no_checkpoint() {
    let part = checkpoint(counting(&[("a", &[1])])).unwrap();
    let joined = Checkpoint::together("x", [("b.", part.clone()), ("c.", part.clone())]).unwrap();
    assert_eq!(joined.len(), 2);
    let text = message(Checkpoint::together(
        "x",
        [("b.", part.clone()), ("b.", part)],
    ));
    assert!(
        text.contains("another tensor is called b.a as well"),
        "{text}"
    );
}

#[test]
fn a_model_is_found_below_its_prefix() {
    let file = counting(&[
        ("model.diffusion_model.a", &[1]),
        ("vae.a", &[2]),
        ("vae.b", &[1]),
    ]);
    let file = Checkpoint::from_bytes("x", Format::Safetensors, file).unwrap();
    assert_eq!(
        file.below(&["diffusion_model.", "model.diffusion_model."], &["a"])
            .len(),
        1
    );
    assert_eq!(file.below(&["vae."], &["c", "b"]).len(), 2);
    assert_eq!(file.below(&["x."], &["a"]).len(), 3, "all of it");
    assert!(file.has_below("vae.") && !file.has_below("vaf."));
}
