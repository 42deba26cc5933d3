use std::fmt;

use super::{BlockFormat, floats};

/// How numbers are stored in fewer than four bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompactFormat {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 8 bits, 4 of exponent and 3 of mantissa, no infinities.
    F8E4M3,
    /// 8 bits, 5 of exponent and 2 of mantissa.
    F8E5M2,
    /// Blocks of small integers and their scales.
    Blocks(BlockFormat),
}

impl CompactFormat {
    /// Elements that are stored together: one, except for blocks.
    pub const fn elements(self) -> usize {
        match self {
            Self::Blocks(format) => format.elements(),
            _ => 1,
        }
    }

    /// Bytes of what is stored together.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F8E4M3 | Self::F8E5M2 => 1,
            Self::Blocks(format) => format.bytes(),
        }
    }

    /// Whether it takes fewer bytes for a number than `bytes`.
    pub const fn is_below(self, bytes: usize) -> bool {
        self.bytes() < bytes * self.elements()
    }

    /// The values of whole blocks, in single precision.
    #[inline(always)]
    pub(crate) fn decode(self, stored: &[u8], into: &mut [f32]) {
        match self {
            Self::F16 => halves(stored, into, floats::f16),
            Self::BF16 => halves(stored, into, floats::bf16),
            Self::F8E4M3 => bytes(stored, into, floats::e4m3),
            Self::F8E5M2 => bytes(stored, into, floats::e5m2),
            Self::Blocks(format) => format.decode(stored, into),
        }
    }
}

#[inline(always)]
fn halves(stored: &[u8], into: &mut [f32], widen: impl Fn(u16) -> f32) {
    let (stored, _) = stored.as_chunks::<2>();
    for (into, stored) in into.iter_mut().zip(stored) {
        *into = widen(u16::from_le_bytes(*stored));
    }
}

#[inline(always)]
fn bytes(stored: &[u8], into: &mut [f32], widen: impl Fn(u8) -> f32) {
    for (into, stored) in into.iter_mut().zip(stored) {
        *into = widen(*stored);
    }
}

impl fmt::Display for CompactFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F16 => f.write_str("f16"),
            Self::BF16 => f.write_str("bf16"),
            Self::F8E4M3 => f.write_str("f8_e4m3"),
            Self::F8E5M2 => f.write_str("f8_e5m2"),
            Self::Blocks(format) => write!(f, "{format}"),
        }
    }
}
