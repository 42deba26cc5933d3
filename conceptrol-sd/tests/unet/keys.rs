//! The tensors our modules ask for are those of the published checkpoints, and the other way round.

use std::collections::BTreeMap;

use burn::tensor::Device;
use conceptrol_core::models::weights::Weights;
use conceptrol_sd::config::UNetConfig;
use conceptrol_sd::unet::UNet2DConditionModel;

fn check(config: &UNetConfig, manifest: &str) {
    #[derive(serde::Deserialize)]
    struct Manifest {
        tensors: BTreeMap<String, Vec<usize>>,
    }
    let published: Manifest = serde_json::from_str(manifest).unwrap();
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
