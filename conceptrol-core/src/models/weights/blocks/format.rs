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

/// Every format: its number in GGUF, its elements, their bytes.
const TABLE: &[(BlockFormat, u32, usize, usize)] = &[
    (BlockFormat::Q4_0, 2, PLAIN, 18),
    (BlockFormat::Q4_1, 3, PLAIN, 20),
    (BlockFormat::Q5_0, 6, PLAIN, 22),
    (BlockFormat::Q5_1, 7, PLAIN, 24),
    (BlockFormat::Q8_0, 8, PLAIN, 34),
    (BlockFormat::Q2_K, 10, SUPER, 84),
    (BlockFormat::Q3_K, 11, SUPER, 110),
    (BlockFormat::Q4_K, 12, SUPER, 144),
    (BlockFormat::Q5_K, 13, SUPER, 176),
    (BlockFormat::Q6_K, 14, SUPER, 210),
    (BlockFormat::IQ4_NL, 20, PLAIN, 18),
    (BlockFormat::IQ4_XS, 23, SUPER, 136),
];

impl BlockFormat {
    /// The format of this number in GGUF files.
    pub(in crate::models::weights) fn of_gguf(number: u32) -> Option<Self> {
        let row = TABLE.iter().find(|(_, gguf, ..)| *gguf == number);
        row.map(|(format, ..)| *format)
    }

    /// Elements of a block.
    pub fn elements(self) -> usize {
        self.row().0
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().1
    }

    fn row(self) -> (usize, usize) {
        let row = TABLE.iter().find(|(format, ..)| *format == self);
        let (_, _, elements, bytes) = row.expect("every format has a row");
        (*elements, *bytes)
    }

    /// The values of whole blocks, in single precision.
    pub(in crate::models::weights) fn decode(self, blocks: &[u8], into: &mut [f32]) {
        let decode = match self {
            Self::Q4_0 => plain::q4_0,
            Self::Q4_1 => plain::q4_1,
            Self::Q5_0 => plain::q5_0,
            Self::Q5_1 => plain::q5_1,
            Self::Q8_0 => plain::q8_0,
            Self::IQ4_NL => plain::iq4_nl,
            Self::Q2_K => superblock::q2_k,
            Self::Q3_K => superblock::q3_k,
            Self::Q4_K => superblock::q4_k,
            Self::Q5_K => superblock::q5_k,
            Self::Q6_K => superblock::q6_k,
            Self::IQ4_XS => superblock::iq4_xs,
        };
        let (elements, bytes) = self.row();
        let blocks = blocks.chunks_exact(bytes);
        for (block, into) in blocks.zip(into.chunks_exact_mut(elements)) {
            decode(block, into);
        }
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
