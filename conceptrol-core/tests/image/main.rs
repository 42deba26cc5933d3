//! Pictures: against Pillow, as masks, and cut short.

mod masks;
mod pillow;
mod truncated;
