//! `FaceID`: the files that are published, and its two versions of plus.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::AttentionSites;
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_sd::adapter::{
    AdapterKind, FaceConfig, FaceProjection, IpAdapterWeights, ResamplerConfig,
};

use crate::case::Case;
use crate::sites::{sd15, sdxl};

fn perceiver(width: usize) -> ResamplerConfig {
    ResamplerConfig {
        dim: width,
        depth: 4,
        heads: width / 64,
        queries: 4,
        embedding_dim: 1280,
        output_dim: width,
        inner_dim: 4 * width,
    }
}

fn config(width: usize, plus: bool) -> FaceConfig {
    FaceConfig {
        embedding_dim: 512,
        hidden_dim: 1024,
        tokens: 4,
        output_dim: width,
        perceiver: plus.then(|| perceiver(width)),
        shortcut: false,
        rank: Some(128),
    }
}

/// Names of a file and its number of parameters.
fn tensors(config: FaceConfig, sites: &AttentionSites) -> (Vec<String>, usize) {
    let weights = Weights::names(&Device::flex());
    drop(IpAdapterWeights::new(
        AdapterKind::Face(config),
        sites,
        &weights,
    ));
    let tensors = weights.finish().expect("names");
    let parameters = tensors.iter().map(|tensor| tensor.elements()).sum();
    (
        tensors.into_iter().map(|tensor| tensor.name).collect(),
        parameters,
    )
}

/// The numbers of parameters are those of the published files, 48.4 and 535.5 million.
#[test]
fn full_size_files() {
    for (sites, width, millions) in [(sd15(), 768, 48.4), (sdxl(), 2048, 535.5)] {
        let (names, parameters) = tensors(config(width, false), &sites);
        let found = parameters as f64 / 1e6;
        assert!(
            (found - millions).abs() < 0.06,
            "{found} million of {millions}"
        );
        let all = sites.len();
        let pairs = names.iter().filter(|name| name.contains("_lora.")).count();
        assert_eq!(pairs, all * 8, "four pairs at every attention");
        let keys = names
            .iter()
            .filter(|name| name.ends_with("to_k_ip.weight"))
            .count();
        assert_eq!(keys, all / 2);
        for name in [
            "image_proj.proj.0.weight",
            "image_proj.proj.2.bias",
            "image_proj.norm.weight",
            "ip_adapter.0.to_q_lora.down.weight",
            "ip_adapter.1.to_out_lora.up.weight",
            "ip_adapter.1.to_v_ip.weight",
        ] {
            assert!(names.iter().any(|found| found == name), "{name}");
        }
        let (plus, _) = tensors(config(width, true), &sites);
        let more: Vec<_> = plus.iter().filter(|name| !names.contains(name)).collect();
        assert!(
            more.iter()
                .all(|name| name.starts_with("image_proj.perceiver_resampler."))
        );
        assert_eq!(more.len(), 6 + 4 * 11, "in, out, norm, and four layers");
    }
}

/// Version 2 adds what it sees to the tokens of the face, version 1 puts it in their place.
#[test]
fn the_shortcut_adds_the_face() {
    let device = Device::flex();
    let tiny = |perceiver: bool, shortcut: bool| {
        let config = FaceConfig {
            embedding_dim: 10,
            hidden_dim: 12,
            tokens: 3,
            output_dim: 64,
            perceiver: perceiver.then_some(ResamplerConfig {
                dim: 64,
                depth: 2,
                heads: 1,
                queries: 3,
                embedding_dim: 20,
                output_dim: 64,
                inner_dim: 32,
            }),
            shortcut,
            rank: None,
        };
        FaceProjection::new(&config, &Weights::random(5, &device, FloatDType::F32))
    };
    let face = Tensor::<1>::from_floats(
        [0.3, -0.1, 0.7, 0.2, -0.5, 0.9, 0.0, 0.4, -0.8, 0.1],
        &device,
    );
    let face: Tensor<2> = face.unsqueeze();
    let states = Tensor::<3>::ones([1, 7, 20], &device) * 0.3;
    let tokens = tiny(false, false).forward(face.clone(), None);
    assert_eq!(tokens.dims(), [1, 3, 64]);
    let seen = tiny(true, false).forward(face.clone(), Some(states.clone()));
    let both = tiny(true, true).forward(face.clone(), Some(states));
    let difference = (both - (tokens.clone() + seen.clone()))
        .abs()
        .max()
        .into_scalar::<f32>();
    assert!(difference < 1e-6, "{difference}");
    assert!((seen - tokens.clone()).abs().max().into_scalar::<f32>() > 1e-3);
    // portraits of one person stand one after the other
    let portraits = tiny(false, false).forward(Tensor::cat(vec![face.clone(), face], 0), None);
    let twice = Tensor::cat(vec![tokens.clone(), tokens], 1);
    assert_eq!(portraits.into_data(), twice.into_data());
}

/// Both versions of plus equal diffusers (`tests/scripts/face_golden.py`), whose three runs differ by less than 1e-6.
#[test]
fn plus_equals_diffusers() {
    let case = Case::own();
    let file = Checkpoint::open(case.path("face_plus.safetensors")).expect("the golden file");
    for (version, shortcut) in [("expected_v1", false), ("expected_v2", true)] {
        let config = FaceConfig {
            embedding_dim: 10,
            hidden_dim: 20,
            tokens: 4,
            output_dim: 64,
            perceiver: Some(ResamplerConfig {
                dim: 64,
                depth: 4,
                heads: 1,
                queries: 4,
                embedding_dim: 20,
                output_dim: 64,
                inner_dim: 256,
            }),
            shortcut,
            rank: None,
        };
        let weights = Weights::from_checkpoint(file.clone(), &case.device, FloatDType::F32);
        let weights = weights.at("image_proj");
        let projection = FaceProjection::new(&config, &weights);
        weights.finish().expect("every tensor is used");
        let load = |name: &str| case.load::<3>("face_plus.safetensors", name);
        let face: Tensor<2> = case.load("face_plus.safetensors", "face");
        let tokens = projection.forward(face, Some(load("states")));
        let difference = (tokens - load(version)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5, "{version}: {difference}");
    }
}
