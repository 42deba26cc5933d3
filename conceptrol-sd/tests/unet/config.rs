//! Configurations that cannot be built are errors that name the field and both numbers.

use conceptrol_sd::config::{ConfigError, UNetConfig};
use serde_json::{Value, json};

/// SD1.5 with one field replaced.
fn with(field: &str, value: Value) -> Result<UNetConfig, ConfigError> {
    let mut config: Value =
        serde_json::from_str(include_str!("../../src/config/sd15.json")).unwrap();
    config[field] = value;
    UNetConfig::from_json(&config.to_string())
}

#[track_caller]
fn assert_message(field: &str, value: Value, message: &str) {
    assert_eq!(with(field, value).unwrap_err().to_string(), message);
}

#[test]
fn fields_that_give_the_shape_must_be_there() {
    for field in [
        "block_out_channels",
        "down_block_types",
        "up_block_types",
        "layers_per_block",
        "cross_attention_dim",
        "attention_head_dim",
    ] {
        assert_message(
            field,
            Value::Null,
            &format!("the configuration has no field `{field}`"),
        );
    }
}

#[test]
fn absent_and_null_fields_take_the_defaults() {
    let nulls = with("upcast_attention", Value::Null).unwrap();
    assert_eq!(nulls, UNetConfig::sd15());
    assert_eq!(nulls.norm_groups, 32);
    assert!(nulls.time.flip_sin_to_cos);
    assert_eq!(with("mid_block_type", Value::Null).unwrap().mid, None);
    assert_eq!(
        with("sample_size", json!([48, 96])).unwrap().sample_size,
        Some([48, 96])
    );
}

#[test]
fn not_a_configuration() {
    for text in ["", "{", "[]", "7", "{\"a\": }", "null"] {
        assert!(
            matches!(UNetConfig::from_json(text), Err(ConfigError::Json { .. })),
            "{text}"
        );
    }
    let missing = UNetConfig::from_file("no/such/config.json").unwrap_err();
    assert_eq!(missing.to_string(), "cannot read no/such/config.json");
}

#[test]
fn a_huge_file_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, " ".repeat(2 << 20)).unwrap();
    assert!(matches!(
        UNetConfig::from_file(&path),
        Err(ConfigError::TooLarge { .. })
    ));
    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(matches!(
        UNetConfig::from_file(&path),
        Err(ConfigError::Read { .. })
    ));
}

