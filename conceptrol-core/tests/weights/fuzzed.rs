//! Mutated files never panic, never hang and never allocate beyond the file: the entry point of `fuzz/` under proptest.

use conceptrol_core::models::weights::Format;
use proptest::prelude::*;

use crate::{counting, fixture, gguf, read_all::read_all, scaled};

/// A seed file with bytes changed, removed, doubled and cut off.
fn mutated(seed: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = seed.len();
    let edit = (0..len, any::<u8>(), 0..4u8, 1..16usize);
    prop::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut bytes = seed.clone();
        for (at, byte, kind, run) in edits {
            let at = at.min(bytes.len().saturating_sub(1));
            let end = (at + run).min(bytes.len());
            match kind {
                _ if bytes.is_empty() => bytes.push(byte),
                0 | 1 => bytes[at] = byte,
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn safetensors(bytes in mutated(counting(&[("a.weight", &[3, 2]), ("b", &[0, 4]), ("c", &[5])]))) {
        read_all(Format::Safetensors, bytes);
    }

    #[test]
    fn torch(bytes in prop_oneof![
        mutated(std::fs::read(fixture("nested.bin")).unwrap()),
        mutated(std::fs::read(fixture("views.pt")).unwrap()),
        mutated(std::fs::read(fixture("types.pt")).unwrap()),
        mutated(std::fs::read(fixture("legacy.bin")).unwrap()),
    ]) {
        read_all(Format::Torch, bytes);
    }

    #[test]
    fn gguf(bytes in prop_oneof![
        mutated(std::fs::read(gguf::fixture("edge_kv.gguf")).unwrap()),
        mutated(std::fs::read(gguf::fixture("q5_k.gguf")).unwrap()),
    ]) {
        read_all(Format::Gguf, bytes);
    }

    #[test]
    fn scaled(bytes in mutated(std::fs::read(scaled::fixture("scaled.safetensors")).unwrap())) {
        read_all(Format::Safetensors, bytes);
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        read_all(Format::Safetensors, bytes.clone());
        read_all(Format::Torch, bytes.clone());
        read_all(Format::Gguf, bytes);
    }
}
