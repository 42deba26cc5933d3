use std::arch::asm;

use super::micro_kernel::{MicroKernel, SIDE};
use crate::kernel::flex::gemm::{Ahead, Gemm, Init, bf16_dot::Bf16x2};

/// The unit in use by a thread. Giving its tiles other shapes takes as long as multiplying several, so they are kept until then.
#[derive(Debug, Default)]
pub(crate) struct Tiles {
    /// Rows and columns of two tiles of sums, pairs of a step along the inner dimension; zeros at first.
    shape: [usize; 3],
}

impl Tiles {
    /// Computes `rows` rows times `columns` columns.
    ///
    /// Each output is one sum, cut along the inner dimension by its length alone: results do not depend on rows and columns.
    ///
    /// # Safety
    /// The operands of `gemm` hold `rows` rows, `columns` columns and an inner dimension of at least one; the unit is
    /// [available](super::available).
    pub(crate) unsafe fn macro_kernel(
        &mut self,
        rows: usize,
        columns: usize,
        mut gemm: Gemm<Bf16x2>,
    ) {
        // SAFETY: the parts lie in the operands.
        unsafe {
            gemm.init = initialise(rows, columns, &gemm);
            for (column, columns, count) in parts(columns, 2 * SIDE) {
                for column in (0..count).map(|index| column + index * columns) {
                    let gemm = gemm.at_column(column);
                    for (from, k, steps) in parts(gemm.k, SIDE) {
                        let gemm = Gemm {
                            lhs: gemm.lhs.wrapping_add(from),
                            rhs: gemm.rhs.wrapping_add(from * gemm.rhs_stride),
                            init: if from == 0 { gemm.init } else { Init::Out },
                            ahead: Ahead::NOTHING,
                            ..gemm
                        };
                        for (row, rows, groups) in parts(rows, 2 * SIDE) {
                            let shape = [rows, columns, k];
                            self.take(shape);
                            MicroKernel::new(gemm.at_row(row), shape, groups, steps).run();
                        }
                    }
                }
            }
        }
    }

    /// Gives the tiles a shape.
    unsafe fn take(&mut self, shape: [usize; 3]) {
        if self.shape != shape {
            self.shape = shape;
            let shapes = Shapes::new(shape);
            // SAFETY: the shapes are those of tiles the unit has; what the tiles hold is not used any more.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly))
            };
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if self.shape != [0; 3] {
            // SAFETY: the unit has been used, so it is available.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }
}

/// Puts what sums start from into the output, unless it is there or zero; says which.
unsafe fn initialise(rows: usize, columns: usize, gemm: &Gemm<Bf16x2>) -> Init {
    for row in 0..rows {
        // SAFETY: the caller's promise.
        unsafe {
            let out = gemm.out.add(row * gemm.out_stride);
            match gemm.init {
                Init::Zero | Init::Out => return gemm.init,
                Init::Later => return Init::Out, // never asked of pairs
                Init::RowBias(values) => {
                    std::slice::from_raw_parts_mut(out, columns).fill(*values.add(row));
                }
                Init::ColumnBias(values) => out.copy_from_nonoverlapping(values, columns),
            }
        }
    }
    Init::Out
}

/// `length` as parts of at most `most`: where parts begin, how long each is, how many there are. Parts of one length if a few more
/// of them do, else as long ones as possible and a rest.
#[inline(always)]
fn parts(length: usize, most: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let size = if length <= most {
        length.max(1)
    } else {
        let fewest = length.div_ceil(most);
        let alike = (fewest..=fewest + fewest / 2).find(|parts| length.is_multiple_of(*parts));
        alike.map_or(most, |parts| length / parts)
    };
    let (count, rest) = if length <= most {
        (1, 0)
    } else {
        (length / size, length % size)
    };
    [(0, size, count), (length - rest, rest, 1)]
        .into_iter()
        .filter(|(_, size, _)| *size > 0)
}

/// Shapes of tiles, as the processor reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Tiles 0 to 3 hold sums, 4 and 5 the left operand, 6 and 7 the right one.
    fn new([rows, columns, k]: [usize; 3]) -> Self {
        let (rows, columns) = (rows.div_ceil(2), columns.div_ceil(2));
        let mut shapes = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        for tile in 0..8 {
            let (rows, columns) = match tile {
                0..4 => (rows, columns),
                4..6 => (rows, k),
                _ => (k, columns),
            };
            shapes.rows[tile] = rows as u8;
            shapes.row_bytes[tile] = (columns * size_of::<Bf16x2>()) as u16;
        }
        shapes
    }
}
