use std::{fmt, ops::Range, sync::Arc};

use burn::tensor::{Bytes, DType, Device, FloatDType, Tensor, TensorData};

use super::{BlockFormat, CompactError, CompactFormat};

/// A matrix in fewer bytes than the numbers that are computed with. Cheap to clone.
///
/// [`linear_compact`](crate::kernel::linear_compact) multiplies with it. On Flex it is widened a tile at a time, while the tile is
/// brought into the order that the product reads it in; no copy of the whole exists.
///
/// ```
/// use burn::tensor::{Bytes, Device, FloatDType};
/// use conceptrol_core::kernel::{CompactFormat, CompactMatrix};
///
/// let bytes = Bytes::from_elems(vec![0x38u8, 0x40, 0xb8, 0x00]); // 1, 2, -1, 0
/// let matrix = CompactMatrix::new(CompactFormat::F8E4M3, [2, 2], bytes, vec![0.5])?;
/// let widened = matrix.widen(&Device::flex(), FloatDType::F32).into_data();
/// assert_eq!(widened.try_to_vec::<f32>().unwrap(), [0.5, 1.0, -0.5, 0.0]);
/// # Ok::<(), conceptrol_core::kernel::CompactError>(())
/// ```
#[derive(Clone)]
pub struct CompactMatrix {
    format: CompactFormat,
    rows: usize,
    columns: usize,
    bytes: Arc<Bytes>,
    /// None, one for all, or one a row.
    factors: Arc<[f32]>,
}

impl CompactMatrix {
    /// A matrix of `[rows, columns]` that is stored row by row, and factors on its elements: none, one, or one a row.
    ///
    /// # Errors
    ///
    /// [`CompactError`] if rows are not whole blocks, or bytes or factors are too few or too many.
    pub fn new(
        format: CompactFormat,
        [rows, columns]: [usize; 2],
        bytes: Bytes,
        factors: Vec<f32>,
    ) -> Result<Self, CompactError> {
        let block = format.elements();
        if !columns.is_multiple_of(block) {
            return Err(CompactError::Rows {
                format,
                columns,
                block,
            });
        }
        let expected = (columns / block)
            .saturating_mul(format.bytes())
            .saturating_mul(rows);
        if bytes.len() != expected {
            return Err(CompactError::Length {
                format,
                rows,
                columns,
                expected,
                found: bytes.len(),
            });
        }
        if factors.len() > 1 && factors.len() != rows {
            let found = factors.len();
            return Err(CompactError::Factors { rows, found });
        }
        Ok(Self {
            format,
            rows,
            columns,
            bytes: Arc::new(bytes),
            factors: factors.into(),
        })
    }

    /// Rounds the numbers of a matrix of `[rows, columns]`, row by row, to `Q8_0` or `Q4_0`: the same integers and scales as
    /// ggml's.
    ///
    /// # Errors
    ///
    /// [`CompactError`] for other formats, for rows that are not whole blocks, and for numbers that are not finite or too large
    /// for the scale of a block.
    pub fn round(
        format: BlockFormat,
        shape: [usize; 2],
        numbers: &[f32],
    ) -> Result<Self, CompactError> {
        let blocks = numbers.len() / format.elements();
        let mut bytes = vec![0; blocks * format.bytes()];
        format.encode(numbers, &mut bytes)?;
        let format = CompactFormat::Blocks(format);
        Self::new(format, shape, Bytes::from_elems(bytes), Vec::new())
    }

    /// How it is stored.
    pub const fn format(&self) -> CompactFormat {
        self.format
    }

    /// `[rows, columns]`; of a layer's weight `[d_out, d_in]`.
    pub const fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Its blocks, row by row, without the factors.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.factors)
    }

    /// The numbers themselves.
    ///
    /// # Shapes
    /// - output: `[rows, columns]`
    pub fn widen(&self, device: &Device, dtype: FloatDType) -> Tensor<2> {
        let mut numbers = vec![0.0; self.rows * self.columns];
        let rows = numbers.chunks_exact_mut(self.columns.max(1));
        for (row, numbers) in rows.enumerate() {
            self.decode(row, 0..self.columns, numbers);
        }
        let data = TensorData::new(numbers, [self.rows, self.columns]);
        Tensor::from_data(data, (device, DType::from(dtype)))
    }

    /// Widens the elements `columns` of a row, which are whole blocks.
    #[inline(always)]
    pub(crate) fn decode(&self, row: usize, columns: Range<usize>, into: &mut [f32]) {
        let (block, bytes) = (self.format.elements(), self.format.bytes());
        let stored = |column: usize| (row * self.columns + column) / block * bytes;
        let stored = &self.bytes[stored(columns.start)..stored(columns.end)];
        self.format.decode(stored, into);
        let factor = match &*self.factors {
            [] => return,
            [factor] => factor,
            factors => &factors[row],
        };
        into.iter_mut().for_each(|number| *number *= factor);
    }
}

impl fmt::Debug for CompactMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            format,
            rows,
            columns,
            ..
        } = self;
        write!(f, "CompactMatrix({rows} x {columns} {format})")
    }
}
