//! Puts files of results side by side: `cargo run --release -p conceptrol-benches --bin report -- A.json B.json`.
//!
//! Rows come from the benchmarks and from `parity`, each with `--json FILE`. A column is a device, type and file; the table is
//! Markdown.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use conceptrol_benches::{
    Failure,
    harness::{read_rows, report},
};
use conceptrol_core::message::chain;

#[derive(Debug, Parser)]
#[command(about = "Put files of results side by side", version)]
struct Arguments {
    /// What the benchmarks wrote with `--json`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &arguments.files {
        let name = path.file_name().unwrap_or(path.as_os_str());
        files.push((name.to_string_lossy().into_owned(), read_rows(path)?));
    }
    print!("{}", report(&files));
    Ok(())
}
