use super::{BlockFormat, CompactFormat};

/// Why numbers cannot be kept in fewer bytes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The bytes are not those of a matrix of this shape.
    #[error("a matrix of {rows} rows of {columns} in {format} takes {expected} bytes, not {found}")]
    Length {
        /// How it is said to be stored.
        format: CompactFormat,
        /// Rows of the matrix.
        rows: usize,
        /// Elements of a row.
        columns: usize,
        /// Bytes of such a matrix.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// Rows are not whole blocks.
    #[error("rows of {columns} elements are not whole blocks of {block} ({format})")]
    Rows {
        /// How it is said to be stored.
        format: CompactFormat,
        /// Elements of a row.
        columns: usize,
        /// Elements of a block.
        block: usize,
    },
    /// Factors are neither none, nor one, nor one a row.
    #[error("{found} factors for {rows} rows: none, one, or one a row")]
    Factors {
        /// Rows of the matrix.
        rows: usize,
        /// Factors there are.
        found: usize,
    },
    /// Numbers are rounded to `Q8_0` and `Q4_0` only.
    #[error("numbers are not rounded to {format}; they are to Q8_0 and Q4_0")]
    NotWritten {
        /// The format that was asked for.
        format: BlockFormat,
    },
    /// A number that is not finite, or too large for the scale of a block.
    #[error("{number} cannot be rounded to {format}")]
    Unrounded {
        /// The number.
        number: f32,
        /// The format that was asked for.
        format: BlockFormat,
    },
}
