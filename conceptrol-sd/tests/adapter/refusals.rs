//! What is not an adapter for this model is refused before any tensor is read.

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::AttentionSites;
use conceptrol_core::models::clip_vision::ClipVisionError;
use conceptrol_core::models::weights::{Checkpoint, WeightError};
use conceptrol_sd::adapter::{AdapterError, IpAdapterLayout, IpAdapterWeights};
use serde_json::{Map, Value, json};

use crate::case::Case;
use crate::sites::{part, sd15, sites, tiny};

/// A file with tensors of these names and shapes, all zero.
fn file(tensors: &[(&str, &[usize])]) -> tempfile::NamedTempFile {
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header.insert(
            (*name).to_owned(),
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] }),
        );
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + end, 0);
    let file = tempfile::Builder::new()
        .suffix(".safetensors")
        .tempfile()
        .unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn layout(tensors: &[(&str, &[usize])]) -> AdapterError {
    let file = file(tensors);
    IpAdapterLayout::of(&Checkpoint::open(file.path()).unwrap()).unwrap_err()
}

fn load(tensors: &[(&str, &[usize])]) -> Result<IpAdapterWeights, AdapterError> {
    IpAdapterWeights::load(
        file(tensors).path(),
        &tiny(),
        16,
        &Device::flex(),
        FloatDType::F32,
    )
}

const BASE: [(&str, &[usize]); 4] = [
    ("image_proj.proj.weight", &[64, 10]),
    ("image_proj.proj.bias", &[64]),
    ("image_proj.norm.weight", &[16]),
    ("image_proj.norm.bias", &[16]),
];

fn base(sites: &[(&'static str, &'static [usize])]) -> Vec<(&'static str, &'static [usize])> {
    [&BASE[..], sites].concat()
}

#[test]
fn adapters_of_unsupported_kinds() {
    for (name, word) in [
        ("ip_adapter_proj_model.proj.weight", "flux"),
        ("ip_adapter.0.to_k_ip.bias", "flux"),
    ] {
        let error = layout(&[(name, &[2])]).to_string();
        assert!(
            error.contains(word) && error.contains("not supported"),
            "{error}"
        );
    }
}

#[test]
fn files_that_are_no_adapter() {
    let files: [&[(&str, &[usize])]; 6] = [
        &[("encoder.conv_in.weight", &[1])],
        &BASE,
        &[
            ("image_proj.proj.weight", &[64, 10]),
            ("image_proj.norm.weight", &[15]),
        ],
        &[
            ("image_proj.proj.weight", &[64, 10]),
            ("image_proj.norm.weight", &[0]),
        ],
        &[("image_proj.latents", &[16, 8])],
        &[
            ("image_proj.latents", &[1, 3, 8]),
            ("image_proj.proj_in.weight", &[8, 8]),
            ("image_proj.proj_out.weight", &[8, 8]),
            ("image_proj.layers.0.0.to_q.weight", &[65, 8]),
            ("image_proj.layers.0.1.1.weight", &[8, 8]),
        ],
    ];
    for file in files {
        let error = layout(file);
        assert!(
            matches!(error, AdapterError::NotAnAdapter { .. }),
            "{error}"
        );
    }
}

#[test]
fn an_adapter_for_another_model() {
    let case = Case::own();
    let load = |sites: AttentionSites, dim| {
        IpAdapterWeights::load(
            case.path("base.safetensors"),
            &sites,
            dim,
            &case.device,
            FloatDType::F32,
        )
        .unwrap_err()
    };
    let error = load(tiny(), 768).to_string();
    assert!(
        error.contains(
            "base.safetensors: made for a cross-attention dimension of 16, the model has 768"
        ),
        "{error}"
    );
    let error = load(sd15(), 16).to_string();
    assert!(
        error.contains("weights for 3 attention sites, the model has 16 cross-attention sites"),
        "{error}"
    );
    // As many sites of other widths.
    let wide = [
        part("down_blocks.0", 1, 1, 12),
        part("up_blocks.0", 1, 1, 8),
        part("mid_block", 1, 1, 8),
    ];
    let error = load(sites(&wide, 4), 16);
    assert!(
        matches!(error, AdapterError::Weights(WeightError::Mismatch(_))),
        "{error}"
    );
}

#[test]
fn missing_and_unexpected_tensors() {
    let all = base(&[
        ("ip_adapter.1.to_k_ip.weight", &[8, 16]),
        ("ip_adapter.1.to_v_ip.weight", &[8, 16]),
        ("ip_adapter.3.to_k_ip.weight", &[8, 16]),
        ("ip_adapter.3.to_v_ip.weight", &[8, 16]),
        ("ip_adapter.5.to_k_ip.weight", &[8, 16]),
        ("ip_adapter.5.to_v_ip.weight", &[8, 16]),
    ]);
    assert!(load(&all).is_ok());
    assert!(matches!(
        load(&all[..all.len() - 1]),
        Err(AdapterError::Weights(_))
    ));
    let more = [&all[..], &[("image_proj.extra", &[1])]].concat();
    assert!(matches!(load(&more), Err(AdapterError::Weights(_))));
    // A site with an even number is a self-attention.
    let moved = base(&[("ip_adapter.0.to_k_ip.weight", &[8, 16])]);
    assert!(matches!(
        load(&moved),
        Err(AdapterError::Sites { index: Some(0), .. })
    ));
}

#[test]
fn an_encoder_of_another_size() {
    let case = Case::own();
    let encoder = case.encoder("image_encoder");
    let adapter = IpAdapterWeights::load(
        case.path("plus.safetensors"),
        &tiny(),
        16,
        &case.device,
        FloatDType::F32,
    )
    .unwrap();
    let mut config = encoder.config().clone();
    config.encoder.hidden_size = 1664;
    let error = adapter
        .kind()
        .check_encoder(&config)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the ip-adapter expects an image encoder with a hidden state of 12, this one has 1664"
    );
    let pixels = Tensor::<4>::zeros([1, 3, 14, 15], &case.device);
    let error = encoder.penultimate(pixels).unwrap_err();
    assert_eq!(
        error,
        ClipVisionError::Shape {
            channels: 3,
            size: 14,
            actual: [1, 3, 14, 15]
        }
    );
}
