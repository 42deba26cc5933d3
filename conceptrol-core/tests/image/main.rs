//! Pictures: against Pillow, as masks, and cut short.

#[path = "../common/mod.rs"]
mod common;
mod masks;
mod pillow;
mod truncated;
