//! Each level of an error says what that level knows, and leaves the rest to its source.

use std::{error::Error, fs, path::Path};

use burn::tensor::{Device, FloatDType};
use conceptrol_core::{
    AttentionSites,
    message::chain,
    models::{
        autoencoder_kl::AutoencoderKlConfig,
        clip_text::ClipTextConfig,
        clip_vision::ClipVisionConfig,
        image,
        scheduler::SchedulerConfig,
        t5::T5Config,
        tokenizer::{ClipTokenizer, T5Tokenizer},
        weights::Checkpoint,
    },
    pipeline::LoadOptions,
};
use conceptrol_flux::{Flux, FluxConfig};
use conceptrol_sd::{StableDiffusion, adapter::IpAdapterWeights, config::UNetConfig};

/// What reading a path ends with.
type Reader = fn(&Path) -> Option<Box<dyn Error>>;

fn error<T, E: Error + 'static>(result: Result<T, E>) -> Option<Box<dyn Error>> {
    result.err().map(|error| Box::new(error) as Box<dyn Error>)
}

fn folder(path: &Path) -> &Path {
    path.parent().expect("it is in a folder")
}

const READERS: [(&str, Reader); 16] = [
    ("a.safetensors", |path| error(Checkpoint::open(path))),
    ("a.bin", |path| error(Checkpoint::open(path))),
    ("a.safetensors.index.json", |path| {
        error(Checkpoint::open(path))
    }),
    ("a.png", |path| error(image::open(path))),
    ("mask.png", |path| error(image::open_mask(path))),
    ("vocab.json", |path| {
        error(ClipTokenizer::open(folder(path)))
    }),
    ("tokenizer.json", |path| {
        error(T5Tokenizer::open(folder(path)))
    }),
    ("clip.json", |path| error(ClipTextConfig::from_file(path))),
    ("vision.json", |path| {
        error(ClipVisionConfig::from_file(path))
    }),
    ("t5.json", |path| error(T5Config::from_file(path))),
    ("vae.json", |path| {
        error(AutoencoderKlConfig::from_file(path))
    }),
    ("scheduler.json", |path| error(SchedulerConfig::open(path))),
    ("unet.json", |path| error(UNetConfig::from_file(path))),
    ("flux.json", |path| error(FluxConfig::from_file(path))),
    ("ip-adapter.safetensors", |path| {
        let sites = AttentionSites::new([]);
        error(IpAdapterWeights::load(
            path,
            &sites,
            64,
            &Device::flex(),
            FloatDType::F32,
        ))
    }),
    ("model_index.json", |path| {
        let flux = error(Flux::open(folder(path), LoadOptions::new(Device::flex())));
        flux.or(error(StableDiffusion::open(
            folder(path),
            LoadOptions::new(Device::flex()),
        )))
    }),
];

/// What may be where a file is expected; `None` is nothing.
const CONTENTS: [Option<&[u8]>; 8] = [
    None,
    Some(b""),
    Some(b"{"),
    Some(b"[]"),
    Some(b"{}"),
    Some(b"<html><title>404</title></html>"),
    Some(br#"{ "_class_name": "FluxPipeline", "num_layers": -1, "hidden_size": "wide" }"#),
    Some(&[0xff; 64]),
];

#[test]
fn no_level_of_an_error_repeats_the_one_below() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut errors = 0;
    let mut check = |name: &str, outermost: &dyn Error| {
        errors += 1;
        let mut level = outermost;
        while let Some(source) = level.source() {
            let (message, below) = (level.to_string(), source.to_string());
            assert!(
                !message.contains(&below),
                "{name}: `{message}` repeats `{below}`"
            );
            level = source;
        }
        // the file, or the field of one
        let all = chain(outermost);
        assert!(all.len() < 2000 && !all.contains('\n'), "{name}: {all}");
    };
    for (index, content) in CONTENTS.into_iter().enumerate() {
        for (name, read) in READERS {
            let folder = scratch.path().join(format!("{index}-{name}"));
            fs::create_dir(&folder).expect("a new folder");
            let path = folder.join(name);
            if let Some(content) = content {
                fs::write(&path, content).expect("writable");
            }
            if let Some(error) = read(&path) {
                check(name, error.as_ref());
            }
            // a folder of that name
            let path = folder.join("folder").join(name);
            fs::create_dir_all(&path).expect("a new folder");
            if let Some(error) = read(&path) {
                check(name, error.as_ref());
            }
        }
    }
    assert!(errors > 100, "{errors} errors");
}

#[test]
fn a_chain_is_all_levels_from_the_outside_in() {
    let inner = std::io::Error::other("the disk is full");
    let outer = conceptrol_core::AttentionError::At {
        site: "mid.attn2".into(),
        layers: vec!["Capture".into(), "Store".into()],
        source: Box::new(conceptrol_core::AttentionError::Processor(inner.into())),
    };
    assert_eq!(
        chain(&outer),
        "mid.attn2, in Capture > Store: the disk is full"
    );
}
