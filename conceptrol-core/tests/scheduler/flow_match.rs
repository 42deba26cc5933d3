//! Flow matching: published schedules, and configurations that cannot be sampled.

use conceptrol_core::models::scheduler::{
    SchedulerConfig, SchedulerError, SchedulerKind, SchedulerOptions,
};

const DEV: &str = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.30.0.dev0",
    "base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15,
    "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": true}"#;

fn tokens(tokens: usize) -> SchedulerOptions {
    SchedulerOptions::default().image_tokens(tokens)
}

/// Noise levels of FLUX.1-dev: steps, tokens, bits in single precision.
const GOLDEN: [(usize, usize, &[u32]); 5] = [
    (1, 4096, &[0x3f80_0000, 0]),
    (
        4,
        64,
        &[0x3f80_0000, 0x3f53_c542, 0x3f1d_6300, 0x3eb1_cbd9, 0],
    ),
    (
        5,
        1024,
        &[
            0x3f80_0000,
            0x3f61_eb58,
            0x3f3c_ebde,
            0x3f0e_4f67,
            0x3ea3_8f20,
            0,
        ],
    ),
    (
        8,
        4096,
        &[
            0x3f80_0000,
            0x3f74_ebd9,
            0x3f67_8f54,
            0x3f57_2119,
            0x3f42_6f4f,
            0x3f27_91b1,
            0x3f03_49c0,
            0x3e9f_2e6c,
            0,
        ],
    ),
    (3, 16384, &[0x3f80_0000, 0x3f7b_08ec, 0x3f6d_3b3f, 0]),
];

#[test]
fn published_configurations() {
    let dev = SchedulerConfig::from_json(DEV).unwrap();
    assert_eq!(dev.kind().unwrap(), SchedulerKind::FlowMatchEuler);
    for size in [1, 64, 4096, 16384] {
        let build = |config: &SchedulerConfig| config.build(28, &tokens(size)).unwrap();
        let (file, preset) = (build(&dev), build(&SchedulerConfig::flow_match_dev()));
        assert_eq!(file.sigmas(), preset.sigmas());
        assert_eq!(file.timesteps(), preset.timesteps());
        let sigmas = file.sigmas().unwrap();
        assert_eq!((sigmas[0], sigmas[28]), (1.0, 0.0));
        assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!(file.init_noise_sigma(), 1.0);
        assert!(!file.draws_noise());
    }
    let other = dev.with_name("ddim").unwrap();
    assert!(!other.kind().unwrap().is_flow_matching());
}

#[test]
fn levels_have_the_bits_they_always_had() {
    for (steps, size, want) in GOLDEN {
        let scheduler = SchedulerConfig::flow_match_dev()
            .build(steps, &tokens(size))
            .unwrap();
        let bits: Vec<u32> = scheduler
            .sigmas()
            .unwrap()
            .iter()
            .map(|s| s.to_bits())
            .collect();
        assert_eq!(bits, want, "{steps} steps, {size} tokens");
    }
}

#[test]
fn what_cannot_be_sampled_is_named() {
    let message = |field: &str, options: &SchedulerOptions| {
        let text = format!(r#"{{"_class_name": "FlowMatchEulerDiscreteScheduler", {field}}}"#);
        let config = SchedulerConfig::from_json(&text).unwrap();
        config.build(8, options).unwrap_err().to_string()
    };
    let dynamic = r#""use_dynamic_shifting": true"#;
    for (field, expected) in [
        (
            r#""invert_sigmas": true"#.into(),
            "field `invert_sigmas` is true, but must be false",
        ),
        (
            r#""stochastic_sampling": true"#.into(),
            "field `stochastic_sampling` is true, but must be false",
        ),
        (
            r#""use_flow_sigmas": true"#.into(),
            "field `use_flow_sigmas` is true, but must be false",
        ),
        (
            r#""time_shift_type": "cubic""#.into(),
            "`time_shift_type` is \"cubic\", but must be one of exponential, linear",
        ),
        (
            r#""shift": 0"#.into(),
            "field `shift` is 0, but must be above 0",
        ),
        (
            r#""shift": "big""#.into(),
            "field `shift` is \"big\", but must be a finite number",
        ),
        (
            r#""num_train_timesteps": 0"#.into(),
            "field `num_train_timesteps` is 0, but must be a whole number in 1..=1048576",
        ),
        (
            r#""num_train_timesteps": 1e9"#.into(),
            "but must be a whole number in 1..=1048576",
        ),
        (
            r#""base_shift": 101"#.into(),
            "field `base_shift` is 101, but must be within -100..=100",
        ),
        (
            r#""max_image_seq_len": 256"#.into(),
            "`base_image_seq_len` is absent, but must be less than max_image_seq_len = 256",
        ),
        (
            r#""use_karras_sigmas": true, "use_exponential_sigmas": true"#.into(),
            "false with use_karras_sigmas",
        ),
        (
            r#""shift_terminal": 1.0"#.into(),
            "no falling noise levels at step 0",
        ),
        (
            r#""shift_terminal": 2.0"#.into(),
            "no falling noise levels at step",
        ),
        (
            format!(r#"{dynamic}, "time_shift_type": "linear", "base_shift": -1, "max_shift": -1"#),
            "no falling noise levels at step",
        ),
    ] {
        let field: String = field;
        let got = message(&field, &tokens(1024));
        assert!(got.contains(expected), "{field}: {got}");
    }
    let missing = message(dynamic, &SchedulerOptions::default());
    assert_eq!(
        missing,
        "FlowMatchEulerDiscreteScheduler with field `use_dynamic_shifting` needs the option `image_tokens`"
    );
    let huge = message(dynamic, &tokens(usize::MAX));
    assert!(huge.contains("no falling noise levels"), "{huge}");
}

#[test]
fn there_are_no_betas() {
    let error = SchedulerConfig::flow_match_dev()
        .alphas_cumprod()
        .unwrap_err();
    assert!(matches!(error, SchedulerError::NoBetas { .. }));
    assert_eq!(
        error.to_string(),
        "FlowMatchEulerDiscreteScheduler has no betas"
    );
}

#[test]
fn a_scheduler_that_is_not_computed_is_not_taken_for_eulers() {
    let heun = DEV.replace("FlowMatchEuler", "FlowMatchHeun");
    let config = SchedulerConfig::from_json(&heun).unwrap();
    let error = config.build(4, &tokens(64)).unwrap_err().to_string();
    assert!(
        error.starts_with("unknown scheduler `FlowMatchHeunDiscreteScheduler`, known are "),
        "{error}"
    );
    let euler = config.with_name("flow_match").unwrap();
    assert!(euler.build(4, &tokens(64)).is_ok());
}
