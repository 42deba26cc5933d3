use std::{arch::asm, mem::offset_of};

use crate::kernel::flex::{
    operand::Pair,
    tile::{LEFT_STRIDE, Product, Start},
};

/// Rows of a tile, and 32-bit columns.
const SIDE: usize = 16;

/// Adds up `rows` rows times `columns` columns.
///
/// Each output is one sum in the order of the inner dimension, whatever the cut: results do not depend on it.
///
/// # Safety
/// The operands of `p` hold `rows` rows and `columns` columns; the unit is [available](super::available).
pub(crate) unsafe fn product(rows: usize, columns: usize, p: Product<Pair>) {
    let (whole_depth, rest_depth) = (p.depth / SIDE, p.depth % SIDE);
    let (whole_rows, rest_rows) = (rows / (2 * SIDE), rows % (2 * SIDE));
    // SAFETY: the parts lie in the operands.
    unsafe {
        p.begin(rows, columns);
        for column in (0..columns).step_by(2 * SIDE) {
            let p = p.at_column(column);
            let columns = (columns - column).min(2 * SIDE);
            for (from, steps, depth) in
                [(0, whole_depth, SIDE), (whole_depth * SIDE, 1, rest_depth)]
            {
                let p = Product {
                    left: p.left.wrapping_add(from),
                    right: p.right.wrapping_add(from * p.right_stride),
                    ..p
                };
                for (row, groups, rows) in [
                    (0, whole_rows, 2 * SIDE),
                    (whole_rows * 2 * SIDE, 1, rest_rows),
                ] {
                    if steps * depth * groups * rows > 0 {
                        Strip::new(p.at_row(row), [rows, columns, depth], groups, steps)
                            .add_products();
                    }
                }
            }
        }
    }
}

impl Product<Pair> {
    /// Puts what sums start from into the output.
    unsafe fn begin(&self, rows: usize, columns: usize) {
        for row in 0..rows {
            // SAFETY: the caller's promise.
            unsafe {
                let out = self.out.add(row * self.out_stride);
                match self.start {
                    Start::Output => return,
                    Start::Zero => out.write_bytes(0, columns),
                    Start::Rows(values) => {
                        std::slice::from_raw_parts_mut(out, columns).fill(*values.add(row));
                    }
                    Start::Columns(values) => out.copy_from_nonoverlapping(values, columns),
                }
            }
        }
    }
}

/// Groups of rows times at most two tiles of columns, a whole number of steps along the inner dimension: what one block of
/// instructions reads from memory.
#[repr(C)]
struct Strip {
    tiles: Shapes,
    groups: usize,
    steps: usize,
    left: *const Pair,
    right: *const Pair,
    out: *mut f32,
    /// All below in bytes.
    left_stride: usize,
    right_stride: usize,
    out_stride: usize,
    /// From the left tile of columns to the right one.
    second_column: usize,
    /// From the upper tile of rows to the lower one.
    lower_left: usize,
    lower_out: usize,
    next_right: usize,
    next_left: usize,
    next_out: usize,
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

impl Strip {
    /// Two by two tiles of sums are alive at once, so that each tile loaded is used twice. Where rows or columns do not fill
    /// both tiles of a side, both are half as large; of an odd number, one overlaps the other and both find the same sums.
    fn new(
        p: Product<Pair>,
        [rows, columns, depth]: [usize; 3],
        groups: usize,
        steps: usize,
    ) -> Self {
        const BYTES: usize = size_of::<Pair>();
        let tile = [rows, columns].map(|length| length.div_ceil(2));
        let (second_row, second_column) = (rows - tile[0], columns - tile[1]);
        Self {
            tiles: Shapes::new(tile, depth),
            groups,
            steps,
            left: p.left,
            right: p.right,
            out: p.out,
            left_stride: LEFT_STRIDE * BYTES,
            right_stride: p.right_stride * BYTES,
            out_stride: p.out_stride * BYTES,
            second_column: second_column * BYTES,
            lower_left: second_row * LEFT_STRIDE * BYTES,
            lower_out: second_row * p.out_stride * BYTES,
            next_right: SIDE * p.right_stride * BYTES - second_column * BYTES,
            next_left: rows * LEFT_STRIDE * BYTES,
            next_out: rows * p.out_stride * BYTES,
        }
    }

