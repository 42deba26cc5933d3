//! Personalises a picture: a prompt, a phrase in it, and a reference picture for the phrase.
//!
//! Without options it runs the embedded model and writes into `target/personalize/` the reference
//! picture, the plain adapter's result, Conceptrol's, its mask, and a sheet of them.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod concepts;
mod control;
mod folder;
mod mask_source;
mod parameters;
mod prompts;
mod references;
mod request;
mod run;
mod start;
mod watch;
mod write;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use conceptrol_core::{SpanError, message::chain, pipeline::PipelineError};
use conceptrol_examples::{say, say_err};

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
            say!("{}", error.to_string().trim_end());
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
            say_err!("{}", paragraph.join(" "));
            return ExitCode::from(2);
        }
    };
    match arguments.backend.guard(|| folder::run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_err!("error: {}", chain(&*error));
            if let Some(
                PipelineError::Overlap(_)
                | PipelineError::Concept {
                    source: SpanError::TooFew { .. },
                    ..
                },
            ) = error.downcast_ref()
            {
                say_err!("hint: --concept \"PHRASE#2=FILE\" is the second occurrence of a phrase");
            }
            let cancelled = matches!(error.downcast_ref(), Some(PipelineError::Cancelled { .. }));
            ExitCode::from(if cancelled { 130 } else { 2 })
        }
    }
}
