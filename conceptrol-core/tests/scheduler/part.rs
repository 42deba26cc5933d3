//! Runs that begin within the schedule.

use burn::tensor::{DType, Device, Tensor};
use conceptrol_core::models::scheduler::{
    Scheduler, SchedulerConfig, SchedulerError, SchedulerKind, SchedulerOptions,
};

const TOLERANCE: f32 = 2e-5;

/// A checkpoint whose last noise level is 0, so that a perfect model ends at the picture itself.
fn config(kind: SchedulerKind) -> SchedulerConfig {
    SchedulerConfig::from_json(
        r#"{"_class_name": "DDPMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
            "beta_schedule": "scaled_linear", "set_alpha_to_one": true, "clip_sample": false,
            "skip_prk_steps": true}"#,
    )
    .unwrap()
    .with_kind(kind)
}

fn at(step: usize) -> SchedulerOptions {
    SchedulerOptions::default().begin_at(step)
}

fn constant(value: f32) -> Tensor<4> {
    Tensor::full([1, 1, 1, 1], value, (&Device::flex(), DType::F32))
}

fn host(tensor: Tensor<4>) -> f32 {
    tensor.into_data().try_to_vec().unwrap()[0]
}

/// What the run makes of the picture 0.3 under the noise -1.1, with a model that knows both.
fn perfect(scheduler: &mut dyn Scheduler, kind: SchedulerKind) -> f32 {
    let (picture, noise) = (constant(0.3), constant(-1.1));
    let mut sample = scheduler.add_noise(picture.clone(), noise.clone(), 0);
    for step in 0..scheduler.timesteps().len() {
        let output = match kind.is_flow_matching() {
            true => noise.clone() - picture.clone(),
            false => noise.clone(),
        };
        let denoised = scheduler.denoised(output.clone(), step, sample.clone());
        // PNDM shows its model samples of other levels than their timesteps say.
        if kind != SchedulerKind::Pndm {
            assert!((host(denoised) - 0.3).abs() < TOLERANCE, "{kind} {step}");
        }
        sample = scheduler
            .step(output, step, sample, &mut |_| noise.clone())
            .unwrap();
    }
    host(sample)
}

#[test]
fn a_perfect_model_ends_at_the_picture_wherever_it_begins() {
    for kind in SchedulerKind::ALL {
        // These put other noise into the latents.
        if matches!(
            kind,
            SchedulerKind::EulerAncestral | SchedulerKind::Kdpm2Ancestral | SchedulerKind::Lcm
        ) {
            continue;
        }
        for steps in [6, 20] {
            for begin in 0..steps {
                for skip_prk_steps in [true, false] {
                    let config = config(kind).with_field("skip_prk_steps", skip_prk_steps.into());
                    let short = !skip_prk_steps && steps - begin < 4;
                    if kind == SchedulerKind::Pndm && short {
                        continue;
                    }
                    let mut scheduler = config.build(steps, &at(begin)).unwrap();
                    let end = perfect(&mut *scheduler, kind);
                    let from = format!("{kind} from {begin} of {steps}");
                    // These end at the first training timestep, not at 0.
                    let tolerance = match kind {
                        SchedulerKind::Deis | SchedulerKind::Tcd => 0.05,
                        _ => TOLERANCE,
                    };
                    assert!((end - 0.3).abs() < tolerance, "{from}: {end}");
                }
            }
        }
    }
}

#[test]
fn a_later_begin_is_the_tail_of_the_schedule() {
    for kind in SchedulerKind::ALL {
        let whole = config(kind).build(8, &at(0)).unwrap();
        let part = config(kind).build(8, &at(5)).unwrap();
        // PNDM calls the model twice at its second timestep, whichever that is.
        let calls = match kind {
            SchedulerKind::Pndm => 4,
            SchedulerKind::Heun | SchedulerKind::Kdpm2 | SchedulerKind::Kdpm2Ancestral => 5,
            _ => 3,
        };
        assert_eq!(part.timesteps().len(), calls, "{kind}");
        let tail = if kind == SchedulerKind::Pndm {
            3
        } else {
            calls
        };
        let begin = whole.timesteps().len() - tail;
        assert_eq!(part.timesteps()[0], whole.timesteps()[begin], "{kind}");
        if kind != SchedulerKind::Pndm {
            assert_eq!((whole.steps(), part.steps()), (8, 3), "{kind}");
            assert_eq!(whole.step_of(begin), 5, "{kind}");
        }
        let (picture, noise) = (constant(0.3), constant(-1.1));
        let same = |step: usize, of: usize| {
            let noised = |scheduler: &dyn Scheduler, step| {
                let (picture, noise) = (picture.clone(), noise.clone());
                host(scheduler.add_noise(picture, noise, step))
            };
            assert_eq!(noised(&*part, step), noised(&*whole, of), "{kind} {step}");
        };
        same(0, begin);
        same(calls - 1, whole.timesteps().len() - 1);
        same(calls, whole.timesteps().len());
        if let (Some(part), Some(whole)) = (part.sigmas(), whole.sigmas()) {
            assert_eq!(part, &whole[begin..], "{kind}");
        }
    }
}

#[test]
fn a_part_has_a_step() {
    for kind in SchedulerKind::ALL {
        for begin in [8, 9, usize::MAX] {
            let error = config(kind).build(8, &at(begin)).unwrap_err();
            let SchedulerError::Begin { .. } = error else {
                panic!("{kind} {begin}: {error}");
            };
            let class = kind.class_name();
            let expected = format!("{class} cannot begin at step {begin} of 8");
            assert_eq!(error.to_string(), expected);
        }
    }
    // A start below the end of the run leaves nothing to do, and is not an error.
    let done = at(7).denoising_end(0.5);
    let euler = config(SchedulerKind::Euler).build(8, &done).unwrap();
    assert!(euler.timesteps().is_empty());
}

#[test]
fn steps_of_a_part_count_from_0() {
    for kind in SchedulerKind::ALL {
        let mut scheduler = config(kind).build(8, &at(5)).unwrap();
        let step = |scheduler: &mut dyn Scheduler, step| {
            scheduler.step(constant(1.0), step, constant(1.0), &mut |_| constant(1.0))
        };
        let calls = scheduler.timesteps().len();
        let early = step(&mut *scheduler, 5).unwrap_err().to_string();
        let expected = format!("scheduler step 5 was called, but 0 of {calls} is next");
        assert_eq!(early, expected, "{kind}");
        for call in 0..calls {
            step(&mut *scheduler, call).unwrap();
        }
        assert!(step(&mut *scheduler, calls).is_err(), "{kind}");
    }
}

#[test]
fn only_the_steps_of_a_run_must_be_finite() {
    // Without signal at the first timestep there is no noise prediction, but from the second on there is.
    let config = config(SchedulerKind::Ddim)
        .with_field("rescale_betas_zero_snr", true.into())
        .with_field("timestep_spacing", "trailing".into());
    let error = config.build(8, &at(0)).unwrap_err();
    assert!(
        matches!(error, SchedulerError::NotFinite { step: 0, .. }),
        "{error}"
    );
    assert!(config.build(8, &at(1)).is_ok());
}
