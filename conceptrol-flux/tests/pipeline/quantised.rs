//! Parts of a model in GGUF files, as llama.cpp names them.

use std::{fs, path::Path};

use conceptrol_core::{models::weights::Checkpoint, pipeline::Mode};

use crate::tiny::{bare, latents, model, open, request};

/// The types of GGUF, by their numbers: 32 bits, 16, and 4 or 8 with a scale for 32 numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stored {
    F32 = 0,
    Q4_0 = 2,
    Q8_0 = 8,
    Bf16 = 30,
}

pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) stored: Stored,
    pub(crate) bytes: Vec<u8>,
}

/// A file of version 3 with one field, which says what it is.
pub(crate) fn write(path: &Path, entries: &[Entry]) {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend(text("general.architecture"));
    file.extend(8_u32.to_le_bytes());
    file.extend(text("t5encoder"));
    let mut offset = 0_u64;
    for entry in entries {
        file.extend(text(&entry.name));
        file.extend((entry.shape.len() as u32).to_le_bytes());
        for axis in entry.shape.iter().rev() {
            file.extend((*axis as u64).to_le_bytes());
        }
        file.extend((entry.stored as u32).to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += (entry.bytes.len() as u64).next_multiple_of(32);
    }
    for entry in entries {
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(&entry.bytes);
    }
    fs::write(path, file).expect("written");
}

/// What llama.cpp calls a tensor of T5.
fn llama(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["shared", "weight"] => "token_embd.weight".into(),
        ["encoder", "final_layer_norm", "weight"] => "enc.output_norm.weight".into(),
        [
            "encoder",
            "block",
            block,
            "layer",
            layer,
            ..,
            module,
            "weight",
        ] => {
            let place = if layer == "0" { "attn" } else { "ffn" };
            let module = match module {
                "layer_norm" => "norm",
                "wi_0" => "gate",
                "wi_1" => "up",
                "wo" => "down",
                "relative_attention_bias" => "rel_b",
                projection => projection,
            };
            format!("enc.blk.{block}.{place}_{module}.weight")
        }
        _ => panic!("{name}"),
    }
}

/// The T5 of the tiny model; its matrices in these bytes.
fn t5(path: &Path, stored: Stored) {
    let file = Checkpoint::open(model().join("text_encoder_2")).expect("a file");
    let mut entries: Vec<Entry> = Vec::new();
    for tensor in file.tensors() {
        let values = file.values(&tensor.name).expect("readable");
        let is_matrix = tensor.shape.len() == 2 && tensor.shape[1] % 32 == 0;
        let stored = if is_matrix { stored } else { Stored::F32 };
        let bytes = match stored {
            // the scale 2^-6, which is exact in 16 bits
            Stored::Q8_0 => (values.chunks(32))
                .flat_map(|block| {
                    let codes = block.iter().map(|x| (x * 64.0).round() as i8 as u8);
                    [0x00, 0x24].into_iter().chain(codes).collect::<Vec<u8>>()
                })
                .collect(),
            _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        entries.push(Entry {
            name: llama(&tensor.name),
            shape: tensor.shape,
            stored,
            bytes,
        });
    }
    write(path, &entries);
}

#[test]
fn a_t5_under_the_names_of_llama() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t5.gguf");
    let text_only = request().mode(Mode::TextOnly);
    t5(&path, Stored::F32);
    let replaced = || open(bare().part("text_encoder_2", &path));
    let expected = latents(&open(bare()), &text_only);
    assert_eq!(latents(&replaced(), &text_only), expected);

    // as the numbers that the file stands for
    t5(&path, Stored::Q8_0);
    let quantised = latents(&replaced(), &text_only);
    assert_ne!(quantised, expected, "a matrix is quantised");
    let read = Checkpoint::open(&path).expect("a file");
    let name = "enc.blk.0.attn_q.weight";
    let (exact, own) = (
        read.values(name).expect("readable"),
        Checkpoint::open(model().join("text_encoder_2")).expect("a file"),
    );
    let own = own.values("encoder.block.0.layer.0.SelfAttention.q.weight");
    for (found, own) in exact.iter().zip(own.expect("readable")) {
        let expected = f32::from((own * 64.0).round() as i8) / 64.0;
        assert_eq!(*found, expected);
    }
}
