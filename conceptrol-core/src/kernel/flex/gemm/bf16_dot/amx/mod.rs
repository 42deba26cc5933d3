//! The matrix unit of Intel processors (AMX).
//!
//! It holds eight tiles of 16 rows of 64 bytes. One instruction adds to a tile of 16 x 16 sums the products of 16 x 16 pairs on
//! the left with as many on the right: sixteen times what a vector instruction does.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod detect;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod micro_kernel;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use {detect::available, tiles::Tiles};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use absent::{Tiles, available};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod absent {
    use crate::kernel::flex::gemm::{Gemm, bf16_dot::Bf16x2};

    /// Other processors have none; other systems would have to be asked for it in their own way.
    pub(crate) fn available() -> bool {
        false
    }

    #[derive(Debug, Default)]
    pub(crate) struct Tiles;

    impl Tiles {
        /// # Safety
        /// The unit is [`available`].
        pub(crate) unsafe fn macro_kernel(&mut self, _: usize, _: usize, _: Gemm<Bf16x2>) {
            unreachable!("tiles are made where the unit is available")
        }
    }
}