#[test]
fn models_this_crate_does_not_compute() {
    assert_message(
        "_class_name",
        json!("AutoencoderKL"),
        "field `_class_name` is \"AutoencoderKL\", which is not supported (supported: UNet2DConditionModel)",
    );
    assert_message(
        "down_block_types",
        json!(["KDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]),
        "field `down_block_types` is \"KDownBlock2D\", which is not supported (supported: DownBlock2D, CrossAttnDownBlock2D)",
    );
    for (field, value) in [
        ("class_embed_type", json!("timestep")),
        ("num_class_embeds", json!(7)),
        ("encoder_hid_dim_type", json!("text_proj")),
        ("addition_embed_type", json!("image")),
        ("time_embedding_type", json!("fourier")),
        ("resnet_time_scale_shift", json!("scale_shift")),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
        ("dual_cross_attention", json!(true)),
        ("center_input_sample", json!(true)),
        ("downsample_padding", json!(0)),
        ("mid_block_scale_factor", json!(1.5)),
        ("norm_num_groups", Value::Null),
        ("num_attention_heads", json!(8)),
        ("attention_type", json!("gated")),
        ("conv_in_kernel", json!(2)),
        ("act_fn", json!("mish")),
    ] {
        let error = with(field, value).unwrap_err();
        assert!(
            matches!(error, ConfigError::Unsupported { field: named, .. } if named == field),
            "{error}"
        );
    }
    assert!(with("mid_block_scale_factor", json!(1.0)).is_ok());
    // Cut, not pasted whole into the message.
    assert!(
        with("act_fn", json!("é".repeat(1000)))
            .unwrap_err()
            .to_string()
            .len()
            < 300
    );
}

#[test]
fn numbers_out_of_range() {
    assert_message(
        "block_out_channels",
        json!([]),
        "field `block_out_channels` is a list of 0, outside 1..=8",
    );
    assert_message(
        "block_out_channels",
        json!(vec![32; 9]),
        "field `block_out_channels` is a list of 9, outside 1..=8",
    );
    assert_message(
        "block_out_channels",
        json!([0, 1, 1, 1]),
        "field `block_out_channels` is 0, outside 1..=16384",
    );
    assert_message(
        "layers_per_block",
        json!(u64::MAX),
        "field `layers_per_block` is 18446744073709551615, outside 1..=8",
    );
    assert_message(
        "transformer_layers_per_block",
        json!(33),
        "field `transformer_layers_per_block` is 33, outside 0..=32",
    );
    assert_message(
        "attention_head_dim",
        json!(0),
        "field `attention_head_dim` is 0, outside 1..=16384",
    );
    assert_message(
        "in_channels",
        json!(0),
        "field `in_channels` is 0, outside 1..=16384",
    );
    assert_message(
        "sample_size",
        json!([64, 0]),
        "field `sample_size` is 0, outside 1..=16384",
    );
}

#[test]
fn values_of_another_type() {
    assert_message(
        "in_channels",
        json!("4"),
        "field `in_channels` must be a whole number, found \"4\"",
    );
    assert_message(
        "in_channels",
        json!(-4),
        "field `in_channels` must be a whole number, found -4",
    );
    assert_message(
        "layers_per_block",
        json!(1.5),
        "field `layers_per_block` must be a whole number, found 1.5",
    );
    assert_message(
        "norm_eps",
        json!("small"),
        "field `norm_eps` must be a number, found \"small\"",
    );
    assert_message(
        "flip_sin_to_cos",
        json!(1),
        "field `flip_sin_to_cos` must be true or false, found 1",
    );
    assert_message(
        "down_block_types",
        json!("DownBlock2D"),
        "field `down_block_types` must be a list, found \"DownBlock2D\"",
    );
    assert_message(
        "sample_size",
        json!([64]),
        "field `sample_size` must be a number or a pair, found [64]",
    );
}

#[test]
fn fields_that_contradict_each_other() {
    assert_message(
        "attention_head_dim",
        json!([8, 8, 8]),
        "field `attention_head_dim` lists 3 entries for 4 levels",
    );
    assert_message(
        "up_block_types",
        json!(["UpBlock2D"]),
        "field `up_block_types` lists 1 entries for 4 levels",
    );
    assert_message(
        "attention_head_dim",
        json!([8, 8, 2000, 8]),
        "field `attention_head_dim` is inconsistent: 2000 heads at level 2, which has 1280 channels",
    );
    assert_message(
        "norm_num_groups",
        json!(48),
        "field `norm_num_groups` is inconsistent: 320 channels do not divide into 48 groups",
    );
    assert_message(
        "cross_attention_dim",
        json!([768, 768, 1024, 768]),
        "field `cross_attention_dim` is inconsistent: one text cannot be both 768 and 1024 wide",
    );
    assert_message(
        "freq_shift",
        json!(160),
        "field `block_out_channels` is inconsistent: 320 channels hold no sinusoid with a frequency shift of 160",
    );
    assert_message(
        "transformer_layers_per_block",
        json!([[1, 1], [1, 1], [1, 1], 1]),
        "the configuration has no field `reverse_transformer_layers_per_block`",
    );
    let mut config: Value =
        serde_json::from_str(include_str!("../../src/config/sdxl.json")).unwrap();
    config["transformer_layers_per_block"] = json!([1, [2], 10]);
    config["reverse_transformer_layers_per_block"] = json!([10, 2, 1]);
    assert_eq!(
        UNetConfig::from_json(&config.to_string())
            .unwrap_err()
            .to_string(),
        "field `transformer_layers_per_block` lists 1 entries for 2 layers",
    );
    config["transformer_layers_per_block"] = json!([1, 2, 10]);
    config["projection_class_embeddings_input_dim"] = Value::Null;
    assert_eq!(
        UNetConfig::from_json(&config.to_string())
            .unwrap_err()
            .to_string(),
        "the configuration has no field `projection_class_embeddings_input_dim`",
    );
    config["projection_class_embeddings_input_dim"] = json!(200);
    assert_eq!(
        UNetConfig::from_json(&config.to_string())
            .unwrap_err()
            .to_string(),
        "field `projection_class_embeddings_input_dim` is inconsistent: 200 leaves no room for pooled text beside sizes of 256",
    );
}
