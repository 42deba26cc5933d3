//! Full-size single files: every name both ways, and opening one, from files that are headers and holes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use conceptrol_core::{
    models::{
        autoencoder_kl::{self, AutoencoderKl},
        clip_text::{self, ClipTextModel},
        weights::{Checkpoint, Weights},
    },
    pipeline::Pipeline,
};
use conceptrol_sd::{
    StableDiffusion,
    published::Published,
    unet::{self, UNet2DConditionModel},
};
use serde_json::{Map, Value, json};

use crate::tiny::{options, request};

pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;
/// A name that people know, and its shape.
pub(crate) type Known = (&'static str, &'static [usize]);

/// A file of f16 tensors of these names and shapes that takes no room on the disk.
pub(crate) fn sparse(path: &Path, tensors: &Shapes) -> Checkpoint {
    let (mut header, mut end) = (Map::new(), 0_usize);
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
    Checkpoint::open(path).unwrap()
}

/// The tensors that `build` asks for.
pub(crate) fn asked(build: impl FnOnce(&Weights)) -> Shapes {
    let weights = Weights::names(&Device::flex());
    build(&weights);
    let tensors = weights.finish().unwrap().into_iter();
    tensors.map(|tensor| (tensor.name, tensor.shape)).collect()
}

pub(crate) fn shapes(file: &Checkpoint) -> Shapes {
    file.tensors()
        .map(|tensor| (tensor.name, tensor.shape))
        .collect()
}