    /// Adds the products to the output.
    unsafe fn add_products(&self) {
        // SAFETY: the tiles lie in the operands; they are in their initial state again afterwards.
        unsafe {
            asm!(
                "ldtilecfg [{strip}]",
                "mov {groups}, [{strip} + {GROUPS}]",
                "mov {out}, [{strip} + {OUT}]",
                "mov {first_left}, [{strip} + {LEFT}]",
                "mov {out_stride}, [{strip} + {OUT_STRIDE}]",
                "mov {left_stride}, [{strip} + {LEFT_STRIDE}]",
                "mov {right_stride}, [{strip} + {RIGHT_STRIDE}]",
                "mov {second_column}, [{strip} + {SECOND_COLUMN}]",
                "2:", // a group of rows
                "mov {lower}, [{strip} + {LOWER_OUT}]",
                "add {lower}, {out}",
                "tileloadd tmm0, [{out} + {out_stride}]",
                "tileloadd tmm2, [{lower} + {out_stride}]",
                "add {lower}, {second_column}",
                "tileloadd tmm3, [{lower} + {out_stride}]",
                "lea {lower}, [{out} + {second_column}]",
                "tileloadd tmm1, [{lower} + {out_stride}]",
                "mov {steps}, [{strip} + {STEPS}]",
                "mov {right}, [{strip} + {RIGHT}]",
                "mov {left}, {first_left}",
                "mov {lower}, [{strip} + {LOWER_LEFT}]",
                "add {lower}, {left}",
                "3:", // a step along the inner dimension
                "tileloadd tmm6, [{right} + {right_stride}]",
                "tileloadd tmm4, [{left} + {left_stride}]",
                "add {right}, {second_column}",
                "tileloadd tmm7, [{right} + {right_stride}]",
                "tileloadd tmm5, [{lower} + {left_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {right}, [{strip} + {NEXT_RIGHT}]",
                "add {left}, 64",
                "add {lower}, 64",
                "dec {steps}",
                "jnz 3b",
                "mov {lower}, [{strip} + {LOWER_OUT}]",
                "add {lower}, {out}",
                "tilestored [{out} + {out_stride}], tmm0",
                "tilestored [{lower} + {out_stride}], tmm2",
                "add {lower}, {second_column}",
                "tilestored [{lower} + {out_stride}], tmm3",
                "lea {lower}, [{out} + {second_column}]",
                "tilestored [{lower} + {out_stride}], tmm1",
                "add {first_left}, [{strip} + {NEXT_LEFT}]",
                "add {out}, [{strip} + {NEXT_OUT}]",
                "dec {groups}",
                "jnz 2b",
                "tilerelease",
                strip = in(reg) self,
                groups = out(reg) _, steps = out(reg) _,
                left = out(reg) _, first_left = out(reg) _, right = out(reg) _, out = out(reg) _, lower = out(reg) _,
                left_stride = out(reg) _, right_stride = out(reg) _, out_stride = out(reg) _, second_column = out(reg) _,
                GROUPS = const offset_of!(Self, groups),
                STEPS = const offset_of!(Self, steps),
                LEFT = const offset_of!(Self, left),
                RIGHT = const offset_of!(Self, right),
                OUT = const offset_of!(Self, out),
                LEFT_STRIDE = const offset_of!(Self, left_stride),
                RIGHT_STRIDE = const offset_of!(Self, right_stride),
                OUT_STRIDE = const offset_of!(Self, out_stride),
                SECOND_COLUMN = const offset_of!(Self, second_column),
                LOWER_LEFT = const offset_of!(Self, lower_left),
                LOWER_OUT = const offset_of!(Self, lower_out),
                NEXT_LEFT = const offset_of!(Self, next_left),
                NEXT_RIGHT = const offset_of!(Self, next_right),
                NEXT_OUT = const offset_of!(Self, next_out),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Shapes {
    /// Tiles 0 to 3 hold sums, 4 and 5 the left operand, 6 and 7 the right one.
    fn new([rows, columns]: [usize; 2], depth: usize) -> Self {
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
                4..6 => (rows, depth),
                _ => (depth, columns),
            };
            shapes.rows[tile] = rows as u8;
            shapes.row_bytes[tile] = (columns * size_of::<Pair>()) as u16;
        }
        shapes
    }
}
