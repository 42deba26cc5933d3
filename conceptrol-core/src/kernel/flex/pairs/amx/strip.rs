use std::{arch::asm, mem::offset_of};

use crate::kernel::flex::{
    pairs::Pair,
    tile::{LEFT_STRIDE, Product, Start},
};

/// Rows of a tile, and 32-bit columns.
pub(super) const SIDE: usize = 16;

/// Some groups of rows of a product with at most two tiles of columns, over some equal steps along the inner dimension: what one
/// block of instructions reads from memory.
#[repr(C)]
pub(super) struct Strip {
    groups: usize,
    steps: usize,
    /// Whether sums start from zero, not from the output.
    from_zero: usize,
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
    /// To the next step.
    step_left: usize,
    step_right: usize,
    /// To the next group.
    next_left: usize,
    next_out: usize,
}

impl Strip {
    /// `groups` times `rows` rows, `steps` times `depth` pairs; sums start from zero or from the output.
    ///
    /// Two by two tiles of sums are alive at once, so that each tile loaded is used twice. Where rows or columns do not fill
    /// both tiles of a side, both are half as large; of an odd number, one overlaps the other and both find the same sums.
    pub(super) fn new(
        p: Product<Pair>,
        [rows, columns, depth]: [usize; 3],
        groups: usize,
        steps: usize,
    ) -> Self {
        const BYTES: usize = size_of::<Pair>();
        let (second_row, second_column) = (rows - rows.div_ceil(2), columns - columns.div_ceil(2));
        Self {
            groups,
            steps,
            from_zero: usize::from(matches!(p.start, Start::Zero)),
            left: p.left,
            right: p.right,
            out: p.out,
            left_stride: LEFT_STRIDE * BYTES,
            right_stride: p.right_stride * BYTES,
            out_stride: p.out_stride * BYTES,
            second_column: second_column * BYTES,
            lower_left: second_row * LEFT_STRIDE * BYTES,
            lower_out: second_row * p.out_stride * BYTES,
            step_left: depth * BYTES,
            step_right: (depth * p.right_stride - second_column) * BYTES,
            next_left: rows * LEFT_STRIDE * BYTES,
            next_out: rows * p.out_stride * BYTES,
        }
    }

    /// Multiplies.
    ///
    /// # Safety
    /// The tiles have the shapes of the strip, and it lies in its operands.
    pub(super) unsafe fn multiply(&self) {
        // SAFETY: the caller's promise; no tile is read before it is written here.
        unsafe {
            asm!(
                "mov {groups}, [{strip} + {GROUPS}]",
                "mov {out}, [{strip} + {OUT}]",
                "mov {first_left}, [{strip} + {LEFT}]",
                "mov {out_stride}, [{strip} + {OUT_STRIDE}]",
                "mov {left_stride}, [{strip} + {LEFT_STRIDE}]",
                "mov {right_stride}, [{strip} + {RIGHT_STRIDE}]",
                "mov {second_column}, [{strip} + {SECOND_COLUMN}]",
                "2:", // a group of rows
                "cmp qword ptr [{strip} + {FROM_ZERO}], 0",
                "je 3f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 4f",
                "3:",
                "mov {lower}, [{strip} + {LOWER_OUT}]",
                "add {lower}, {out}",
                "tileloadd tmm0, [{out} + {out_stride}]",
                "tileloadd tmm2, [{lower} + {out_stride}]",
                "add {lower}, {second_column}",
                "tileloadd tmm3, [{lower} + {out_stride}]",
                "lea {lower}, [{out} + {second_column}]",
                "tileloadd tmm1, [{lower} + {out_stride}]",
                "4:",
                "mov {steps}, [{strip} + {STEPS}]",
                "mov {right}, [{strip} + {RIGHT}]",
                "mov {left}, {first_left}",
                "mov {lower}, [{strip} + {LOWER_LEFT}]",
                "add {lower}, {left}",
                "5:", // a step along the inner dimension
                "tileloadd tmm6, [{right} + {right_stride}]",
                "tileloadd tmm4, [{left} + {left_stride}]",
                "add {right}, {second_column}",
                "tileloadd tmm7, [{right} + {right_stride}]",
                "tileloadd tmm5, [{lower} + {left_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {right}, [{strip} + {STEP_RIGHT}]",
                "add {left}, [{strip} + {STEP_LEFT}]",
                "add {lower}, [{strip} + {STEP_LEFT}]",
                "dec {steps}",
                "jnz 5b",
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
                strip = in(reg) self,
                groups = out(reg) _, steps = out(reg) _,
                left = out(reg) _, first_left = out(reg) _, right = out(reg) _, out = out(reg) _, lower = out(reg) _,
                left_stride = out(reg) _, right_stride = out(reg) _, out_stride = out(reg) _, second_column = out(reg) _,
                GROUPS = const offset_of!(Self, groups),
                FROM_ZERO = const offset_of!(Self, from_zero),
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
                STEP_LEFT = const offset_of!(Self, step_left),
                STEP_RIGHT = const offset_of!(Self, step_right),
                NEXT_OUT = const offset_of!(Self, next_out),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
