//! `ControlNets` and `UNet`s that edit, of random weights, for the tiny model.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    models::weights::{TensorInfo, Weights},
    pipeline::LoadOptions,
};
use conceptrol_sd::{
    StableDiffusion,
    config::{ControlNetConfig, UNetConfig},
    controlnet::ControlNetModel,
    unet::UNet2DConditionModel,
};
use safetensors::{Dtype, tensor::TensorView};

use crate::tiny::{folder, options};

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// A folder with the nets that a test uses.
pub(crate) fn work() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The configuration of the tiny UNet as that of its `ControlNet`; `more` fields come with it.
pub(crate) fn net_config(more: &str) -> String {
    let unet = fs::read_to_string(folder().join("model/unet/config.json")).expect("a file");
    let class = r#""_class_name": "UNet2DConditionModel""#;
    let own = format!(
        r#""_class_name": "ControlNetModel", "conditioning_embedding_out_channels": [4, 8, 12, 16]{more}"#
    );
    assert!(unet.contains(class), "the class is named");
    unet.replace(class, &own)
}

/// A `ControlNet` with random weights in a folder of `work`.
pub(crate) fn net(work: &Path, seed: u64, config: &str) -> PathBuf {
    let path = work.join(format!("net_{seed}"));
    fs::create_dir_all(&path).expect("a folder");
    fs::write(path.join("config.json"), config).expect("written");
    let config = ControlNetConfig::from_json(config).expect("a valid configuration");
    let build = |w: &Weights| drop(ControlNetModel::new(&config, w));
    random(&path.join(WEIGHTS), seed, build);
    path
}

/// The tiny model with its adapter and these nets.
pub(crate) fn controlled(nets: &[&Path]) -> StableDiffusion {
    controlled_with(nets, options())
}

/// The same with other options.
pub(crate) fn controlled_with(nets: &[&Path], options: LoadOptions) -> StableDiffusion {
    let options = (nets.iter()).fold(options, |options, net| options.controlnet(*net));
    crate::tiny::open(1, options)
}

/// The tiny model with a UNet of random weights that edits.
pub(crate) fn editor(work: &Path) -> StableDiffusion {
    open_editor(work, options())
}

/// The same with other options.
pub(crate) fn open_editor(work: &Path, options: LoadOptions) -> StableDiffusion {
    let path = work.join("unet_8");
    fs::create_dir_all(&path).expect("a folder");
    let config = fs::read_to_string(folder().join("model/unet/config.json")).expect("a file");
    let config = config.replace(r#""in_channels": 4"#, r#""in_channels": 8"#);
    fs::write(path.join("config.json"), &config).expect("written");
    let config = UNetConfig::from_json(&config).expect("a valid configuration");
    assert_eq!(config.in_channels, 8);
    let build = |w: &Weights| drop(UNet2DConditionModel::new(&config, w));
    random(&path.join(WEIGHTS), 5, build);
    crate::tiny::open(1, options.part("unet", path))
}

/// Writes the tensors that `build` asks for; random, those of biases as well.
fn random(path: &Path, seed: u64, build: impl FnOnce(&Weights)) {
    let device = Device::flex();
    let names = Weights::names(&device);
    build(&names);
    let weights = Weights::random(seed, &device, FloatDType::F32);
    let tensors = names.finish().expect("names").into_iter();
    let tensors: Vec<_> = tensors.map(|info| (bytes(&weights, &info), info)).collect();
    let views = tensors.iter().map(|(bytes, info)| {
        let view = TensorView::new(Dtype::F32, info.shape.clone(), bytes).expect("its bytes");
        (info.name.clone(), view)
    });
    safetensors::serialize_to_file(views, None, path).expect("written");
}

fn bytes(weights: &Weights, info: &TensorInfo) -> Vec<u8> {
    fn of<const D: usize>(weights: &Weights, info: &TensorInfo) -> Vec<u8> {
        let shape: [usize; D] = info.shape.as_slice().try_into().expect("its axes");
        let numbers: Tensor<D> = weights.tensor(&info.name, shape).val();
        // large enough to see what they do
        (numbers * 2.0).into_data().as_bytes().to_vec()
    }
    match info.shape.len() {
        1 => of::<1>(weights, info),
        2 => of::<2>(weights, info),
        _ => of::<4>(weights, info),
    }
}
