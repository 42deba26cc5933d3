use std::fmt;

use super::{plain, superblock};

/// How a block of quantised weights is stored: the names of ggml, whose `ggml-common.h` defines their layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(non_camel_case_types, reason = "the names everybody knows them by")]
pub enum BlockFormat {
    /// 32 of 4 bits, one scale.
    Q4_0,
    /// 32 of 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 of 5 bits, one scale.
    Q5_0,
    /// 32 of 5 bits, a scale and a minimum.
    Q5_1,
    /// 32 of 8 bits, one scale.
    Q8_0,
    /// 256 of 2 bits, 16 scales and minima of 4 bits.
    Q2_K,
    /// 256 of 3 bits, 16 scales of 6 bits.
    Q3_K,
    /// 256 of 4 bits, 8 scales and minima of 6 bits.
    Q4_K,
    /// 256 of 5 bits, 8 scales and minima of 6 bits.
    Q5_K,
    /// 256 of 6 bits, 16 scales of 8 bits.
    Q6_K,
    /// 32 of 4 bits, which count through 16 levels that are not evenly spaced.
    IQ4_NL,
    /// 256 of these, 8 scales of 6 bits.
    IQ4_XS,
}

/// Elements of the blocks with one scale.
const PLAIN: usize = 32;
/// Elements of the blocks whose scales are quantised themselves.
const SUPER: usize = 256;

impl BlockFormat {
    /// Elements and bytes of a block.
    const fn sizes(self) -> (usize, usize) {
        match self {
            Self::Q4_0 => (PLAIN, 18),
            Self::Q4_1 => (PLAIN, 20),
            Self::Q5_0 => (PLAIN, 22),
            Self::Q5_1 => (PLAIN, 24),
            Self::Q8_0 => (PLAIN, 34),
            Self::Q2_K => (SUPER, 84),
            Self::Q3_K => (SUPER, 110),
            Self::Q4_K => (SUPER, 144),
            Self::Q5_K => (SUPER, 176),
            Self::Q6_K => (SUPER, 210),
            Self::IQ4_NL => (PLAIN, 18),
            Self::IQ4_XS => (SUPER, 136),
        }
    }

    /// Elements of a block.
    pub const fn elements(self) -> usize {
        self.sizes().0
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        self.sizes().1
    }

    /// The values of whole blocks, in single precision.
    #[inline(always)]
    pub(crate) fn decode(self, blocks: &[u8], into: &mut [f32]) {
        match self {
            Self::Q4_0 => each::<PLAIN, 18>(blocks, into, plain::q4_0),
            Self::Q4_1 => each::<PLAIN, 20>(blocks, into, plain::q4_1),
            Self::Q5_0 => each::<PLAIN, 22>(blocks, into, plain::q5_0),
            Self::Q5_1 => each::<PLAIN, 24>(blocks, into, plain::q5_1),
            Self::Q8_0 => each::<PLAIN, 34>(blocks, into, plain::q8_0),
            Self::IQ4_NL => each::<PLAIN, 18>(blocks, into, plain::iq4_nl),
            Self::Q2_K => each::<SUPER, 84>(blocks, into, superblock::q2_k),
            Self::Q3_K => each::<SUPER, 110>(blocks, into, superblock::q3_k),
            Self::Q4_K => each::<SUPER, 144>(blocks, into, superblock::q4_k),
            Self::Q5_K => each::<SUPER, 176>(blocks, into, superblock::q5_k),
            Self::Q6_K => each::<SUPER, 210>(blocks, into, superblock::q6_k),
            Self::IQ4_XS => each::<SUPER, 136>(blocks, into, superblock::iq4_xs),
        }
    }
}

/// Decodes block by block. The sizes are constants, so that loops over a block become a few vector instructions.
#[inline(always)]
fn each<const ELEMENTS: usize, const BYTES: usize>(
    blocks: &[u8],
    into: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    let (blocks, _) = blocks.as_chunks::<BYTES>();
    let (into, _) = into.as_chunks_mut::<ELEMENTS>();
    for (block, into) in blocks.iter().zip(into) {
        decode(block, into);
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
