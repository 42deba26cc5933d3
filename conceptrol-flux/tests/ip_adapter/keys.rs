//! The adapters at full size have exactly the tensors of the published files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_flux::FluxConfig;
use conceptrol_flux::adapter::{
    AdapterKind, ImageEncoderConfig, ImageProjection, IpAdapterLayout, IpAdapterSites,
};

type Shapes = BTreeMap<String, Vec<usize>>;

/// `XLabs-AI/flux-ip-adapter`: 4 tokens, `-v2`: 16.
fn xlabs(tokens: usize) -> Shapes {
    let mut shapes = Shapes::new();
    let mut add = |name: String, shape: &[usize]| {
        shapes.insert(name, shape.to_vec());
    };
    add(
        "ip_adapter_proj_model.proj.weight".into(),
        &[tokens * 4096, 768],
    );
    add("ip_adapter_proj_model.proj.bias".into(), &[tokens * 4096]);
    add("ip_adapter_proj_model.norm.weight".into(), &[4096]);
    add("ip_adapter_proj_model.norm.bias".into(), &[4096]);
    for block in 0..19 {
        for which in ["k", "v"] {
            let layer =
                format!("double_blocks.{block}.processor.ip_adapter_double_stream_{which}_proj");
            add(format!("{layer}.weight"), &[3072, 4096]);
            add(format!("{layer}.bias"), &[3072]);
        }
    }
    shapes
}

/// `InstantX/FLUX.1-dev-IP-Adapter`.
fn instantx() -> Shapes {
    let mut shapes = Shapes::new();
    let mut add = |name: String, shape: &[usize]| {
        shapes.insert(name, shape.to_vec());
    };
    add("image_proj.proj.0.weight".into(), &[2304, 1152]);
    add("image_proj.proj.0.bias".into(), &[2304]);
    add("image_proj.proj.2.weight".into(), &[524_288, 2304]);
    add("image_proj.proj.2.bias".into(), &[524_288]);
    add("image_proj.norm.weight".into(), &[4096]);
    add("image_proj.norm.bias".into(), &[4096]);
    for block in 0..57 {
        for which in ["k", "v"] {
            add(
                format!("ip_adapter.{block}.to_{which}_ip.weight"),
                &[3072, 4096],
            );
        }
    }
    shapes
}

/// A file of these tensors whose values are holes: it takes no room on the disk.
fn sparse(path: &Path, shapes: &Shapes) -> Checkpoint {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in shapes {
        let start = end;
        end += 2 * shape.iter().product::<usize>() as u64;
        let entry =
            serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header).expect("json");
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(&header);
    std::fs::write(path, &bytes).expect("written");
    let file = std::fs::OpenOptions::new().write(true).open(path);
    let length = bytes.len() as u64 + end;
    (file.expect("a file").set_len(length)).expect("a sparse file");
    Checkpoint::open(path).expect("a checkpoint")
}

/// The file is recognised with these sizes, and every tensor of it is asked for in its shape, and no other.
fn check(shapes: &Shapes, kind: AdapterKind, tokens: usize, blocks: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = sparse(&folder.path().join("adapter.safetensors"), shapes);
    let layout = IpAdapterLayout::of(&file)
        .expect("whole")
        .expect("an adapter");
    assert_eq!(
        (
            layout.kind,
            layout.tokens,
            layout.context_dim,
            layout.blocks
        ),
        (kind, tokens, 4096, blocks)
    );
    let encoder = ImageEncoderConfig::published(kind);
    assert_eq!(encoder.embedding_dim(), layout.embedding_dim);

    let weights = Weights::names(&Device::flex());
    drop(ImageProjection::new(&layout, &weights));
    drop(IpAdapterSites::new(&layout, &FluxConfig::dev(), &weights));
    let asked = weights.finish().expect("nothing to miss").into_iter();
    let asked: Shapes = asked.map(|tensor| (tensor.name, tensor.shape)).collect();
    assert_eq!(&asked, shapes);
}

#[test]
fn xlabs_v1() {
    check(&xlabs(4), AdapterKind::XLabs, 4, 19);
}

#[test]
fn xlabs_v2() {
    check(&xlabs(16), AdapterKind::XLabs, 16, 19);
}

#[test]
fn instantx_file() {
    check(&instantx(), AdapterKind::InstantX, 128, 57);
    let numbers: usize = instantx()
        .values()
        .map(|shape| shape.iter().product::<usize>())
        .sum();
    assert_eq!(numbers / 1_000_000, 2645, "the card says 5.29 GB in bf16");
}
