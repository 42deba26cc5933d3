//! An error in any field of any configuration names the file, the model, the field, its value and what is expected.

use std::fs;
use std::path::Path;

use conceptrol_core::models::autoencoder_kl::AutoencoderKlConfig;
use conceptrol_core::models::clip_text::ClipTextConfig;
use conceptrol_core::models::clip_vision::ClipVisionConfig;
use conceptrol_core::models::config::{ConfigError, Fields};
use conceptrol_core::models::image::ClipImageConfig;
use conceptrol_core::models::scheduler::{SchedulerConfig, SchedulerOptions};
use conceptrol_core::models::t5::T5Config;
use conceptrol_core::pipeline::ModelIndex;
use serde_json::{Value, json};

/// Reads a file, and returns what was said of it.
type Reader = fn(&Path) -> Result<(), String>;

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

fn autoencoder() -> (Value, Reader) {
    let config = json!({"block_out_channels": [32, 64], "layers_per_block": 2});
    (config, |path| said(AutoencoderKlConfig::from_file(path)))
}

fn clip(config: Reader) -> (Value, Reader) {
    let sizes = json!({
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    });
    (sizes, config)
}

fn t5() -> (Value, Reader) {
    (json!(T5Config::xxl()), |path| {
        said(T5Config::from_file(path))
    })
}

fn scheduler(class: &str) -> (Value, Reader) {
    let config = json!({"_class_name": class});
    (config, |path| {
        let config = SchedulerConfig::open(path).map_err(|error| error.to_string())?;
        let options = SchedulerOptions::default().image_tokens(1024);
        said(config.build(8, &options))
    })
}

/// One field replaced: the words of the error are the file, the model and the field.
fn check((config, read): (Value, Reader), model: &str, field: &'static str, value: Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    read(&path).unwrap_or_else(|error| panic!("{model} as it should be: {error}"));
    let mut broken = config;
    broken[field] = value.clone();
    fs::write(&path, broken.to_string()).unwrap();
    let text = read(&path).expect_err(field);
    let expected = format!(
        "{}: {model} field `{field}` is {value}, but must be ",
        path.display()
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.len() > expected.len(), "{text}");
}

#[test]
fn autoencoders() {
    for (field, value) in [
        ("block_out_channels", json!(null)),
        ("block_out_channels", json!([])),
        ("block_out_channels", json!([33])),
        ("down_block_types", json!(["AttnDownEncoderBlock2D"])),
        ("up_block_types", json!(7)),
        ("act_fn", json!("relu")),
        ("act_fn", json!("gelu")),
        ("scaling_factor", json!("0.18")),
        ("scaling_factor", json!(0.0)),
        ("shift_factor", json!([])),
        ("latents_mean", json!([0.0])),
        ("norm_num_groups", json!(0)),
        ("force_upcast", json!(1)),
        ("in_channels", json!(-3)),
        ("sample_size", json!(1e300)),
    ] {
        check(autoencoder(), "autoencoder", field, value);
    }
}

#[test]
fn clip_encoders() {
    let readers: [(&str, Reader); 2] = [
        ("clip text encoder", |path| {
            said(ClipTextConfig::from_file(path))
        }),
        ("clip vision encoder", |path| {
            said(ClipVisionConfig::from_file(path))
        }),
    ];
    for (model, read) in readers {
        for (field, value) in [
            ("hidden_size", json!("8")),
            ("hidden_size", json!(null)),
            ("num_attention_heads", json!(3)),
            ("num_hidden_layers", json!(1_000_000_000_u64)),
            ("intermediate_size", json!(0)),
            ("layer_norm_eps", json!(-1.0)),
            ("hidden_act", json!("relu")),
            ("projection_dim", json!(1.5)),
        ] {
            check(clip(read), model, field, value);
        }
    }
    let [(text, read_text), (vision, read_vision)] = readers;
    check(clip(read_text), text, "vocab_size", json!(0));
    check(clip(read_text), text, "eos_token_id", json!(1_u64 << 32));
    check(clip(read_vision), vision, "patch_size", json!(225));
    check(clip(read_vision), vision, "image_size", json!([224, 224]));
}

#[test]
fn t5_encoders() {
    for (field, value) in [
        ("d_model", json!(null)),
        ("d_kv", json!(0)),
        ("num_layers", json!("24")),
        ("layer_norm_epsilon", json!(1)),
        ("relative_attention_num_buckets", json!(30)),
        ("relative_attention_max_distance", json!(8)),
        ("feed_forward_proj", json!("relu")),
        ("feed_forward_proj", json!(null)),
    ] {
        let (config, read) = t5();
        // the two are checked against each other, and the error is that of the buckets
        if field == "relative_attention_max_distance" {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.json");
            let mut config = config;
            config[field] = value;
            fs::write(&path, config.to_string()).unwrap();
            assert!(read(&path).unwrap_err().contains("maximal distance 8"));
            continue;
        }
        check((config, read), "t5 encoder", field, value);
    }
}

