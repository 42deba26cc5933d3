//! Floats of 8 and 16 bits, widened without branches so that loops over them become vector instructions.

/// IEEE 754 half precision.
#[inline(always)]
pub(in crate::kernel) fn f16(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff);
    let widened = match magnitude {
        // without the implicit one: put it in, and take it away again
        0..0x0400 => {
            let with_one = f32::from_bits((magnitude << 13) + (113 << 23));
            (with_one - f32::from_bits(113 << 23)).to_bits()
        }
        0x0400..0x7c00 => (magnitude << 13) + (112 << 23),
        0x7c00 => f32::INFINITY.to_bits(),
        // a quiet NaN, as processors widen it
        _ => magnitude << 13 | 0x7fc0_0000,
    };
    f32::from_bits(widened | u32::from(bits & 0x8000) << 16)
}

/// The upper half of a single.
#[inline(always)]
pub(in crate::kernel) fn bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `float8_e4m3fn`: bias 7, the all-ones pattern is the only NaN.
#[inline(always)]
pub(super) fn e4m3(byte: u8) -> f32 {
    let magnitude = u32::from(byte & 0x7f);
    let widened = match magnitude {
        0..8 => {
            let with_one = f32::from_bits((magnitude << 20) + (121 << 23));
            (with_one - f32::from_bits(121 << 23)).to_bits()
        }
        0x7f => f32::NAN.to_bits(),
        _ => (magnitude << 20) + (120 << 23),
    };
    f32::from_bits(widened | u32::from(byte & 0x80) << 24)
}

/// `float8_e5m2`: the upper byte of a half.
#[inline(always)]
pub(super) fn e5m2(byte: u8) -> f32 {
    f16(u16::from(byte) << 8)
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_halves_are_widened_as_the_processor_does() {
        for bits in 0..=u16::MAX {
            let (half, bf16) = (
                burn::tensor::f16::from_bits(bits).to_f32(),
                burn::tensor::bf16::from_bits(bits).to_f32(),
            );
            let same = |ours: f32, theirs: f32| {
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan())
            };
            assert!(same(super::f16(bits), half), "f16 {bits:04x}");
            assert!(same(super::bf16(bits), bf16), "bf16 {bits:04x}");
        }
    }

    /// The definition: sign, exponent of bias 7, mantissa of three bits.
    #[test]
    fn all_e4m3_codes_are_their_definition() {
        for byte in 0..=u8::MAX {
            let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f64::from(byte & 7) / 8.0);
            let magnitude = match (exponent, byte & 7) {
                (15, 7) => f64::NAN,
                (0, _) => mantissa * 2f64.powi(-6),
                _ => (1.0 + mantissa) * 2f64.powi(exponent - 7),
            };
            let sign = if byte >> 7 == 1 { -1.0 } else { 1.0 };
            let (ours, theirs) = (super::e4m3(byte), (sign * magnitude) as f32);
            let same = ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan());
            assert!(same, "{byte:02x}: {ours}, {theirs}");
        }
    }
}
