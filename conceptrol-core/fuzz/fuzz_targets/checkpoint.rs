//! Arbitrary bytes as a checkpoint: no panic, no hang, no memory beyond the size of the file.
//!
//! `cargo +nightly fuzz run checkpoint` in `conceptrol-core`; the small files of `tests/fixtures/torch`
//! and `tests/fixtures/gguf` are good seeds.
#![no_main]

#[path = "../../tests/weights/read_all.rs"]
mod read_all;

use conceptrol_core::models::weights::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read_all::read_all(Format::Safetensors, bytes.to_vec());
    read_all::read_all(Format::Torch, bytes.to_vec());
    read_all::read_all(Format::Gguf, bytes.to_vec());
});
