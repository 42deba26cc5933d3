//! Noise against torch 2.6: `fixtures/noise.safetensors` holds draws of `torch.randn` on the CPU, named
//! `randn[_dtype].seed<s>.n<count>`, `sequence.seed<s>.<index>.n<count>` (one generator) and `rand.seed<s>.n<count>`.

mod common;

use std::path::Path;

use common::largest;
use conceptrol_core::models::noise::{Generator, NoiseDtype, randn_per_seed};
use safetensors::SafeTensors;

/// torch's own kernels (AVX2, AVX512, scalar) differ from each other by 1.4e-6.
const ATOL: f32 = 2e-6;

/// Half-precision draws are rounded the same way, save where a last-ulp difference crosses a rounding border:
/// then by one step of the type.
const HALF_STEP: [f32; 2] = [1.0 / 1024.0, 1.0 / 128.0];

fn check(name: &str, drawn: &[f32], expected: &[f32]) {
    assert_eq!(drawn.len(), expected.len(), "{name}");
    let deviations = drawn.iter().zip(expected).map(|(a, b)| match () {
        () if name.contains("_f16") => (a - b).abs() / (b.abs().max(1.0) * HALF_STEP[0]) * ATOL,
        () if name.contains("bf16") => (a - b).abs() / (b.abs().max(1.0) * HALF_STEP[1]) * ATOL,
        () => (a - b).abs(),
    });
    let worst = largest(deviations);
    let exact = drawn.len() < 16 || name.starts_with("rand.");
    println!("{name} {worst:e}");
    assert!(
        worst <= if exact { 0.0 } else { ATOL },
        "{name}: deviation {worst:e}"
    );
}

fn number(part: &str) -> u64 {
    part.trim_start_matches(char::is_alphabetic)
        .parse()
        .expect("a number in the name of a fixture tensor")
}

#[test]
fn draws_equal_those_of_torch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/noise.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort();
    let mut sequence = (String::new(), Generator::new(0));
    for name in names {
        let data = file.tensor(name).unwrap().data().to_vec();
        let expected: Vec<f32> = data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let parts: Vec<&str> = name.split('.').collect();
        let seed = number(parts[1]);
        let drawn = match parts[0] {
            "sequence" => {
                if sequence.0 != parts[1] {
                    sequence = (parts[1].into(), Generator::new(seed));
                }
                sequence.1.randn(&[expected.len()])
            }
            "rand" => Generator::new(seed).rand(expected.len()),
            "randn_f16" => Generator::new(seed).randn_in(&[expected.len()], NoiseDtype::F16),
            "randn_bf16" => Generator::new(seed).randn_in(&[expected.len()], NoiseDtype::Bf16),
            "randn_f64_as_f32" => Generator::new(seed).randn_in(&[expected.len()], NoiseDtype::F64),
            _ => Generator::new(seed).randn(&[expected.len()]),
        };
        check(name, &drawn, &expected);
    }
}

#[test]
fn one_image_of_a_batch_does_not_depend_on_the_others() {
    let shape = [4, 8, 8];
    let batch = randn_per_seed(&[5, 9], &shape, NoiseDtype::F32);
    assert_eq!(batch[256..], Generator::new(9).randn(&shape));
}

#[test]
fn an_empty_draw_is_empty() {
    assert!(Generator::new(1).randn(&[0, 4]).is_empty());
}
