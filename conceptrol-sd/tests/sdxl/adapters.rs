//! Adapters of other kinds and types than the one of the fixture, made here.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::clip_vision::ClipVisionConfig;
use conceptrol_core::models::weights::{Checkpoint, TensorInfo, Weights};
use conceptrol_core::pipeline::LoadOptions;
use conceptrol_sd::{
    StableDiffusion,
    adapter::{AdapterKind, IpAdapterWeights},
    config::UNetConfig,
    sites::attention_sites,
};
use safetensors::{Dtype, tensor::TensorView};

use crate::tiny::{assert_same, folder, latents, request};

/// Writes tensors as `dtype`, their values rounded to f16.
fn write(
    path: &Path,
    tensors: impl IntoIterator<Item = TensorInfo>,
    dtype: FloatDType,
    values: impl Fn(&TensorInfo) -> Vec<f32>,
) {
    let stored = if dtype == FloatDType::F16 {
        Dtype::F16
    } else {
        Dtype::F32
    };
    let tensors = tensors.into_iter().map(|tensor| {
        let device = Device::flex();
        let rounded =
            Tensor::<1>::from_floats(values(&tensor).as_slice(), &device).cast(FloatDType::F16);
        let bytes = rounded.cast(dtype).into_data().as_bytes().to_vec();
        (tensor.name, (tensor.shape, bytes))
    });
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = tensors.collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (
            name,
            TensorView::new(stored, shape.clone(), bytes).expect("bytes of that shape"),
        )
    });
    safetensors::serialize_to_file(views, None, path).expect("a writable folder");
}

fn open(adapters: &[&Path]) -> StableDiffusion {
    let options = LoadOptions::new(Device::flex());
    let options = adapters.iter().fold(options, |options, adapter| {
        options.adapter((*adapter, folder().join("image_encoder")))
    });
    StableDiffusion::open(folder().join("model"), options).expect("the tiny model opens")
}

/// A base adapter of random numbers for the tiny model and its image encoder.
fn write_base(path: &Path) {
    let encoder = ClipVisionConfig::from_file(folder().join("image_encoder/config.json")).unwrap();
    let unet = UNetConfig::from_file(folder().join("model/unet/config.json")).unwrap();
    let kind = AdapterKind::Base {
        embedding_dim: encoder.projection_dim,
        tokens: 4,
        output_dim: unet.context_dim,
    };
    let names = Weights::names(&Device::flex());
    let _ = IpAdapterWeights::new(kind, &attention_sites(&unet), &names);
    write(path, names.finish().unwrap(), FloatDType::F32, |tensor| {
        let count: usize = tensor.shape.iter().product();
        let phase = tensor.name.len() as f32;
        (0..count)
            .map(|i| (i as f32 * 1.7 + phase).sin() * 0.5)
            .collect()
    });
}

#[test]
fn each_concept_has_its_own_adapter() {
    let folder_of_base = tempfile::tempdir().unwrap();
    let base = folder_of_base.path().join("ip-adapter_sdxl.safetensors");
    write_base(&base);
    let plus = folder().join("ip_adapter.safetensors");

    let ask = |statue: usize, book: usize| {
        let mut request = request(&["statue", "the book"]);
        request.concepts[0].adapter = statue;
        request.concepts[1].adapter = book;
        request
    };
    let pipeline = open(&[&plus, &base]);
    let mixed = latents(&pipeline, &ask(0, 1));
    let others = [ask(0, 0), ask(1, 1), ask(1, 0)];
    for other in &others {
        assert_ne!(latents(&pipeline, other), mixed);
    }
    assert_same(
        &latents(&open(&[&base, &plus]), &ask(1, 0)),
        &mixed,
        "adapters in another order",
    );
    assert_same(
        &latents(&open(&[&base]), &ask(0, 0)),
        &latents(&pipeline, &others[1]),
        "an adapter that no concept names",
    );
}

#[test]
fn a_half_precision_adapter_computes_like_its_numbers_in_single() {
    let scratch = tempfile::tempdir().unwrap();
    let stored = Checkpoint::open(folder().join("ip_adapter.safetensors")).unwrap();
    let [half, single] = [FloatDType::F16, FloatDType::F32].map(|dtype| {
        let path = scratch.path().join(format!("{dtype:?}.safetensors"));
        write(&path, stored.tensors(), dtype, |tensor| {
            values(&stored, tensor)
        });
        open(&[&path])
    });
    let asked = request(&["statue"]);
    assert_eq!(latents(&half, &asked), latents(&single, &asked));
    let projection = half.adapter(0).unwrap().layers()[0].projection();
    assert_eq!(
        projection.key.dtype(),
        FloatDType::F16.into(),
        "kept as stored"
    );
}

fn values(file: &Checkpoint, tensor: &TensorInfo) -> Vec<f32> {
    fn flat<const D: usize>(file: &Checkpoint, name: &str) -> Vec<f32> {
        let tensor = file
            .load::<D>(name, &Device::flex(), FloatDType::F32)
            .unwrap();
        tensor.unwrap().into_data().try_to_vec().unwrap()
    }
    match tensor.shape.len() {
        1 => flat::<1>(file, &tensor.name),
        2 => flat::<2>(file, &tensor.name),
        _ => flat::<3>(file, &tensor.name),
    }
}
