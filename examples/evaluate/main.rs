//! The paper's experiments: which block knows where a word acts, which mask to gate with, what scale and warm-up do.
//!
//! `cargo run --release --example evaluate -- COMMAND`; `docs/evaluation.md` has the measures and the results.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod commands;
mod data;
mod lab;
mod measure;
mod rows;
mod watch;

use std::{error::Error, path::Path, process::ExitCode};

use clap::Parser;
use conceptrol_core::{message::chain, pipeline::PipelineError};
use conceptrol_examples::say_err;

use crate::{
    arguments::{Arguments, Command, Common},
    commands::{Blocks, Concepts, Masks, Overhead, Sweep, backends},
};

/// Where the embedded model and its world are.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_err!("error: {}", chain(&*error));
            let cancelled = matches!(error.downcast_ref(), Some(PipelineError::Cancelled { .. }));
            if cancelled {
                say_err!("rows that are finished are kept; the same command goes on");
            }
            ExitCode::from(if cancelled { 130 } else { 2 })
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let common = arguments.common.with_embedded(Path::new(ASSETS));
    match arguments.command {
        Command::Blocks(blocks) => lab::run(&common, &Blocks(blocks)),
        Command::Masks(masks) => lab::run(&common, &Masks(masks)),
        Command::Sweep(sweep) => lab::run(&common, &Sweep(sweep)),
        Command::Concepts => lab::run(&common, &Concepts),
        Command::Overhead(overhead) => {
            let overhead = Overhead(overhead);
            for backend in backends() {
                let common = Common {
                    backend,
                    ..common.clone()
                };
                lab::run(&common, &overhead)?;
            }
            Ok(())
        }
        Command::Report { folders: _ } => Ok(()),
    }
}
