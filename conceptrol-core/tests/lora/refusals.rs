//! Files that are refused, in words that help.

use conceptrol_core::models::lora::LoraFile;

use crate::file::{Stored, called, checkpoint, floats, lora, numbers, targets};

const LAYER: &str = "unet.block_a.to_out.0";

fn pair(layer: &str) -> Vec<Stored> {
    vec![
        called(&numbers("down", &[2, 4]), format!("{layer}.lora_A.weight")),
        called(&numbers("up", &[6, 2]), format!("{layer}.lora_B.weight")),
    ]
}

fn refused(tensors: &[Stored]) -> String {
    let read = lora(tensors).and_then(|file| file.read(&targets(), 1.0));
    read.expect_err("refused").to_string()
}

#[test]
fn strengths_that_are_no_number() {
    let alpha = |shape: &[usize], values: &[f32]| {
        let alpha = floats(format!("{LAYER}.alpha"), shape, values);
        refused(&[pair(LAYER), vec![alpha]].concat())
    };
    for error in [
        alpha(&[2], &[1.0, 1.0]),
        alpha(&[0], &[]),
        alpha(&[], &[f32::NAN]),
        alpha(&[1], &[f32::INFINITY]),
    ] {
        assert!(
            error.contains("alpha") && error.contains("one finite number"),
            "{error}"
        );
    }
    let bool = (format!("{LAYER}.alpha"), "BOOL", vec![1], vec![1]);
    assert!(refused(&[pair(LAYER), vec![bool]].concat()).contains("one finite number"));
    let file = lora(&pair(LAYER)).expect("a LoRA");
    let error = file
        .read(&targets(), f64::NAN)
        .expect_err("refused")
        .to_string();
    assert!(error.contains("the strength of"), "{error}");
}

#[test]
fn a_layer_in_two_conventions() {
    let both = [pair(LAYER), pair("lora_unet_block_a_to_out_0")].concat();
    let error = refused(&both);
    assert!(error.contains("are the same layer"), "{error}");
    let endings = vec![called(
        &numbers("down", &[2, 4]),
        format!("{LAYER}.lora_down.weight"),
    )];
    let error = refused(&[pair(LAYER), endings].concat());
    assert!(error.contains("are the same layer"), "{error}");
    // a fused layer and one of its parts
    let fused = vec![
        called(&numbers("down", &[2, 4]), "qkv.lora_A.weight"),
        called(&numbers("up", &[12, 2]), "qkv.lora_B.weight"),
    ];
    let one = vec![
        called(&numbers("down", &[2, 4]), "attn.k.lora_A.weight"),
        called(&numbers("up", &[4, 2]), "attn.k.lora_B.weight"),
    ];
    let error = refused(&[fused, one].concat());
    assert!(error.contains("are the same layer"), "{error}");
}

#[test]
fn layers_that_lack_something_or_do_not_fit() {
    let error = refused(&pair(LAYER)[..1]);
    assert!(error.contains("lacks up"), "{error}");
    let mixed = vec![numbers(format!("{LAYER}.hada_w1_a"), &[6, 2])];
    assert!(refused(&[pair(LAYER), mixed].concat()).contains("those of several"));
    for (down, up) in [
        ([2, 5], [6, 2]),
        ([2, 4], [7, 2]),
        ([3, 4], [6, 2]),
        ([0, 4], [6, 0]),
    ] {
        let tensors = [
            called(&numbers("down", &down), format!("{LAYER}.lora_A.weight")),
            called(&numbers("up", &up), format!("{LAYER}.lora_B.weight")),
        ];
        let error = refused(&tensors);
        assert!(error.contains("changes a weight of 6x4"), "{error}");
    }
    // integers, no axes
    let down = (
        format!("{LAYER}.lora_A.weight"),
        "I64",
        vec![2, 4],
        vec![0; 64],
    );
    assert!(refused(&[down, pair(LAYER).remove(1)]).contains("changes a weight"));
    let down = floats(format!("{LAYER}.lora_A.weight"), &[], &[1.0]);
    assert!(refused(&[down, pair(LAYER).remove(1)]).contains("changes a weight"));
}

#[test]
fn other_models_and_other_kinds() {
    let error = refused(&pair("lora_unet_block_a_to_out_1"));
    assert!(
        error.contains("1 of 1 layers are not of this model"),
        "{error}"
    );
    assert!(
        error.contains("closest is lora_unet_block_a_to_out_0 of kohya"),
        "{error}"
    );
    let stray = vec![numbers("unet.bundle", &[2])];
    let error = refused(&[pair(LAYER), stray].concat());
    assert!(error.contains("unet.bundle"), "{error}");
    let dora = vec![numbers(format!("{LAYER}.dora_scale"), &[6, 1])];
    let error = refused(&[pair(LAYER), dora].concat());
    assert!(error.contains("DoRA, which is not supported"), "{error}");
    let model = checkpoint(&[numbers("conv.weight", &[4, 6, 3, 3])], None);
    let error = LoraFile::of(model).expect_err("refused").to_string();
    assert!(error.contains("no low-rank adapter"), "{error}");
}
