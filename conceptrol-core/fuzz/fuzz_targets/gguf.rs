//! Arbitrary bytes as a GGUF file: no panic, no hang, no memory beyond the size of the file.
//!
//! `cargo +nightly fuzz run gguf` in `conceptrol-core`, with the files of `tests/fixtures/gguf` as seeds.
#![no_main]

#[path = "../../tests/weights/read_all.rs"]
mod read_all;

use conceptrol_core::models::weights::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| read_all::read_all(Format::Gguf, bytes.to_vec()));
