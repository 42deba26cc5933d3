//! The unit tests inside `evaluate`: cargo builds an example as a program or as a test, and `tests/evaluate.rs` runs the program.

#![cfg(all(feature = "flex", feature = "autodiff"))]
#![allow(
    dead_code,
    unused_imports,
    reason = "what only the program's `main` calls"
)]

#[path = "../evaluate/arguments.rs"]
mod arguments;
#[path = "../evaluate/baseline/mod.rs"]
mod baseline;
#[path = "../evaluate/commands/mod.rs"]
mod commands;
#[path = "../evaluate/data.rs"]
mod data;
#[path = "../evaluate/lab.rs"]
mod lab;
#[path = "../evaluate/measure/mod.rs"]
mod measure;
#[path = "../evaluate/report/mod.rs"]
mod report;
#[path = "../evaluate/rows/mod.rs"]
mod rows;
#[path = "../evaluate/watch.rs"]
mod watch;

/// Where the embedded model and its world are.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
