//! The paper's experiments: which block knows where a word acts, which mask to gate with, what scale and warm-up do.
//!
//! `cargo run --release --example evaluate -- COMMAND`; `docs/evaluation.md` has the measures and the results.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod baseline;
mod commands;
mod data;
mod lab;
mod measure;
mod report;
mod rows;
mod unused;
mod watch;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches};
use conceptrol_core::{message::chain, pipeline::PipelineError};
use conceptrol_examples::{device::DeviceError, say, say_err};

use crate::{
    arguments::{Arguments, Command, Common},
    commands::{Adapters, Baseline, Blocks, Concepts, Masks, Overhead, Sweep, backends},
    report::report,
};

/// Where the embedded model and its world are.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    for line in unused::unused(&matches) {
        say_err!("{line}");
    }
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let backend = arguments.common.backend.clone();
    match backend.guard(|| run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_err!("error: {}", chain(&*error));
            let cancelled = matches!(error.downcast_ref(), Some(PipelineError::Cancelled { .. }));
            let is_lost = |error: &DeviceError| error.is_lost();
            if cancelled || error.downcast_ref().is_some_and(is_lost) {
                say_err!("rows that are finished are kept; the same command goes on");
            }
            ExitCode::from(if cancelled { 130 } else { 2 })
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let common = arguments.common.with_embedded(Path::new(ASSETS));
    match arguments.command {
        Command::All => all(&common)?,
        Command::Blocks(blocks) => lab::run(&common, &Blocks(blocks))?,
        Command::Masks(masks) => lab::run(&common, &Masks(masks))?,
        Command::Sweep(sweep) => lab::run(&common, &Sweep(sweep))?,
        Command::Concepts => lab::run(&common, &Concepts)?,
        Command::Adapters(options) => Adapters(options).run(&lab::stable_diffusion(&common)?)?,
        Command::Baseline(options) => Baseline(options).run(&lab::stable_diffusion(&common)?)?,
        Command::Overhead(options) => overhead(&common, options)?,
        Command::Ratings(options) => return commands::ratings::print(&options),
        Command::Report { folders } => return write_report(&folders, &common.out),
    }
    write_report(std::slice::from_ref(&common.out), &common.out)
}

/// Sums up what is there, on the terminal and as a page.
fn write_report(folders: &[PathBuf], out: &Path) -> Result<(), Box<dyn Error>> {
    let report = report(folders, out)?;
    say!("{report}");
    let beside = report.files.len() - 1;
    say!(
        "wrote {} and {beside} files beside it",
        report.page.display()
    );
    Ok(())
}

fn all(common: &Common) -> Result<(), Box<dyn Error>> {
    lab::run(common, &Blocks(arguments::Blocks::default()))?;
    lab::run(common, &Masks(arguments::Masks::default()))?;
    lab::run(common, &Sweep(arguments::Sweep::default()))?;
    lab::run(common, &Concepts)?;
    Baseline(arguments::Baseline::default()).run(&lab::stable_diffusion(common)?)?;
    Adapters(arguments::Baseline::default()).run(&lab::stable_diffusion(common)?)?;
    overhead(common, arguments::Overhead::default())
}

/// On every backend of this program.
fn overhead(common: &Common, options: arguments::Overhead) -> Result<(), Box<dyn Error>> {
    let overhead = Overhead(options);
    backends(&common.backend)
        .into_iter()
        .try_for_each(|backend| {
            let common = Common {
                backend,
                ..common.clone()
            };
            lab::run(&common, &overhead)
        })
}
