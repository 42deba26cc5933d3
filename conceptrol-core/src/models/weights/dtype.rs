use std::fmt;

use burn::tensor::FloatDType;
use safetensors::Dtype;

use crate::kernel::{BlockFormat, CompactFormat};

/// The element type of a tensor as it lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredDType {
    /// IEEE 754 double precision.
    F64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 8 bits, 4 of exponent and 3 of mantissa, no infinities (the `e4m3fn` of torch).
    F8E4M3,
    /// 8 bits, 5 of exponent and 2 of mantissa.
    F8E5M2,
    /// Blocks of small integers and their scales.
    Blocks(BlockFormat),
    /// Signed or unsigned integers of this many bytes; never weights, so they are listed but not read.
    Int(u8),
    /// One byte a truth value; never weights.
    Bool,
}

impl StoredDType {
    /// The type a safetensors header names, or nothing for the ones no checkpoint of ours can use.
    pub(super) fn from_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F8_E4M3 => Self::F8E4M3,
            Dtype::F8_E5M2 => Self::F8E5M2,
            Dtype::I8 | Dtype::U8 => Self::Int(1),
            Dtype::I16 | Dtype::U16 => Self::Int(2),
            Dtype::I32 | Dtype::U32 => Self::Int(4),
            Dtype::I64 | Dtype::U64 => Self::Int(8),
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// The type a safetensors header has for it; integers are signed there, whatever they were.
    pub(super) fn to_safetensors(self) -> Option<Dtype> {
        Some(match self {
            Self::F64 => Dtype::F64,
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
            Self::F8E4M3 => Dtype::F8_E4M3,
            Self::F8E5M2 => Dtype::F8_E5M2,
            Self::Bool => Dtype::BOOL,
            Self::Int(1) => Dtype::I8,
            Self::Int(2) => Dtype::I16,
            Self::Int(4) => Dtype::I32,
            Self::Int(8) => Dtype::I64,
            Self::Int(_) | Self::Blocks(_) => return None,
        })
    }

    /// How a matrix of it is kept in memory as it is stored, if it takes fewer than four bytes a number.
    pub fn compact(self) -> Option<CompactFormat> {
        Some(match self {
            Self::F16 => CompactFormat::F16,
            Self::BF16 => CompactFormat::BF16,
            Self::F8E4M3 => CompactFormat::F8E4M3,
            Self::F8E5M2 => CompactFormat::F8E5M2,
            Self::Blocks(format) => CompactFormat::Blocks(format),
            Self::F64 | Self::F32 | Self::Int(_) | Self::Bool => return None,
        })
    }

    /// Elements that are stored together: one, except for blocks.
    pub fn block(self) -> usize {
        match self {
            Self::Blocks(format) => format.elements(),
            _ => 1,
        }
    }

    /// Bytes of an element, or of a block of them.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::Bool => 1,
            Self::Blocks(format) => format.bytes(),
            Self::Int(bytes) => usize::from(bytes),
        }
    }

    /// Whether the elements are floating point numbers, that is, whether they can be weights.
    pub fn is_float(self) -> bool {
        !matches!(self, Self::Int(_) | Self::Bool)
    }
}

impl From<FloatDType> for StoredDType {
    fn from(dtype: FloatDType) -> Self {
        match dtype {
            FloatDType::F64 => Self::F64,
            FloatDType::F32 | FloatDType::Flex32 => Self::F32,
            FloatDType::F16 => Self::F16,
            FloatDType::BF16 => Self::BF16,
        }
    }
}

impl fmt::Display for StoredDType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F64 => f.write_str("f64"),
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::BF16 => f.write_str("bf16"),
            Self::F8E4M3 => f.write_str("f8_e4m3"),
            Self::F8E5M2 => f.write_str("f8_e5m2"),
            Self::Blocks(format) => write!(f, "{format}"),
            Self::Int(bytes) => write!(f, "int{}", usize::from(*bytes) * 8),
            Self::Bool => f.write_str("bool"),
        }
    }
}
