//! The full-size adapters have exactly the tensors of the published checkpoints.

use std::collections::BTreeMap;

use burn::tensor::Device;
use conceptrol_core::AttentionSites;
use conceptrol_core::models::weights::Weights;
use conceptrol_sd::adapter::{AdapterKind, IpAdapterWeights, ResamplerConfig};
use serde_json::Value;

use crate::sites::{sd15, sdxl};

fn check(manifest: &str, build: impl FnOnce(&Weights)) -> Value {
    let path = format!(
        "{}/tests/fixtures/manifests/{manifest}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected: BTreeMap<String, Vec<usize>> =
        serde_json::from_value(manifest["tensors"].clone()).unwrap();
    let weights = Weights::names(&Device::flex());
    build(&weights);
    let tensors = weights.finish().unwrap().into_iter();
    let actual: BTreeMap<String, Vec<usize>> =
        tensors.map(|tensor| (tensor.name, tensor.shape)).collect();
    assert_eq!(actual, expected);
    manifest
}

fn adapter(manifest: &str, kind: AdapterKind, sites: &AttentionSites) {
    let manifest = check(manifest, |w| drop(IpAdapterWeights::new(kind, sites, w)));
    let named: BTreeMap<String, String> =
        serde_json::from_value(manifest["sites"].clone()).unwrap();
    let order: Vec<&str> = sites
        .registration_order()
        .map(|site| site.name.as_str())
        .collect();
    for (key, name) in named {
        let number: usize = key.trim_start_matches("ip_adapter.").parse().unwrap();
        assert_eq!(order[number], name);
    }
}

fn plus(dim: usize, heads: usize, output_dim: usize) -> AdapterKind {
    AdapterKind::Plus(ResamplerConfig {
        dim,
        depth: 4,
        heads,
        queries: 16,
        embedding_dim: 1280,
        output_dim,
        inner_dim: 4 * dim,
    })
}

fn base(embedding_dim: usize, output_dim: usize) -> AdapterKind {
    AdapterKind::Base {
        embedding_dim,
        tokens: 4,
        output_dim,
    }
}

#[test]
fn adapters_of_sd15() {
    adapter("ip-adapter_sd15", base(1024, 768), &sd15());
    adapter("ip-adapter-plus_sd15", plus(768, 12, 768), &sd15());
}

#[test]
fn adapters_of_sdxl() {
    adapter("ip-adapter_sdxl", base(1280, 2048), &sdxl());
    adapter("ip-adapter_sdxl_vit-h", base(1024, 2048), &sdxl());
    adapter("ip-adapter-plus_sdxl_vit-h", plus(1280, 20, 2048), &sdxl());
}
