use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::models::autoencoder_kl::{
    AutoencoderError, AutoencoderKl, AutoencoderKlConfig, Tiling,
};

use crate::case::Case;

fn model(case: &Case) -> AutoencoderKl {
    let config = AutoencoderKlConfig::from_file(case.config()).unwrap();
    let weights = case.weights("diffusion_pytorch_model.safetensors");
    let model = AutoencoderKl::new(&config, &weights);
    weights.finish().unwrap();
    model
}

fn max_diff(a: Tensor<4>, b: Tensor<4>) -> f32 {
    (a - b).abs().max().into_scalar()
}

fn check(case: &Case) {
    let model = model(case);
    let posterior = model.encode(case.input("image"), None).unwrap();
    case.check("mean", posterior.mean());
    case.check("logvar", posterior.logvar());
    case.check("std", posterior.std());
    case.check(
        "decoded",
        model.decode(case.input("latents"), None).unwrap(),
    );
    if case.expects("tiled_decoded") {
        let tiling = Tiling::from_config(model.config());
        let small = model
            .encode(case.input("image_small"), Some(&tiling))
            .unwrap();
        case.check("mean_small", small.mean());
        let tiled = model.encode(case.input("image"), Some(&tiling)).unwrap();
        case.check("tiled_mean", tiled.mean());
        case.check(
            "tiled_decoded",
            model.decode(case.input("latents"), Some(&tiling)).unwrap(),
        );
    }
}

#[test]
fn four_channels() {
    check(&Case::own("vae_4_channels"));
}

#[test]
fn sixteen_channels_without_quant_convs() {
    check(&Case::own("vae_16_channels"));
}

#[test]
fn attention_under_its_old_names() {
    check(&Case::own("vae_old_names"));
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES"]
fn cases_of_the_authors() {
    check(&Case::public("comp_vae_sd15"));
    check(&Case::public("comp_vae_flux"));
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let case = Case::own("vae_4_channels");
    let model = model(&case);
    let latents = case.input("latents");
    let alone = model.decode(latents.clone(), None).unwrap();
    let other = latents.clone() * -2.0;
    let batch = model
        .decode(Tensor::cat(vec![other, latents], 0), None)
        .unwrap();
    assert_eq!(max_diff(batch.narrow(0, 1, 1), alone), 0.0);
}

#[test]
fn scaling_and_its_inverse() {
    let case = Case::own("vae_16_channels");
    let model = model(&case);
    let latents = case.input("latents");
    let scaled = model.scale(latents.clone());
    assert!(max_diff(scaled.clone(), (latents.clone() - 0.1159) * 0.3611) < 1e-6);
    assert!(max_diff(model.unscale(scaled), latents) < 1e-5);
}

#[test]
fn a_sample_is_mean_plus_scaled_noise() {
    let case = Case::own("vae_4_channels");
    let posterior = model(&case).encode(case.input("image"), None).unwrap();
    let noise = posterior.mean() * 0.5 + 1.0;
    let expected = posterior.mean() + posterior.std() * noise.clone();
    assert_eq!(max_diff(posterior.sample(noise), expected), 0.0);
}

#[test]
fn half_precision_overflows_unless_upcast() {
    let mut config = AutoencoderKlConfig::from_file(Case::own("vae_4_channels").config()).unwrap();
    assert_eq!(config.compute_dtype(FloatDType::F16), FloatDType::F32);
    assert_eq!(config.compute_dtype(FloatDType::BF16), FloatDType::BF16);
    config.force_upcast = false;
    assert_eq!(config.compute_dtype(FloatDType::F16), FloatDType::F16);
}

#[test]
fn wrong_shapes_are_errors() {
    let case = Case::own("vae_4_channels");
    let model = model(&case);
    let error = model.decode(case.input("image"), None).unwrap_err();
    assert_eq!(
        error,
        AutoencoderError::Channels {
            what: "latents",
            expected: 4,
            actual: 3
        }
    );
    let thin = case.input("image").narrow(2, 0, 1);
    let error = model.encode(thin, None).unwrap_err();
    let expected = AutoencoderError::Size {
        what: "picture",
        count: 1,
        height: 1,
        width: 41,
        smallest: 2,
    };
    assert_eq!(error, expected);
}
