//! Full-size `ControlNets` and `UNet`s that edit: every name both ways, from files that are headers and holes.

use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_sd::{
    StableDiffusion,
    config::ControlNetConfig,
    controlnet::{self, ControlNetFiles, ControlNetModel},
    published::Published,
    unet::{self, UNet2DConditionModel},
};

use crate::{
    made::work,
    published::{Known, asked, manifest, original, shapes, sparse},
    tiny::options,
};

const MODELS: [(Published, &str, usize); 2] = [
    (Published::Sd15, "sd15-unet", 340),
    (Published::Sdxl, "sdxl-unet", 844),
];

fn config(published: Published) -> ControlNetConfig {
    ControlNetConfig::for_unet(published.unet())
}

fn net(config: &ControlNetConfig) -> impl FnOnce(&Weights) + use<'_> {
    |w: &Weights| drop(ControlNetModel::new(config, w))
}

/// A net has all of the UNet's down half and middle, as the manifest of the published UNet lists them.
#[test]
fn a_net_is_half_of_the_published_unet() {
    for (published, list, count) in MODELS {
        let config = config(published);
        let tensors = asked(net(&config));
        assert_eq!(tensors.len(), count, "{published:?}");
        let other = ["up_blocks.", "conv_norm_out.", "conv_out."];
        let half = |name: &str| !other.iter().any(|prefix| name.starts_with(prefix));
        let mut unet = manifest(list);
        unet.retain(|name, _| half(name));
        let mut shared = tensors;
        shared.retain(|name, _| !name.starts_with("controlnet_"));
        assert_eq!(shared, unet, "{published:?}");
    }
}

/// Original names both ways, and files of either naming by themselves, with and without a prefix.
#[test]
fn names_are_the_published_ones() {
    let known: [&[Known]; 2] = [
        &[
            ("input_hint_block.0.weight", &[16, 3, 3, 3]),
            ("input_hint_block.4.weight", &[32, 16, 3, 3]),
            ("input_hint_block.12.weight", &[256, 96, 3, 3]),
            ("input_hint_block.14.weight", &[320, 256, 3, 3]),
            ("zero_convs.0.0.weight", &[320, 320, 1, 1]),
            ("zero_convs.11.0.bias", &[1280]),
            ("middle_block_out.0.weight", &[1280, 1280, 1, 1]),
            ("input_blocks.3.0.op.weight", &[320, 320, 3, 3]),
            (
                "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
                &[320, 768],
            ),
            ("middle_block.2.out_layers.3.weight", &[1280, 1280, 3, 3]),
            ("time_embed.2.weight", &[1280, 1280]),
        ],
        &[
            ("label_emb.0.0.weight", &[1280, 2816]),
            ("zero_convs.8.0.weight", &[1280, 1280, 1, 1]),
            (
                "input_blocks.8.1.transformer_blocks.9.attn2.to_k.weight",
                &[1280, 2048],
            ),
        ],
    ];
    for ((published, _, count), known) in MODELS.into_iter().zip(known) {
        let work = work();
        let (config, unet) = (config(published), published.unet());
        let own = sparse(&work.path().join("own.safetensors"), &asked(net(&config)));
        let original = controlnet::original_names(&config, &own).unwrap();
        assert_eq!(original.len(), count);
        for (name, shape) in known {
            let found = original.get(name).map(|(_, shape)| shape);
            assert_eq!(found, Some(*shape), "{name}");
        }
        let own_left =
            |name: &String| name.starts_with("controlnet_") || name.contains("_blocks.0.resnets");
        assert!(!shapes(&original).keys().any(own_left));
        let back = controlnet::own_names(&config, &original).unwrap();
        assert_eq!(shapes(&back), shapes(&own));
        let prefixed = Checkpoint::together("memory", vec![("control_model.", original.clone())]);
        for file in [original, prefixed.unwrap(), own] {
            let path = work.path().join("net.safetensors");
            drop(sparse(&path, &shapes(&file)));
            let files = ControlNetFiles::open(&path, &unet, 4, &options()).unwrap();
            assert_eq!(files.config(), &config);
        }
    }
}

/// A UNet that edits has 8 channels in, and its single file says so.
#[test]
fn unets_that_edit_open_by_themselves() {
    for (published, list, _) in MODELS {
        let work = work();
        let mut config = published.unet();
        config.in_channels = 8;
        let mut expected = manifest(list);
        expected.insert("conv_in.weight".into(), vec![320, 8, 3, 3]);
        let tensors = asked(|w| drop(UNet2DConditionModel::new(&config, w)));
        assert_eq!(tensors, expected);
        let own = sparse(&work.path().join("own.safetensors"), &tensors);
        let names = unet::original_names(&config, &own).unwrap();
        let first = names.get("input_blocks.0.0.weight").map(|(_, shape)| shape);
        assert_eq!(first, Some(&[320, 8, 3, 3][..]));
        assert_eq!(shapes(&unet::own_names(&config, &names).unwrap()), tensors);
        let mut whole = shapes(&original(published, work.path()));
        let first = "model.diffusion_model.input_blocks.0.0.weight";
        whole.insert(first.into(), vec![320, 8, 3, 3]);
        let path = work.path().join("model.safetensors");
        drop(sparse(&path, &whole));
        let pipeline = StableDiffusion::open(&path, options()).unwrap();
        assert_eq!(pipeline.unet_config(), &config);
    }
}
