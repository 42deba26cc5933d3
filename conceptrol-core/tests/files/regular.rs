//! Paths where a file is expected and something else is, or a file without end.
#![cfg(unix)]

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use conceptrol_core::message::chain;
use conceptrol_core::models::autoencoder_kl::AutoencoderKlConfig;
use conceptrol_core::models::clip_text::ClipTextConfig;
use conceptrol_core::models::file::{ReadError, open_regular, read};
use conceptrol_core::models::image::{open, open_mask};
use conceptrol_core::models::tokenizer::{ClipTokenizer, T5Tokenizer};
use conceptrol_core::models::weights::{Checkpoint, Files, Weights};

/// Reads the path in one way, and returns what was said of it.
type Reader = fn(&Path) -> String;

const READERS: [(&str, Reader); 12] = [
    ("a.safetensors", |path| error(Checkpoint::open(path))),
    ("a.bin", |path| error(Checkpoint::open(path))),
    ("a.safetensors.index.json", |path| {
        error(Checkpoint::open(path))
    }),
    ("b.safetensors", |path| {
        let files = Files::Mapped(|path| fs::read(path).map(Into::into));
        error(Checkpoint::open_as(path, files))
    }),
    ("model.safetensors", |path| {
        error(Checkpoint::open(path.parent().expect("it is in a folder")))
    }),
    ("c.safetensors", |path| {
        let (device, dtype) = (burn::tensor::Device::flex(), burn::tensor::FloatDType::F32);
        error(Weights::open(path, &device, dtype))
    }),
    ("vae.json", |path| {
        error(AutoencoderKlConfig::from_file(path))
    }),
    ("clip.json", |path| error(ClipTextConfig::from_file(path))),
    ("a.png", |path| error(open(path))),
    ("mask.png", |path| error(open_mask(path))),
    ("vocab.json", |path| {
        let folder = path.parent().expect("it is in a folder");
        fs::write(folder.join("merges.txt"), "#version: 0.2\n").expect("writable");
        error(ClipTokenizer::open(folder))
    }),
    ("tokenizer.json", |path| {
        error(T5Tokenizer::open(path.parent().expect("it is in a folder")))
    }),
];

fn error<T, E: std::error::Error>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => chain(&error),
    }
}

/// Calls every reader with what `make` puts at its path.
fn check(make: impl Fn(&Path), expected: &str) {
    for (name, reader) in READERS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        make(&path);
        let text = reader(&path);
        assert!(text.contains(expected), "{name}: {text}");
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn a_named_pipe_is_not_waited_for() {
    let make = |path: &Path| {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    check(make, "not a regular file");
}

#[test]
fn a_socket_or_device_is_no_file() {
    check(
        |path| drop(UnixListener::bind(path).unwrap()),
        "not a regular file",
    );
    let device = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    check(device, "not a regular file");
    for path in ["/dev/zero", "/dev/null", "/"] {
        assert_eq!(
            open_regular(path).unwrap_err().to_string(),
            "not a regular file"
        );
        assert!(matches!(read(path, 10), Err(ReadError::Io(_))));
    }
}

#[test]
fn files_of_the_system_that_have_no_length_end_at_the_limit() {
    let path = PathBuf::from("/proc/self/maps");
    if path.exists() {
        assert!(matches!(
            read(&path, 10),
            Err(ReadError::TooLarge {
                size: 11,
                limit: 10
            })
        ));
        assert!(read(&path, 1 << 20).unwrap().len() > 10);
    }
}

#[test]
fn what_is_larger_than_its_kind_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = |name: &str| {
        let path = folder.path().join(name);
        File::create(&path).unwrap().set_len(3 << 30).unwrap();
        path
    };
    let refused = |text: String, limit: &str| assert!(text.contains(limit), "{text}");
    let config = sparse("config.json");
    refused(error(AutoencoderKlConfig::from_file(&config)), "1048576");
    refused(error(ClipTextConfig::from_file(&config)), "1048576");
    refused(
        error(T5Tokenizer::open(sparse("tokenizer.json"))),
        "33554432",
    );
    refused(
        error(Checkpoint::open(sparse("x.safetensors.index.json"))),
        "67108864",
    );
    refused(error(open(sparse("a.png"))), "536870912");
    fs::write(
        folder.path().join("vocab.json"),
        r#"{"<|startoftext|>":0,"<|endoftext|>":1}"#,
    )
    .unwrap();
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    ClipTokenizer::open(folder.path()).unwrap();
    sparse("special_tokens_map.json");
    refused(error(ClipTokenizer::open(folder.path())), "1048576");
    sparse("tokenizer_config.json");
    refused(error(ClipTokenizer::open(folder.path())), "1048576");
    sparse("merges.txt");
    refused(error(ClipTokenizer::open(folder.path())), "33554432");
}
