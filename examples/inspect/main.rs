//! What is in a model folder or checkpoint, and whether it is what this workspace would build from it.
//!
//! ```console
//! cargo run --release --example inspect -- DIR|FILE...
//! ```
//!
//! Prints for every checkpoint the model it is, its types, parameters and size, and the tensors that are missing, left
//! over or of another shape. Headers only, except for files of `torch.save`: those have checksums, and all that is in
//! them is compared with these. Exit status 1 if anything does not fit, 2 without a path.

mod compare;
mod find;
mod identify;
mod lora;
mod model;
mod pipeline;
mod published;

use std::{env, path::PathBuf, process::ExitCode};

use compare::Report;
use conceptrol_core::message::shown_path;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() || paths.iter().any(|path| path.as_os_str() == "--help") {
        eprintln!("inspect DIR|FILE...: which model is it, and are all its tensors there?");
        return ExitCode::from(2);
    }
    let mut fits = true;
    for path in paths {
        match pipeline::summary(&path) {
            Ok(None) => {}
            Ok(Some(summary)) => {
                println!("{summary}\n");
                fits &= summary.is_complete();
            }
            Err(error) => {
                eprintln!("{error}\n");
                fits = false;
            }
        }
        let checkpoints = find::checkpoints(&path);
        if checkpoints.is_empty() {
            eprintln!("{}: no checkpoint here", shown_path(&path));
            fits = false;
        }
        for checkpoint in checkpoints {
            match Report::of(&checkpoint) {
                Ok(report) => {
                    println!("{report}\n");
                    fits &= report.fits();
                }
                Err(error) => {
                    eprintln!("{error}\n");
                    fits = false;
                }
            }
        }
    }
    ExitCode::from(u8::from(!fits))
}
