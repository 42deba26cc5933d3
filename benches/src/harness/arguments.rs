use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser};
use conceptrol_core::message::chain;

use super::{Bench, Record};
use crate::{
    Failure,
    device::{Backend, Precision},
};

/// Options of every benchmark.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Backend to run on: flex, wgpu, vulkan, metal, cuda, rocm or remote:HOST:PORT, the last with the token in `CONCEPTROL_TOKEN`.
    #[arg(long, default_value = "flex")]
    pub backend: Backend,
    /// Type to compute in.
    #[arg(long, default_value = "f32")]
    pub dtype: Precision,
    /// Rounds in which every way runs once, after one that warms up [default: the benchmark's].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: Option<u16>,
    /// Add the rows to this file, in the place of older rows of the same.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Small shapes: whether everything runs, not how fast.
    #[arg(long)]
    pub small: bool,
    /// What cargo says to a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs a benchmark with the options of its command line.
pub fn run<A: Parser>(
    benchmark: &'static str,
    common: impl Fn(&A) -> &Common,
    work: impl FnOnce(&A, &mut Bench) -> Result<(), Failure>,
) -> ExitCode {
    let arguments = A::parse();
    let finished = || -> Result<(), Failure> {
        let common = common(&arguments);
        let opened = common.backend.open()?;
        let dtype = opened.float(common.dtype)?;
        let record = common.json.as_deref().map(Record::open).transpose()?;
        let mut bench = Bench::new(benchmark, &opened, common, dtype, record);
        common.backend.guard(|| work(&arguments, &mut bench))
    };
    match finished() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::from(2)
        }
    }
}
