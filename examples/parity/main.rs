//! Runs golden cases of the authors' implementation through this library and compares every tensor.
//!
//! `cargo run --release --example parity -- DIR...` runs each case directory, and every case below
//! each other directory. One line a tensor: `case tensor max_abs max_rel tolerance ok|FAIL`; the last
//! line is `N passed, N failed`, the exit status 1 on any failure. Tolerances come from the case. A case of a kind that is
//! not built yet is one line, `SKIP case: reason`, and is not counted.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod case;
mod component;
mod control;
mod flux;
mod gated_block;
mod kinds;
mod processor;
mod report;
mod request;
mod stable_diffusion;
mod start;
mod trace;

use conceptrol_core::message::chain;
use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use conceptrol_benches::harness::{Checks, Environment, Record, Row};
use conceptrol_examples::{
    device::{Backend, Precision},
    say, say_err,
};

use crate::{
    case::Case,
    kinds::{Runner, runner},
    report::Report,
};

/// What a case can end with beside its report.
type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, Parser)]
#[command(about = "Compare with golden cases of the authors' implementation")]
struct Arguments {
    /// Case directories, or directories of cases.
    #[arg(required = true)]
    directories: Vec<PathBuf>,
    /// Backend to run on; another than flex gets 10 times the tolerance.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// Add a row with how many comparisons passed to this file, as the benchmarks do.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only cases whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.backend.guard(|| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say_err!("error: {}", chain(&*error));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let opened = arguments.backend.open()?;
    let device = opened.device().clone();
    let mut cases = Vec::new();
    for directory in &arguments.directories {
        cases.extend(Case::find(directory)?);
    }
    let wanted = |case: &Case| {
        arguments
            .only
            .as_ref()
            .is_none_or(|part| case.name.contains(part.as_str()))
    };
    cases.retain(wanted);
    if cases.is_empty() {
        return Err("no case.json found below the directories".into());
    }
    let mut report = Report::new(arguments.backend.tolerance_factor());
    for case in &cases {
        report.begin(case);
        let outcome = match runner(case) {
            Ok(Runner::Component) => component::run(case, &device, &mut report),
            Ok(Runner::Processor) => processor::run(case, &device, &mut report),
            Ok(Runner::StableDiffusion) => stable_diffusion::run(case, &device, &mut report),
            Ok(Runner::Flux) => flux::run(case, &device, &mut report),
            Err(reason) => {
                report.skipped(&reason);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            report.failed(&chain(&*error));
        }
    }
    if let Some(file) = &arguments.json {
        let environment = Environment::new(&opened, Precision::F32, false);
        let case = arguments.only.as_deref().unwrap_or("all");
        let mut row = Row::new("golden cases", case, environment);
        row.checks = Some(Checks {
            passed: report.passed,
            failed: report.failed_count,
        });
        Record::open(file)?.put(row)?;
    }
    say!("{} passed, {} failed", report.passed, report.failed_count);
    Ok(report.failed_count == 0)
}
