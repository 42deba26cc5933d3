//! Personalises a picture: a prompt, a phrase in it, and a reference picture for the phrase.
//!
//! Without options it runs the embedded model and writes into `target/personalize/` the reference
//! picture, the plain IP-Adapter's result, Conceptrol's, its mask, and a sheet of them.

mod arguments;
mod flux;
mod flux_arguments;
mod run;
mod stable_diffusion;
mod write;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use conceptrol_flux::FluxError;
use conceptrol_sd::pipeline::PipelineError;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // clap goes on with tips and usage; its first paragraph says what is wrong
            let message = error.to_string();
            let paragraph: Vec<&str> = message
                .lines()
                .take_while(|line| !line.is_empty())
                .map(str::trim)
                .collect();
            eprintln!("{}", paragraph.join(" "));
            return ExitCode::from(2);
        }
    };
    match run::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let cancelled = matches!(error.downcast_ref(), Some(PipelineError::Cancelled { .. }))
                || matches!(error.downcast_ref(), Some(FluxError::Cancelled { .. }));
            ExitCode::from(if cancelled { 130 } else { 2 })
        }
    }
}
