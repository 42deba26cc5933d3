//! Numbers computed from a name, the same as in `scripts/unet_golden.py`.

/// Uniform numbers in -1..1 from `SplitMix64`, seeded by FNV-1a of the name.
pub(crate) fn values(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let number = |index: usize| {
        let step = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut z = seed.wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(number).collect()
}

/// Norm scales around 1, biases around 0, everything else by its fan-in.
pub(crate) fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let unit = values(name, shape.iter().product());
    if shape.len() == 1 {
        let centre = if name.ends_with("weight") { 1.0 } else { 0.0 };
        return unit.into_iter().map(|x| x * 0.25 + centre).collect();
    }
    let fan_in: usize = shape[1..].iter().product();
    let scale = (1.5 / (fan_in as f64).sqrt()) as f32;
    unit.into_iter().map(|x| x * scale).collect()
}
