//! What is in a model folder or checkpoint, and whether it is what this workspace would build from it.
//!
//! ```console
//! cargo run --release --example inspect -- DIR|FILE...
//! ```
//!
//! Prints for every checkpoint the model it is, its types, parameters and size, and the tensors that are missing, left
//! over or of another shape. Headers only, except for files of `torch.save`: those have checksums, and all that is in
//! them is compared with these. Exit status 1 if anything does not fit, 2 without a path.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bundle;
mod compare;
mod find;
mod identify;
mod lora;
mod model;
mod names;
mod pipeline;
mod published;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use conceptrol_examples::{say, say_err};

use compare::Report;
use conceptrol_core::message::{chain, shown_path};

/// Which model is it, and are all its tensors there?
///
/// Only headers are read, and of files of `torch.save` all that their checksums are of. The exit status is 1 if anything is missing, left over or of another shape.
#[derive(Debug, Parser)]
struct Arguments {
    /// Checkpoints, or folders with some in them.
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let mut fits = true;
    for path in Arguments::parse().paths {
        fits &= inspect(&path);
    }
    ExitCode::from(u8::from(!fits))
}

/// Prints what is at a path; whether all of it fits.
fn inspect(path: &Path) -> bool {
    let mut fits = true;
    match pipeline::summary(path) {
        Ok(None) => {}
        Ok(Some(summary)) => {
            say!("{summary}\n");
            fits &= summary.is_complete();
        }
        Err(error) => {
            say_err!("{}\n", chain(&*error));
            fits = false;
        }
    }
    let checkpoints = find::checkpoints(path);
    if checkpoints.is_empty() {
        say_err!("{}: no checkpoint here", shown_path(path));
        fits = false;
    }
    for checkpoint in checkpoints {
        match Report::of(&checkpoint) {
            Ok(reports) => {
                for report in reports {
                    say!("{report}\n");
                    fits &= report.fits();
                }
            }
            Err(error) => {
                say_err!("{}\n", chain(&*error));
                fits = false;
            }
        }
    }
    fits
}
