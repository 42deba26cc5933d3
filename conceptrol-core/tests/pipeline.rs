//! Parts of the pipeline that need no model: noise of each picture, numbers of entries.

mod common;

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use common::largest;
use conceptrol_core::{
    models::noise::{Generator, NoiseDtype},
    pipeline::{Seeds, check_count},
};
use proptest::prelude::*;
use safetensors::SafeTensors;

const TYPES: [NoiseDtype; 3] = [NoiseDtype::F32, NoiseDtype::F16, NoiseDtype::Bf16];

fn values(noise: Tensor<4>) -> Vec<f32> {
    noise.into_data().try_to_vec().expect("noise is f32")
}

/// `fixtures/noise.safetensors` holds what one generator of torch draws one time after the other.
#[test]
fn draws_follow_each_other_as_in_torch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/noise.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<&str> = file.names();
    names.retain(|name| name.starts_with("sequence."));
    names.sort_unstable();
    assert!(names.len() > 1);
    let (mut of, mut seeds) = (None, Seeds::new(0, 1, NoiseDtype::F32, &Device::flex()));
    for name in names {
        let seed = name.split('.').nth(1).unwrap();
        if of.replace(seed) != Some(seed) {
            let seed = seed.trim_start_matches("seed").parse().unwrap();
            seeds = Seeds::new(seed, 1, NoiseDtype::F32, &Device::flex());
        }
        let bytes = file.tensor(name).unwrap().data().chunks_exact(4);
        let expected: Vec<f32> = bytes
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let drawn = values(seeds.noise([1, 1, expected.len()]));
        let worst = largest(drawn.iter().zip(&expected).map(|(a, b)| (a - b).abs()));
        // torch's own kernels differ from each other by 1.4e-6
        assert!(worst <= 2e-6, "{name}: deviation {worst:e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the batch: each picture has the numbers of its own seed, in the order they are drawn.
    #[test]
    fn a_picture_draws_the_numbers_of_its_seed(
        first in any::<u64>(),
        images in 1_usize..5,
        shape in [1_usize..5, 1_usize..7, 1_usize..7],
        draws in 1_usize..4,
        dtype in prop::sample::select(TYPES.to_vec()),
    ) {
        let device = Device::flex();
        let mut seeds = Seeds::new(first, images, dtype, &device);
        let alone = |picture: usize| Generator::new(first.wrapping_add(picture as u64));
        let mut generators: Vec<Generator> = (0..images).map(alone).collect();
        let [channels, height, width] = shape;
        for _ in 0..draws {
            let noise = seeds.noise(shape);
            prop_assert_eq!(noise.dims(), [images, channels, height, width]);
            prop_assert_eq!(noise.dtype(), DType::F32);
            let expected = generators.iter_mut().flat_map(|generator| generator.randn_in(&shape, dtype));
            prop_assert_eq!(values(noise), expected.collect::<Vec<f32>>());
        }
        // what one picture draws more does not move the others
        let last = images - 1;
        let more = values(seeds.noise_of(last, shape));
        prop_assert_eq!(more, generators[last].randn_in(&shape, dtype));
        let after = values(seeds.noise(shape));
        let expected = generators.iter_mut().flat_map(|generator| generator.randn_in(&shape, dtype));
        prop_assert_eq!(after, expected.collect::<Vec<f32>>());
    }
}

#[test]
fn seeds_go_round_after_the_last() {
    let device = Device::flex();
    let mut seeds = Seeds::new(u64::MAX, 2, NoiseDtype::F32, &device);
    let both = values(seeds.noise([1, 2, 3]));
    assert_eq!(both[6..], Generator::new(0).randn(&[1, 2, 3]));
}

#[test]
fn one_entry_for_all_prompts_or_one_each() {
    let entries = |count: usize| vec![String::new(); count];
    let check = |count: usize, prompts: usize| {
        check_count(
            "the number of second prompts",
            Some(&entries(count)),
            prompts,
        )
    };
    for prompts in [1, 2, 7] {
        assert!(check_count("anything", None, prompts).is_ok());
        assert!(check(1, prompts).is_ok() && check(prompts, prompts).is_ok());
    }
    let message = |count, prompts| check(count, prompts).expect_err("refused").to_string();
    assert_eq!(
        message(2, 1),
        "the number of second prompts is 2, it must be 1"
    );
    assert_eq!(
        message(2, 3),
        "the number of second prompts is 2, it must be 1 or 3"
    );
    assert_eq!(
        message(0, 3),
        "the number of second prompts is 0, it must be 1 or 3"
    );
}
