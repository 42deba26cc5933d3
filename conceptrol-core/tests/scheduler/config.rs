//! Configurations as found, overridden, and broken.

use burn::tensor::{DType, Device, Tensor};
use conceptrol_core::models::config::ConfigError;
use conceptrol_core::models::scheduler::{
    SchedulerConfig, SchedulerError, SchedulerKind, SchedulerName, SchedulerOptions,
};

const SD15: &str = r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false,
    "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "clip_sample": false}"#;

const SDXL: &str = r#"{"_class_name": "EulerDiscreteScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "sample_max_value": 1.0, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
    "timestep_spacing": "leading", "trained_betas": null, "use_karras_sigmas": false}"#;

fn options() -> SchedulerOptions {
    SchedulerOptions::default()
}

/// The message of a configuration with one more field.
fn message(class: &str, field: &str) -> String {
    let text = format!(r#"{{"_class_name": "{class}", {field}}}"#);
    SchedulerConfig::from_json(&text)
        .and_then(|config| config.build(8, &options()).map(|_| ()))
        .unwrap_err()
        .to_string()
}

#[test]
fn published_configurations() {
    let pndm = SchedulerConfig::from_json(SD15)
        .unwrap()
        .build(50, &options())
        .unwrap();
    assert_eq!(pndm.timesteps().len(), 51);
    assert_eq!(pndm.timesteps()[..4], [981.0, 961.0, 961.0, 941.0]);
    assert!(pndm.sigmas().is_none() && !pndm.draws_noise());

    let euler = SchedulerConfig::from_json(SDXL)
        .unwrap()
        .build(50, &options())
        .unwrap();
    let max = f64::from(euler.sigmas().unwrap()[0]);
    assert!((euler.init_noise_sigma() - (max * max + 1.0).sqrt()).abs() < 1e-5);
}

#[test]
fn another_scheduler_keeps_the_checkpoints_fields() {
    let config = SchedulerConfig::from_json(SD15).unwrap();
    let ddim = config
        .with_name("ddim")
        .unwrap()
        .build(50, &options())
        .unwrap();
    assert_eq!(ddim.timesteps()[..2], [981.0, 961.0], "steps_offset 1");
    for kind in SchedulerKind::ALL {
        assert!(
            config.with_kind(kind).build(8, &options()).is_ok(),
            "{kind}"
        );
    }
    let karras = config.with_name("DPM++ 2M Karras").unwrap();
    assert_eq!(karras.kind().unwrap(), SchedulerKind::DpmSolverMultistep);
    let plain = config
        .with_name("dpmpp_2m")
        .unwrap()
        .build(8, &options())
        .unwrap();
    assert_ne!(
        karras.build(8, &options()).unwrap().sigmas(),
        plain.sigmas()
    );
    assert!(config.with_name("ddim_karras").is_err());
}

#[test]
fn a_name_wins_over_any_class_and_what_the_class_left_behind() {
    // Fields as diffusers writes them for each class; only the noise schedule is of use to another.
    for (class, fields) in [
        (
            "DDPMScheduler",
            r#""variance_type": "fixed_small", "thresholding": false, "clip_sample": false"#,
        ),
        (
            "DPMSolverSinglestepScheduler",
            r#""algorithm_type": "sde-dpmsolver", "solver_order": 3, "variance_type": null"#,
        ),
        (
            "HeunDiscreteScheduler",
            r#""use_karras_sigmas": true, "use_exponential_sigmas": false"#,
        ),
        (
            "TCDScheduler",
            r#""original_inference_steps": 50, "timestep_scaling": 10.0"#,
        ),
        ("FlowMatchHeunDiscreteScheduler", r#""shift": 3.0"#),
        (
            "PNDMScheduler",
            r#""skip_prk_steps": true, "use_flow_sigmas": true"#,
        ),
    ] {
        let noise = r#""beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1"#;
        let text = format!(r#"{{"_class_name": "{class}", {fields}, {noise}}}"#);
        let config = SchedulerConfig::from_json(&text).unwrap();
        for name in SchedulerName::all() {
            let ended = ["karras", "exponential", "beta"]
                .iter()
                .any(|ending| name.ends_with(ending));
            let flow_sigmas = class == "PNDMScheduler" && !ended;
            let built = config.with_name(&name).unwrap().build(8, &options());
            assert!(built.is_ok() || flow_sigmas, "{class} as {name}: {built:?}");
        }
        if config.kind().is_err() {
            let error = config.build(8, &options()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("unknown scheduler `{class}`")),
                "{error}"
            );
            assert!(error.ends_with(&SchedulerName::help()), "{error}");
        }
    }
}

#[test]
fn a_name_settles_what_it_says() {
    let config = SchedulerConfig::from_json(SD15).unwrap();
    let sde = config.with_name("dpmpp_2m_sde").unwrap();
    assert!(sde.build(8, &options()).unwrap().draws_noise());
    let ode = sde.with_name("dpmpp_2m").unwrap();
    assert!(!ode.build(8, &options()).unwrap().draws_noise());
    let plain = ode.build(8, &options()).unwrap();
    let levels = |name: &str| {
        let config = sde.with_name(name).unwrap();
        config
            .build(8, &options())
            .unwrap()
            .sigmas()
            .unwrap()
            .to_vec()
    };
    assert_eq!(levels("dpmpp_2m_sde"), plain.sigmas().unwrap());
    let karras = ode.with_name("dpmpp_2m_sde_karras").unwrap();
    assert_ne!(
        karras.build(8, &options()).unwrap().sigmas(),
        plain.sigmas()
    );
    let exponential = karras.with_name("dpmpp_2m_exponential").unwrap();
    assert_eq!(
        exponential.build(8, &options()).unwrap().sigmas().unwrap(),
        levels("dpmpp_3m_sde_exponential")
    );
}

#[test]
fn which_schedulers_draw_noise() {
    let config = SchedulerConfig::from_json(SD15).unwrap();
    let draws = |kind, options: SchedulerOptions| {
        config
            .with_kind(kind)
            .build(4, &options)
            .unwrap()
            .draws_noise()
    };
    for kind in SchedulerKind::ALL {
        let stochastic = matches!(
            kind,
            SchedulerKind::EulerAncestral | SchedulerKind::Kdpm2Ancestral | SchedulerKind::Lcm
        );
        assert_eq!(draws(kind, options()), stochastic, "{kind}");
    }
    for kind in [SchedulerKind::Ddim, SchedulerKind::Tcd] {
        assert!(draws(kind, options().eta(0.5)));
    }
    for kind in [
        SchedulerKind::Kdpm2Ancestral,
        SchedulerKind::Lcm,
        SchedulerKind::Tcd,
    ] {
        assert!(!draws(kind, options().eta(0.5).begin_at(3)), "{kind}");
    }
    let sde = config
        .with_kind(SchedulerKind::DpmSolverMultistep)
        .with_field("algorithm_type", "sde-dpmsolver++".into());
    assert!(sde.build(4, &options()).unwrap().draws_noise());
}

#[test]
fn denoising_end_cuts_the_run() {
    let config = SchedulerConfig::from_json(SDXL).unwrap();
    let steps = |end: f64| {
        config
            .build(10, &options().denoising_end(end))
            .unwrap()
            .timesteps()
            .len()
    };
    assert_eq!(
        (steps(0.8), steps(0.5), steps(1.0), steps(0.0)),
        (8, 5, 10, 10)
    );
    let error = config.build(10, &options().denoising_end(1.5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "scheduler option `denoising_end` is 1.5, but must be within 0..=1"
    );
    assert!(
        config
            .build(10, &options().denoising_end(f64::NAN))
            .is_err()
    );
    assert!(config.build(10, &options().eta(f64::NAN)).is_err());
}

#[test]
fn bad_fields_are_named() {
    for (class, field, expected) in [
        (
            "RePaintScheduler",
            r#""a": 1"#,
            "unknown scheduler `RePaintScheduler`, known are",
        ),
        (
            "KDPM2DiscreteScheduler",
            r#""prediction_type": "sample""#,
            "KDPM2DiscreteScheduler field `prediction_type` is \"sample\", but must be epsilon or v_prediction",
        ),
        (
            "HeunDiscreteScheduler",
            r#""use_beta_sigmas": true, "use_karras_sigmas": true"#,
            "field `use_beta_sigmas` is true, but must be false with use_karras_sigmas",
        ),
        (
            "TCDScheduler",
            r#""original_inference_steps": 4"#,
            "TCDScheduler cannot run 8 steps, the number must lie in 1..=4",
        ),
        (
            "DDIMScheduler",
            r#""beta_start": "x""#,
            "DDIMScheduler field `beta_start` is \"x\", but must be a finite number",
        ),
        (
            "DDIMScheduler",
            r#""beta_end": 7.5"#,
            "field `beta_end` is 7.5, but must be such that every beta lies within",
        ),
        (
            "DDIMScheduler",
            r#""beta_start": -1.0, "beta_schedule": "scaled_linear""#,
            "every beta lies within 0..=1",
        ),
        (
            "DDIMScheduler",
            r#""num_train_timesteps": 0"#,
            "field `num_train_timesteps` is 0, but must be a whole number in 2..=",
        ),
        (
            "DDIMScheduler",
            r#""num_train_timesteps": 1e300"#,
            "but must be a whole number in 2..=",
        ),
        (
            "DDIMScheduler",
            r#""trained_betas": [0.1]"#,
            "a list of num_train_timesteps = 1000 numbers, not 1",
        ),
        (
            "DDIMScheduler",
            r#""beta_schedule": "sigmoid""#,
            "one of linear, scaled_linear, squaredcos_cap_v2",
        ),
        (
            "DDIMScheduler",
            r#""thresholding": true"#,
            "DDIMScheduler field `thresholding` is true, but must be false",
        ),
        (
            "DDIMScheduler",
            r#""steps_offset": 500"#,
            "DDIMScheduler reaches timestep 1375 at step 0, but the model knows 0..1000",
        ),
        (
            "DDIMScheduler",
            r#""clip_sample_range": -1"#,
            "field `clip_sample_range` is -1, but must be above 0",
        ),
        (
            "LCMScheduler",
            r#""original_inference_steps": 4"#,
            "LCMScheduler cannot run 8 steps, the number must lie in 1..=4",
        ),
        (
            "EulerDiscreteScheduler",
            r#""use_flow_sigmas": true"#,
            "field `use_flow_sigmas` is true, but must be false",
        ),
        (
            "EulerDiscreteScheduler",
            r#""use_karras_sigmas": true, "use_exponential_sigmas": true"#,
            "use_exponential_sigmas",
        ),
        (
            "EulerDiscreteScheduler",
            r#""prediction_type": "flow_prediction""#,
            "one of epsilon, sample, v_prediction",
        ),
        (
            "PNDMScheduler",
            r#""prediction_type": "sample""#,
            "field `prediction_type` is \"sample\", but must be epsilon or v_prediction",
        ),
        (
            "DPMSolverMultistepScheduler",
            r#""algorithm_type": "dpmsolver""#,
            "field `final_sigmas_type` is absent, but must be sigma_min with algorithm_type dpmsolver",
        ),
        (
            "DPMSolverMultistepScheduler",
            r#""algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3"#,
            "field `solver_order` is 3, but must be 1 or 2 with algorithm_type sde-dpmsolver",
        ),
        (
            "DPMSolverMultistepScheduler",
            r#""algorithm_type": "dpm""#,
            "field `algorithm_type` is \"dpm\"",
        ),
        (
            "DPMSolverMultistepScheduler",
            r#""solver_order": 0"#,
            "field `solver_order` is 0, but must be a whole number in 1..=",
        ),
        (
            "UniPCMultistepScheduler",
            r#""predict_x0": false"#,
            "field `predict_x0` is false, but must be true",
        ),
        (
            "UniPCMultistepScheduler",
            r#""lower_order_final": false"#,
            "UniPCMultistepScheduler has no finite update at step 7 with this configuration",
        ),
        (
            "DDIMScheduler",
            r#""rescale_betas_zero_snr": true, "timestep_spacing": "trailing""#,
            "DDIMScheduler has no finite update at step 0",
        ),
    ] {
        let got = message(class, field);
        assert!(got.contains(expected), "{class} {field}: {got}");
    }
}

#[test]
fn not_a_configuration() {
    for text in ["", "{", "{]", "[]", "3"] {
        let error = SchedulerConfig::from_json(text).unwrap_err();
        assert!(
            matches!(error, SchedulerError::Config(ConfigError::Json { .. })),
            "{text}: {error}"
        );
    }
    for text in ["{}", r#"{"_class_name": 3}"#] {
        let error = SchedulerConfig::from_json(text).unwrap_err().to_string();
        assert!(
            error.starts_with("scheduler field `_class_name` is "),
            "{text}: {error}"
        );
    }
    let missing = SchedulerConfig::open("/nonexistent/scheduler_config.json".as_ref()).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "cannot read /nonexistent/scheduler_config.json"
    );
}

#[test]
fn step_counts() {
    let config = SchedulerConfig::from_json(SD15).unwrap();
    for kind in SchedulerKind::ALL {
        let config = config.with_kind(kind);
        for steps in [0, 10_001, usize::MAX] {
            assert!(
                matches!(
                    config.build(steps, &options()),
                    Err(SchedulerError::Steps { .. })
                ),
                "{kind} {steps}"
            );
        }
        let more = config.build(1001, &options());
        assert_eq!(
            more.is_ok(),
            kind.is_flow_matching(),
            "{kind}: its levels are no timesteps of the training"
        );
        // No count panics, and what is built can be run to its end.
        for steps in [1, 2, 3, 7, 49, 50, 333, 500, 999, 1000] {
            let Ok(scheduler) = config.build(steps, &options()) else {
                continue;
            };
            assert!(scheduler.timesteps().len() >= steps, "{kind} {steps}");
        }
    }
}

#[test]
fn steps_come_in_order_and_keep_the_dtype() {
    let device = Device::flex();
    for kind in SchedulerKind::ALL {
        let config = SchedulerConfig::from_json(SD15).unwrap().with_kind(kind);
        let mut scheduler = config.build(3, &options()).unwrap();
        let mut sample: Tensor<4> = Tensor::ones([1, 4, 2, 2], (&device, DType::F16));
        let noise = || Tensor::<4>::ones([1, 4, 2, 2], (&device, DType::F16));
        let early = scheduler
            .step(sample.clone(), 1, sample.clone(), &mut |_| noise())
            .unwrap_err();
        let steps = scheduler.timesteps().len();
        assert_eq!(
            early.to_string(),
            format!("scheduler step 1 was called, but 0 of {steps} is next")
        );
        for step in 0..steps {
            let output = scheduler.scale_model_input(sample.clone(), step);
            assert_eq!(
                scheduler
                    .denoised(output.clone(), step, sample.clone())
                    .dims(),
                [1, 4, 2, 2]
            );
            sample = scheduler
                .step(output, step, sample, &mut |_| noise())
                .unwrap();
            assert_eq!(sample.dtype(), DType::F16, "{kind}");
        }
        assert!(
            scheduler
                .step(sample.clone(), steps, sample, &mut |_| noise())
                .is_err(),
            "{kind}"
        );
    }
}

#[test]
fn signal_share_equals_torch_to_the_last_bit() {
    let alphas = SchedulerConfig::from_json(SD15)
        .unwrap()
        .alphas_cumprod()
        .unwrap();
    let want = [
        (0, 0x3f7f_c84b),
        (1, 0x3f7f_9054),
        (500, 0x3e8d_7b73),
        (998, 0x3b9a_8e83),
        (999, 0x3b98_b3b6),
    ];
    assert_eq!(alphas.len(), 1000);
    for (timestep, bits) in want {
        assert_eq!(
            alphas[timestep].to_bits(),
            bits,
            "{timestep}: {}",
            alphas[timestep]
        );
    }
}