#[test]
fn schedulers() {
    for (class, field, value) in [
        ("DDIMScheduler", "beta_start", json!("x")),
        ("DDIMScheduler", "thresholding", json!(true)),
        (
            "EulerDiscreteScheduler",
            "interpolation_type",
            json!("cubic"),
        ),
        ("DPMSolverMultistepScheduler", "solver_order", json!(0)),
        ("UniPCMultistepScheduler", "solver_p", json!({})),
        ("FlowMatchEulerDiscreteScheduler", "shift", json!(0.0)),
        (
            "FlowMatchEulerDiscreteScheduler",
            "invert_sigmas",
            json!(true),
        ),
        (
            "FlowMatchEulerDiscreteScheduler",
            "max_image_seq_len",
            json!("4096"),
        ),
    ] {
        check(scheduler(class), class, field, value);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scheduler_config.json");
    fs::write(&path, "{}").unwrap();
    let text = SchedulerConfig::open(&path).unwrap_err().to_string();
    assert_eq!(
        text,
        format!(
            "{}: scheduler field `_class_name` is absent, but must be the name of a scheduler",
            path.display()
        )
    );
    // another class over the same file still knows the file
    fs::write(
        &path,
        r#"{"_class_name": "DDPMScheduler", "steps_offset": -1}"#,
    )
    .unwrap();
    let config = SchedulerConfig::open(&path)
        .unwrap()
        .with_name("euler")
        .unwrap();
    let Err(error) = config.build(4, &SchedulerOptions::default()) else {
        panic!("a negative offset");
    };
    let text = error.to_string();
    let expected = format!(
        "{}: EulerDiscreteScheduler field `steps_offset` is -1",
        path.display()
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn pipelines_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model_index.json");
    for (text, expected) in [
        (
            r#"{"_class_name": 3}"#,
            "pipeline field `_class_name` is 3, but must be a string",
        ),
        (
            r#"{"_class_name": "A", "force_zeros_for_empty_prompt": 1}"#,
            "pipeline field `force_zeros_for_empty_prompt` is 1, but must be true or false",
        ),
        ("[]", "pipeline: the configuration is not a JSON object"),
        ("<html>", "pipeline: a web page, not a configuration"),
        ("", "pipeline: an empty file, not a configuration"),
    ] {
        fs::write(&path, text).unwrap();
        let error = ModelIndex::open(&path, &["A"]).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
    }
    for (field, value) in [
        ("size", json!({"shortest_edge": 0})),
        ("size", json!({"height": 3, "width": 4})),
        ("crop_size", json!("224")),
        ("image_mean", json!([0.5])),
        ("resample", json!(3.5)),
    ] {
        let config = (
            json!({"size": 224}),
            (|path| said(ClipImageConfig::from_file(path))) as Reader,
        );
        let (text, read) = (json!({ field: value }).to_string(), config.1);
        fs::write(&path, text).unwrap();
        let error = read(&path).unwrap_err();
        assert!(
            error.contains(&format!("image preprocessor field `{field}` is ")),
            "{error}"
        );
    }
}

#[test]
fn numbers_that_only_python_writes() {
    let text = r#"{"a": -Infinity, "b": NaN, "c": 1e400, "d": 3}"#;
    assert!(
        matches!(Fields::parse("x", text), Err(ConfigError::Json { .. })),
        "1e400"
    );
    let fields = Fields::parse("x", &text.replace("1e400", "Infinity")).unwrap();
    for field in ["a", "b", "c"] {
        let error = fields.number_or(field, 0.0).unwrap_err().to_string();
        assert!(error.ends_with("but must be a finite number"), "{error}");
    }
    assert_eq!(fields.number_or("d", 0.0).unwrap(), 3.0);
}

#[test]
fn values_are_shown_cut_and_escaped() {
    let long = "x".repeat(1 << 18);
    for value in [
        json!(long),
        json!("\u{202e}\u{1b}[31m"),
        json!(vec![long; 2]),
    ] {
        let fields = Fields::parse("x", &json!({"a": value}).to_string()).unwrap();
        let text = fields.number_or("a", 0.0).unwrap_err().to_string();
        assert!(text.len() < 400, "{} bytes", text.len());
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{text:?}"
        );
    }
    let broken = format!("{{\"a\": \"\u{1b}{}", "y".repeat(1000));
    let text = Fields::parse("x", &broken).unwrap_err().to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
