//! What is no `ControlNet` of this model, and requests that nothing could carry out.

use std::{fs, path::Path};

use conceptrol_core::{
    Grid,
    message::chain,
    models::image::MaskImage,
    pipeline::{
        ConceptGate, ConceptRequest, Fidelity, Pipeline, PipelineError, Repaint, Start, Words,
    },
};
use conceptrol_sd::{
    StableDiffusion,
    config::{ControlNetConfig, UNetConfig},
    controlnet::{ControlNetError, ControlNetFiles, ControlNetModel},
    pipeline::{ControlRequest, Request},
};
use serde_json::json;

use crate::{
    made::{controlled, net, net_config, work},
    published::{asked, sparse},
    tiny::{folder, options, picture, request},
};

fn open(net: &Path) -> PipelineError {
    let opened = StableDiffusion::open(folder().join("model"), options().controlnet(net));
    opened.expect_err("refused")
}

fn control_error(error: PipelineError) -> ControlNetError {
    match error {
        PipelineError::Family(error) => *error.downcast().expect("an error of the net"),
        other => panic!("{other}"),
    }
}

#[test]
fn nets_of_other_models() {
    let work = work();
    let own = net_config("");
    for (seed, old, new, axis, found, expected) in [
        (
            10,
            r#""cross_attention_dim": 80"#,
            r#""cross_attention_dim": 48"#,
            "text width",
            48,
            80,
        ),
        (
            11,
            r#""in_channels": 4"#,
            r#""in_channels": 8"#,
            "latent channels",
            8,
            4,
        ),
        (
            12,
            r#""layers_per_block": 2"#,
            r#""layers_per_block": 1"#,
            "skip connections",
            6,
            9,
        ),
    ] {
        assert!(own.contains(old), "{old}");
        let config = own.replace(old, new);
        match control_error(open(&net(work.path(), seed, &config))) {
            ControlNetError::WrongModel {
                axis: a,
                found: f,
                expected: e,
                ..
            } => {
                assert_eq!((a.as_str(), f, e), (axis, found, expected));
            }
            other => panic!("{other}"),
        }
    }
}

/// A file with one tensor of this name.
fn file_with(path: &Path, tensor: &str) {
    let header =
        json!({tensor: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), &[0; 4]].concat()).expect("written");
}

#[test]
fn other_kinds_of_control() {
    let work = work();
    for (tensor, said) in [
        ("task_embedding", "union"),
        ("control_add_embedding.linear_1.weight", "union"),
        ("adapter.body.0.resnets.0.block1.weight", "T2I-Adapter"),
        ("body.0.block1.weight", "T2I-Adapter"),
        ("lora_controlnet", "Control-LoRA"),
        ("lllite_unet_input_blocks_1", "LLLite"),
    ] {
        let path = work.path().join("net.safetensors");
        file_with(&path, tensor);
        let message = control_error(open(&path)).to_string();
        assert!(
            message.contains(said) && message.contains("net.safetensors"),
            "{message}"
        );
    }
    let message = control_error(open(Path::new("reference-only"))).to_string();
    assert!(message.contains("reference-only control"), "{message}");
    // what only its configuration says
    let config = net_config("").replace("ControlNetModel", "ControlNetUnionModel");
    let path = net(work.path(), 1, &net_config(""));
    fs::write(path.join("config.json"), config).expect("written");
    let message = chain(&open(&path));
    assert!(message.contains("ControlNetUnionModel"), "{message}");
    // a file by itself that is of no published size
    let alone = work.path().join("alone.safetensors");
    fs::copy(path.join("diffusion_pytorch_model.safetensors"), &alone).expect("copied");
    match control_error(open(&alone)) {
        ControlNetError::NoConfiguration { width, .. } => assert_eq!(width, Some(80)),
        other => panic!("{other}"),
    }
}

/// Nothing in a file tells that its net gives one number a channel.
#[test]
fn a_file_that_shuffles_is_known_by_its_name() {
    let work = work();
    let config = ControlNetConfig::for_unet(UNetConfig::sd15());
    let tensors = asked(|w| drop(ControlNetModel::new(&config, w)));
    for (name, pools) in [
        ("control_v11e_sd15_Shuffle", true),
        ("control_canny", false),
    ] {
        let path = work.path().join(format!("{name}.safetensors"));
        drop(sparse(&path, &tensors));
        let files =
            ControlNetFiles::open(&path, &UNetConfig::sd15(), 4, &options()).expect("a net");
        assert_eq!(files.config().global_pool, pools, "{name}");
    }
}

#[test]
fn requests() {
    let work = work();
    let pipeline = controlled(&[&net(work.path(), 1, &net_config(""))]);
    let control = || ControlRequest::new(0, picture(1));
    let with = |control: ControlRequest| {
        let mut request = request(&["statue"]);
        request.extra.controls = vec![control];
        request
    };
    let gated = |concept| with(control().gate(ConceptGate::inside(concept)));
    let everywhere = ConceptRequest::words_only("book").words(Words::Everywhere);
    let mut cut = with(control());
    let mask = MaskImage {
        grid: Grid::new(64, 64),
        values: vec![1.0; 64 * 64],
        warning: None,
    };
    let start = Start::new(image::RgbImage::new(64, 64));
    cut.start = Some(start.repaint(Repaint::from(mask).padding(8)));
    let cases: [(&str, Request); 7] = [
        ("control of a region that is cut out", cut),
        (
            "below the 1 that are loaded",
            with(ControlRequest::new(1, picture(1))),
        ),
        ("finite", with(control().scale(f32::NAN))),
        (
            "pixels",
            with(ControlRequest::new(0, image::RgbImage::new(8, 0))),
        ),
        ("below the 1 of the request", gated(1)),
        ("no words", gated(1).concept(everywhere)),
        ("the authors' code", gated(0).fidelity(Fidelity::Authors)),
    ];
    for (said, request) in cases {
        let message = chain(&pipeline.check_request(&request).expect_err("refused"));
        assert!(message.contains(said), "{said}: {message}");
    }
}
