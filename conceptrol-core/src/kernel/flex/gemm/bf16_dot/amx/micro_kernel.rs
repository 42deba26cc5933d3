use std::{arch::asm, mem::offset_of};

use crate::kernel::flex::gemm::{Gemm, Init, LHS_STRIDE, bf16_dot::Bf16x2};

/// Rows of a tile, and 32-bit columns.
pub(super) const SIDE: usize = 16;

/// Some groups of rows of a product with at most two tiles of columns, over some equal steps along the inner dimension: what one
/// block of instructions reads from memory.
#[repr(C)]
pub(super) struct MicroKernel {
    groups: usize,
    steps: usize,
    /// Whether sums start from zero, not from the output.
    from_zero: usize,
    lhs: *const Bf16x2,
    rhs: *const Bf16x2,
    out: *mut f32,
    /// All below in bytes.
    lhs_stride: usize,
    rhs_stride: usize,
    out_stride: usize,
    /// From the left tile of columns to the right one.
    second_column: usize,
    /// From the upper tile of rows to the lower one.
    lower_lhs: usize,
    lower_out: usize,
    /// To the next step.
    step_lhs: usize,
    step_rhs: usize,
    /// To the next group.
    next_lhs: usize,
    next_out: usize,
}

impl MicroKernel {
    /// `groups` times `rows` rows, `steps` times `k` pairs; sums start from zero or from the output.
    ///
    /// Two by two tiles of sums are alive at once, so that each tile loaded is used twice. Where rows or columns do not fill
    /// both tiles of a side, both are half as large; of an odd number, one overlaps the other and both find the same sums.
    pub(super) fn new(
        gemm: Gemm<Bf16x2>,
        [rows, columns, k]: [usize; 3],
        groups: usize,
        steps: usize,
    ) -> Self {
        const BYTES: usize = size_of::<Bf16x2>();
        let (second_row, second_column) = (rows - rows.div_ceil(2), columns - columns.div_ceil(2));
        Self {
            groups,
            steps,
            from_zero: usize::from(matches!(gemm.init, Init::Zero)),
            lhs: gemm.lhs,
            rhs: gemm.rhs,
            out: gemm.out,
            lhs_stride: LHS_STRIDE * BYTES,
            rhs_stride: gemm.rhs_stride * BYTES,
            out_stride: gemm.out_stride * BYTES,
            second_column: second_column * BYTES,
            lower_lhs: second_row * LHS_STRIDE * BYTES,
            lower_out: second_row * gemm.out_stride * BYTES,
            step_lhs: k * BYTES,
            step_rhs: (k * gemm.rhs_stride - second_column) * BYTES,
            next_lhs: rows * LHS_STRIDE * BYTES,
            next_out: rows * gemm.out_stride * BYTES,
        }
    }

    /// Multiplies.
    ///
    /// # Safety
    /// The tiles have the shapes of the micro-kernel, and it lies in its operands.
    pub(super) unsafe fn run(&self) {
        // SAFETY: the caller's promise; no tile is read before it is written here.
        unsafe {
            asm!(
                "mov {groups}, [{args} + {GROUPS}]",
                "mov {out}, [{args} + {OUT}]",
                "mov {first_lhs}, [{args} + {LHS}]",
                "mov {out_stride}, [{args} + {OUT_STRIDE}]",
                "mov {lhs_stride}, [{args} + {LHS_STRIDE}]",
                "mov {rhs_stride}, [{args} + {RHS_STRIDE}]",
                "mov {second_column}, [{args} + {SECOND_COLUMN}]",
                "2:", // a group of rows
                "cmp qword ptr [{args} + {FROM_ZERO}], 0",
                "je 3f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 4f",
                "3:",
                "mov {lower}, [{args} + {LOWER_OUT}]",
                "add {lower}, {out}",
                "tileloadd tmm0, [{out} + {out_stride}]",
                "tileloadd tmm2, [{lower} + {out_stride}]",
                "add {lower}, {second_column}",
                "tileloadd tmm3, [{lower} + {out_stride}]",
                "lea {lower}, [{out} + {second_column}]",
                "tileloadd tmm1, [{lower} + {out_stride}]",
                "4:",
                "mov {steps}, [{args} + {STEPS}]",
                "mov {rhs}, [{args} + {RHS}]",
                "mov {lhs}, {first_lhs}",
                "mov {lower}, [{args} + {LOWER_LHS}]",
                "add {lower}, {lhs}",
                "5:", // a step along the inner dimension
                "tileloadd tmm6, [{rhs} + {rhs_stride}]",
                "tileloadd tmm4, [{lhs} + {lhs_stride}]",
                "add {rhs}, {second_column}",
                "tileloadd tmm7, [{rhs} + {rhs_stride}]",
                "tileloadd tmm5, [{lower} + {lhs_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {rhs}, [{args} + {STEP_RHS}]",
                "add {lhs}, [{args} + {STEP_LHS}]",
                "add {lower}, [{args} + {STEP_LHS}]",
                "dec {steps}",
                "jnz 5b",
                "mov {lower}, [{args} + {LOWER_OUT}]",
                "add {lower}, {out}",
                "tilestored [{out} + {out_stride}], tmm0",
                "tilestored [{lower} + {out_stride}], tmm2",
                "add {lower}, {second_column}",
                "tilestored [{lower} + {out_stride}], tmm3",
                "lea {lower}, [{out} + {second_column}]",
                "tilestored [{lower} + {out_stride}], tmm1",
                "add {first_lhs}, [{args} + {NEXT_LHS}]",
                "add {out}, [{args} + {NEXT_OUT}]",
                "dec {groups}",
                "jnz 2b",
                args = in(reg) self,
                groups = out(reg) _, steps = out(reg) _,
                lhs = out(reg) _, first_lhs = out(reg) _, rhs = out(reg) _, out = out(reg) _, lower = out(reg) _,
                lhs_stride = out(reg) _, rhs_stride = out(reg) _, out_stride = out(reg) _, second_column = out(reg) _,
                GROUPS = const offset_of!(Self, groups),
                FROM_ZERO = const offset_of!(Self, from_zero),
                STEPS = const offset_of!(Self, steps),
                LHS = const offset_of!(Self, lhs),
                RHS = const offset_of!(Self, rhs),
                OUT = const offset_of!(Self, out),
                LHS_STRIDE = const offset_of!(Self, lhs_stride),
                RHS_STRIDE = const offset_of!(Self, rhs_stride),
                OUT_STRIDE = const offset_of!(Self, out_stride),
                SECOND_COLUMN = const offset_of!(Self, second_column),
                LOWER_LHS = const offset_of!(Self, lower_lhs),
                LOWER_OUT = const offset_of!(Self, lower_out),
                NEXT_LHS = const offset_of!(Self, next_lhs),
                STEP_LHS = const offset_of!(Self, step_lhs),
                STEP_RHS = const offset_of!(Self, step_rhs),
                NEXT_OUT = const offset_of!(Self, next_out),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}
