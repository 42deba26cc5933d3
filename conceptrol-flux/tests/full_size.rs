//! The full-size transformers have exactly the tensors of the published checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use conceptrol_core::models::lora::{LoraFile, LoraTargets, Part};
use conceptrol_core::models::weights::Weights;
use conceptrol_flux::FluxConfig;
use conceptrol_flux::load::transformer_target;
use conceptrol_flux::mmdit::FluxTransformer;
use conceptrol_flux::redux::ReduxEmbedder;

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

/// FLUX.1 Kontext has the same tensors.
#[test]
fn dev_transformer() {
    assert_eq!(
        transformer(FluxConfig::dev()),
        manifest("flux-dev-transformer.json")
    );
}

/// FLUX.1-Fill-dev differs from dev by the inputs of the first layer: 64 of the latents, 64 of the rest of the picture, 256 of
/// the region.
#[test]
fn fill_transformer() {
    let mut expected = manifest("flux-dev-transformer.json");
    expected.insert("x_embedder.weight".into(), vec![3072, 384]);
    assert_eq!(transformer(FluxConfig::fill()), expected);
}

/// The two layers of `flux1-redux-dev.safetensors`, 64.5 million numbers.
#[test]
fn redux_embedder() {
    let layers = asked(|weights| drop(ReduxEmbedder::new(1152, 4096, weights)));
    let expected = Shapes::from([
        ("redux_up.weight".to_owned(), vec![12288, 1152]),
        ("redux_up.bias".to_owned(), vec![12288]),
        ("redux_down.weight".to_owned(), vec![4096, 12288]),
        ("redux_down.bias".to_owned(), vec![4096]),
    ]);
    assert_eq!(layers, expected);
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

/// A file of these tensors in bf16 that is all header: zeros that take no room on the disk.
fn sparse(path: &std::path::Path, tensors: &Shapes) {
    use std::io::Write;
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let entry =
            serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = std::fs::File::create(path).expect("a file");
    let length = (header.len() as u64).to_le_bytes();
    file.write_all(&[&length, header.as_bytes()].concat())
        .expect("written");
    file.set_len((8 + header.len() + end) as u64)
        .expect("sparse");
}

/// Each tensor of `XLabs`' published styles (rank 16) changes a module, and each module of attention is changed.
#[test]
fn xlabs_styles() {
    let rank = 16;
    let mut file = Shapes::new();
    let mut layer = |name: String, inputs: usize, outputs: usize| {
        file.insert(format!("{name}.down.weight"), vec![rank, inputs]);
        file.insert(format!("{name}.up.weight"), vec![outputs, rank]);
    };
    for block in 0..19 {
        for side in [1, 2] {
            let processor = format!("double_blocks.{block}.processor");
            layer(format!("{processor}.qkv_lora{side}"), 3072, 3 * 3072);
            layer(format!("{processor}.proj_lora{side}"), 3072, 3072);
        }
    }
    for block in 0..38 {
        let processor = format!("single_blocks.{block}.processor");
        layer(format!("{processor}.qkv_lora"), 3072, 3 * 3072);
        layer(format!("{processor}.proj_lora"), 5 * 3072, 3072);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("realism_lora.safetensors");
    sparse(&path, &file);

    let target = transformer_target(&FluxConfig::dev(), &Device::flex());
    let changed: BTreeSet<String> = target
        .modules()
        .filter(|module| {
            let single = module.starts_with("single_") && module.ends_with("proj_out");
            single || (module.contains(".attn.") && !module.contains(".norm"))
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(changed.len(), 19 * 8 + 38 * 4);
    let style = LoraFile::open(&path).expect("a style");
    let style = style.read(&LoraTargets::new(vec![target]), 1.0);
    let style = style.expect("every tensor has a place");
    assert_eq!(style.summary.total(), file.len() / 2, "none is left out");
    let parts: Vec<_> = style.parts().collect();
    let [(Part::Denoiser, deltas)] = parts[..] else {
        panic!("the transformer alone")
    };
    let found: BTreeSet<String> = deltas.iter().map(|(name, _)| name.to_owned()).collect();
    assert!(
        found == changed,
        "{} of {} modules",
        found.len(),
        changed.len()
    );
}
