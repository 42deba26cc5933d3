//! Configurations that cannot be built are errors that name the field and both numbers.

use conceptrol_core::models::{config::ConfigError, file::ReadError};
use conceptrol_sd::config::UNetConfig;
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
        let error = with(field, Value::Null).unwrap_err().to_string();
        let expected = format!("unet field `{field}` is null, but must be a ");
        assert!(error.starts_with(&expected), "{error}");
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
        Err(ConfigError::Read {
            source: ReadError::TooLarge { .. },
            ..
        })
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
        "unet field `_class_name` is \"AutoencoderKL\", but must be \"UNet2DConditionModel\"",
    );
    assert_message(
        "down_block_types",
        json!(["KDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]),
        "unet field `down_block_types` is \"KDownBlock2D\", but must be DownBlock2D or CrossAttnDownBlock2D",
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
            matches!(error, ConfigError::Field { field: named, .. } if named == field),
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
        "unet field `block_out_channels` is [], but must be a list of 1 to 8 entries",
    );
    assert_message(
        "block_out_channels",
        json!(vec![32; 9]),
        "unet field `block_out_channels` is [32,32,32,32,32,32,32,32,32], but must be a list of 1 to 8 entries",
    );
    assert_message(
        "block_out_channels",
        json!([0, 1, 1, 1]),
        "unet field `block_out_channels` is 0, but must be a whole number in 1..=16384",
    );
    assert_message(
        "layers_per_block",
        json!(u64::MAX),
        "unet field `layers_per_block` is 18446744073709551615, but must be a whole number in 1..=8",
    );
    assert_message(
        "transformer_layers_per_block",
        json!(33),
        "unet field `transformer_layers_per_block` is 33, but must be a whole number in 0..=32",
    );
    assert_message(
        "attention_head_dim",
        json!(0),
        "unet field `attention_head_dim` is 0, but must be a whole number in 1..=16384",
    );
    assert_message(
        "in_channels",
        json!(0),
        "unet field `in_channels` is 0, but must be a whole number in 1..=16384",
    );
    assert_message(
        "sample_size",
        json!([64, 0]),
        "unet field `sample_size` is 0, but must be a whole number in 1..=16384",
    );
}

#[test]
fn values_of_another_type() {
    assert_message(
        "in_channels",
        json!("4"),
        "unet field `in_channels` is \"4\", but must be a whole number in 1..=16384",
    );
    assert_message(
        "in_channels",
        json!(-4),
        "unet field `in_channels` is -4, but must be a whole number in 1..=16384",
    );
    assert_message(
        "layers_per_block",
        json!(1.5),
        "unet field `layers_per_block` is 1.5, but must be a whole number in 1..=8",
    );
    assert_message(
        "norm_eps",
        json!("small"),
        "unet field `norm_eps` is \"small\", but must be a finite number",
    );
    assert_message(
        "flip_sin_to_cos",
        json!(1),
        "unet field `flip_sin_to_cos` is 1, but must be true or false",
    );
    assert_message(
        "down_block_types",
        json!("DownBlock2D"),
        "unet field `down_block_types` is \"DownBlock2D\", but must be a list of 4 entries",
    );
    assert_message(
        "sample_size",
        json!([64]),
        "unet field `sample_size` is [64], but must be a number or a pair",
    );
}

#[test]
fn fields_that_contradict_each_other() {
    assert_message(
        "attention_head_dim",
        json!([8, 8, 8]),
        "unet field `attention_head_dim` is [8,8,8], but must be a list of 4 levels",
    );
    assert_message(
        "up_block_types",
        json!(["UpBlock2D"]),
        "unet field `up_block_types` is [\"UpBlock2D\"], but must be a list of 4 entries",
    );
    assert_message(
        "attention_head_dim",
        json!([8, 8, 2000, 8]),
        "unet field `attention_head_dim` is [8,8,2000,8], but must be at most the 1280 channels of level 2, not 2000",
    );
    assert_message(
        "norm_num_groups",
        json!(48),
        "unet field `norm_num_groups` is 48, but must be a divisor of 320 channels",
    );
    assert_message(
        "cross_attention_dim",
        json!([768, 768, 1024, 768]),
        "unet field `cross_attention_dim` is [768,768,1024,768], but must be one width: a text cannot be both 768 and 1024 wide",
    );
    assert_message(
        "freq_shift",
        json!(160),
        "unet field `block_out_channels` is [320,640,1280,1280], but must be wide enough for sinusoids: 320 channels, a frequency shift of 160",
    );
    assert_message(
        "transformer_layers_per_block",
        json!([[1, 1], [1, 1], [1, 1], 1]),
        "unet field `reverse_transformer_layers_per_block` is absent, but must be there where transformer_layers_per_block lists depths",
    );
    let mut config: Value =
        serde_json::from_str(include_str!("../../src/config/sdxl.json")).unwrap();
    config["transformer_layers_per_block"] = json!([1, [2], 10]);
    config["reverse_transformer_layers_per_block"] = json!([10, 2, 1]);
    assert_eq!(
        UNetConfig::from_json(&config.to_string())
            .unwrap_err()
            .to_string(),
        "unet field `transformer_layers_per_block` is [1,[2],10], but must be lists of 2 layers",
    );
    config["transformer_layers_per_block"] = json!([1, 2, 10]);
    config["projection_class_embeddings_input_dim"] = Value::Null;
    assert_eq!(
        UNetConfig::from_json(&config.to_string())
            .unwrap_err()
            .to_string(),
        "unet field `projection_class_embeddings_input_dim` is null, but must be a whole number in 1..=65536",
    );
    config["projection_class_embeddings_input_dim"] = json!(200);
    assert_eq!(
        UNetConfig::from_json(&config.to_string())
            .unwrap_err()
            .to_string(),
        "unet field `projection_class_embeddings_input_dim` is 200, but must be more than the 256 of one size, for pooled text beside them",
    );
}
