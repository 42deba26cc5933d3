//! Products of bf16 numbers by the matrix unit of Intel processors (AMX).
//!
//! The unit holds eight tiles of 16 rows of 64 bytes. One instruction adds to a tile of 16 x 16 sums in `f32` the products of
//! 16 x 32 numbers on the left with 32 x 16 on the right, of which two lie side by side. So a pair of numbers takes the place
//! that one number has in `f32`, and operands are laid out alike.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod detect;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod strip;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use {detect::available, tiles::Tiles};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use absent::{Tiles, available};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod absent {
    use crate::kernel::flex::{operand::Pair, tile::Product};

    /// Other processors have none; other systems would have to be asked for it in their own way.
    pub(crate) fn available() -> bool {
        false
    }

    #[derive(Debug, Default)]
    pub(crate) struct Tiles;

    impl Tiles {
        /// # Safety
        /// The unit is [`available`].
        pub(crate) unsafe fn product(&mut self, _: usize, _: usize, _: Product<Pair>) {
            unreachable!("pairs are made where the unit is available")
        }
    }
}
