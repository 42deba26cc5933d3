//! The tensors our modules ask for are those of the published checkpoints, and the other way round.

use std::collections::BTreeMap;

use burn::tensor::Device;
use conceptrol_core::models::weights::Weights;
use conceptrol_sd::config::UNetConfig;
use conceptrol_sd::unet::UNet2DConditionModel;

fn check(config: &UNetConfig, manifest: &str) {
    check_with(config, manifest, |_| {});
}

/// `change` is how the published checkpoint differs from the one that is listed.
fn check_with(
    config: &UNetConfig,
    manifest: &str,
    change: impl Fn(&mut BTreeMap<String, Vec<usize>>),
) {
    #[derive(serde::Deserialize)]
    struct Manifest {
        tensors: BTreeMap<String, Vec<usize>>,
    }
    let mut published: Manifest = serde_json::from_str(manifest).unwrap();
    change(&mut published.tensors);
    let names = Weights::names(&Device::flex());
    let _ = UNet2DConditionModel::new(config, &names);
    let ours: BTreeMap<String, Vec<usize>> = (names.finish().unwrap().into_iter())
        .map(|tensor| (tensor.name, tensor.shape))
        .collect();
    let difference = |a: &BTreeMap<String, Vec<usize>>, b: &BTreeMap<String, Vec<usize>>| {
        let only: Vec<_> = a
            .iter()
            .filter(|(name, shape)| b.get(*name) != Some(*shape))
            .collect();
        format!("{only:?}")
    };
    assert_eq!(
        difference(&published.tensors, &ours),
        "[]",
        "not taken by our modules"
    );
    assert_eq!(
        difference(&ours, &published.tensors),
        "[]",
        "not in the checkpoint"
    );
}

#[test]
fn stable_diffusion_1_5() {
    check(
        &UNetConfig::sd15(),
        include_str!("../fixtures/manifests/sd15-unet.json"),
    );
}

#[test]
fn stable_diffusion_xl() {
    check(
        &UNetConfig::sdxl(),
        include_str!("../fixtures/manifests/sdxl-unet.json"),
    );
}

/// `stable-diffusion-inpainting` and `stable-diffusion-xl-1.0-inpainting-0.1` differ from the models they were made of by five
/// channels of the first convolution: the region, and the latents of the rest of the picture.
#[test]
fn those_that_repaint() {
    let repaints = |tensors: &mut BTreeMap<String, Vec<usize>>| {
        tensors.insert("conv_in.weight".into(), vec![320, 9, 3, 3]);
    };
    for (mut config, manifest) in [
        (
            UNetConfig::sd15(),
            include_str!("../fixtures/manifests/sd15-unet.json"),
        ),
        (
            UNetConfig::sdxl(),
            include_str!("../fixtures/manifests/sdxl-unet.json"),
        ),
    ] {
        config.in_channels = 9;
        check_with(&config, manifest, repaints);
    }
}
