//! 3x3 convolutions with stride 1 by minimal filtering (Winograd 1980; Lavin and Gray 2015): tiles of the image and the weights
//! are transformed so that each output tile costs one product a frequency instead of nine a pixel.

#![allow(
    clippy::needless_range_loop,
    reason = "loops that count are unrolled, and vectors stay in registers"
)]

mod four;
mod input;
mod layout;
mod output;
mod place;
mod run;
mod scheme;
mod two;
mod weights;

pub(super) use run::winograd;
