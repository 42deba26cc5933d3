//! The paper's experiments: which block knows where a word acts, which mask to gate with, what scale and warm-up do.
//!
//! `cargo run --release --example evaluate -- COMMAND`; `docs/evaluation.md` has the measures and the results.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod rows;

fn main() {}
