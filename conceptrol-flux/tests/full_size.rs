//! The full-size transformers have exactly the tensors of the published checkpoints.

use std::collections::BTreeMap;

use burn::tensor::Device;
use conceptrol_core::models::weights::Weights;
use conceptrol_flux::FluxConfig;
use conceptrol_flux::mmdit::FluxTransformer;

type Shapes = BTreeMap<String, Vec<usize>>;

fn manifest(name: &str) -> Shapes {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/manifests")
        .join(name);
    let text = std::fs::read_to_string(path).expect("a manifest");
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    serde_json::from_value(json["tensors"].clone()).expect("shapes")
}

/// The tensors `build` asks for.
fn asked(build: impl FnOnce(&Weights)) -> Shapes {
    let weights = Weights::names(&Device::flex());
    build(&weights);
    let tensors = weights.finish().expect("nothing to miss");
    tensors
        .into_iter()
        .map(|tensor| (tensor.name, tensor.shape))
        .collect()
}

fn transformer(config: FluxConfig) -> Shapes {
    asked(|weights| drop(FluxTransformer::new(&config, weights)))
}

#[test]
fn dev_transformer() {
    assert_eq!(
        transformer(FluxConfig::dev()),
        manifest("flux-dev-transformer.json")
    );
}

#[test]
fn schnell_transformer() {
    let mut expected = manifest("flux-dev-transformer.json");
    expected.retain(|name, _| !name.contains("guidance_embedder"));
    assert_eq!(transformer(FluxConfig::schnell()), expected);
}

/// Every layer of the published condition adapter is a layer of the transformer, and fits it.
#[test]
fn condition_adapter() {
    let layers = transformer(FluxConfig::dev());
    let adapter = manifest("ominicontrol-subject_512.json");
    assert_eq!(adapter.len(), 2 * 3 * (19 + 38));
    for (name, shape) in &adapter {
        let local = name
            .strip_prefix("transformer.")
            .expect("a transformer layer");
        let (layer, factor) = local.rsplit_once(".lora_").expect("a low-rank factor");
        let [outputs, inputs] = layers[&format!("{layer}.weight")][..] else {
            panic!("{layer}")
        };
        match factor {
            "A.weight" => assert_eq!(shape[..], [16, inputs], "{name}"),
            "B.weight" => assert_eq!(shape[..], [outputs, 16], "{name}"),
            _ => panic!("{name}"),
        }
    }
}