/// The tensors that a manifest of the published checkpoint lists.
pub(crate) fn manifest(name: &str) -> Shapes {
    let path = format!(
        "{}/tests/fixtures/manifests/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(manifest["tensors"].clone()).unwrap()
}

/// The single file of a published model, as its own table names it.
pub(crate) fn original(published: Published, work: &Path) -> Checkpoint {
    let part = |name: &str, tensors: &Shapes| sparse(&work.join(name), tensors);
    let list = match published {
        Published::Sd15 => "sd15-unet",
        Published::Sdxl => "sdxl-unet",
    };
    let own_unet = part("unet.safetensors", &manifest(list));
    let own_vae = asked(|w| drop(AutoencoderKl::new(&published.vae(), w)));
    let own_vae = part("vae.safetensors", &own_vae);
    let encoders = published.text_encoders();
    let text = |index: usize| {
        let own = asked(|w| drop(ClipTextModel::new(&encoders[index], w)));
        part(&format!("text_{index}.safetensors"), &own)
    };
    let unet = unet::original_names(&published.unet(), &own_unet).unwrap();
    let vae = autoencoder_kl::original_names(&own_vae).unwrap();
    // and back
    let back = unet::own_names(&published.unet(), &unet).unwrap();
    assert_eq!(shapes(&back), shapes(&own_unet));
    assert_eq!(
        shapes(&autoencoder_kl::own_names(&vae).unwrap()),
        shapes(&own_vae)
    );
    let mut parts = vec![
        ("model.diffusion_model.", unet),
        ("first_stage_model.", vae),
    ];
    match published {
        Published::Sd15 => parts.push(("cond_stage_model.transformer.", text(0))),
        Published::Sdxl => {
            parts.push(("conditioner.embedders.0.transformer.", text(0)));
            let second = clip_text::open_clip_names(&text(1)).unwrap();
            assert_eq!(
                shapes(&clip_text::own_names(&second).unwrap()),
                shapes(&text(1))
            );
            parts.push(("conditioner.embedders.1.model.", second));
        }
    }
    Checkpoint::together("memory", parts).unwrap()
}

/// Whole files: how many tensors they have, and names that people know, with their shapes.
#[test]
fn names_are_the_published_ones() {
    let cases: [(Published, usize, &[Known]); 2] = [
        (
            Published::Sd15,
            686 + 248 + 196,
            &[
                (
                    "model.diffusion_model.input_blocks.0.0.weight",
                    &[320, 4, 3, 3],
                ),
                (
                    "model.diffusion_model.input_blocks.3.0.op.weight",
                    &[320, 320, 3, 3],
                ),
                (
                    "model.diffusion_model.input_blocks.4.0.skip_connection.weight",
                    &[640, 320, 1, 1],
                ),
                (
                    "model.diffusion_model.middle_block.1.proj_in.weight",
                    &[1280, 1280, 1, 1],
                ),
                (
                    "model.diffusion_model.output_blocks.2.1.conv.weight",
                    &[1280, 1280, 3, 3],
                ),
                (
                    "model.diffusion_model.output_blocks.5.2.conv.weight",
                    &[1280, 1280, 3, 3],
                ),
                (
                    "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight",
                    &[320, 768],
                ),
                ("model.diffusion_model.out.2.weight", &[4, 320, 3, 3]),
                (
                    "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight",
                    &[128, 256, 1, 1],
                ),
                (
                    "first_stage_model.decoder.mid.attn_1.q.weight",
                    &[512, 512, 1, 1],
                ),
                (
                    "cond_stage_model.transformer.text_model.final_layer_norm.weight",
                    &[768],
                ),
            ],
        ),
        (
            Published::Sdxl,
            1680 + 248 + 196 + 389,
            &[
                ("model.diffusion_model.label_emb.0.0.weight", &[1280, 2816]),
                (
                    "model.diffusion_model.input_blocks.7.1.transformer_blocks.9.ff.net.0.proj.weight",
                    &[10240, 1280],
                ),
                (
                    "model.diffusion_model.input_blocks.8.1.proj_out.weight",
                    &[1280, 1280],
                ),
                (
                    "model.diffusion_model.output_blocks.2.2.conv.weight",
                    &[1280, 1280, 3, 3],
                ),
                (
                    "model.diffusion_model.output_blocks.8.0.out_layers.3.weight",
                    &[320, 320, 3, 3],
                ),
                (
                    "conditioner.embedders.1.model.transformer.resblocks.31.attn.in_proj_weight",
                    &[3840, 1280],
                ),
                (
                    "conditioner.embedders.1.model.text_projection",
                    &[1280, 1280],
                ),
                (
                    "conditioner.embedders.1.model.positional_embedding",
                    &[77, 1280],
                ),
            ],
        ),
    ];
    for (published, count, known) in cases {
        let work = tempfile::tempdir().unwrap();
        let file = original(published, work.path());
        assert_eq!(file.len(), count, "{published:?}");
        for (name, shape) in known {
            let found = file.get(name).map(|(_, shape)| shape);
            assert_eq!(found, Some(*shape), "{name}");
        }
    }
}

/// Opening compares every tensor with the model; nothing is read, and no configuration is needed.
#[test]
fn full_size_files_open_by_themselves() {
    for published in [Published::Sd15, Published::Sdxl] {
        let work = tempfile::tempdir().unwrap();
        let tensors = shapes(&original(published, work.path()));
        let path: PathBuf = work.path().join("model.safetensors");
        drop(sparse(&path, &tensors));
        let pipeline = StableDiffusion::open(&path, options()).unwrap();
        assert_eq!(pipeline.unet_config(), &published.unet());
        assert_eq!(
            pipeline.text_parts().is_dual(),
            published == Published::Sdxl
        );
        // the vocabulary that comes with the library
        let text = pipeline.text_parts();
        assert_eq!(
            text.tokenizer().encode("a cat").ids[..4],
            [49406, 320, 2368, 49407]
        );
        if let Some(second) = text.tokenizer_2() {
            assert_eq!(
                second.encode("a cat!").ids[..6],
                [49406, 320, 2368, 0, 49407, 0]
            );
        }
        pipeline.scheduler(&request(&[])).unwrap();
        let unet = asked(|w| drop(UNet2DConditionModel::new(pipeline.unet_config(), w)));
        assert_eq!(
            unet.len(),
            if published == Published::Sdxl {
                1680
            } else {
                686
            }
        );
    }
}
