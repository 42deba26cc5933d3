//! Lines for people: a reader that has gone, or a full disk behind a redirection, is not an error of the program.
//!
//! `println!` panics where its stream is closed (`.. | head -1`) or full (`> /dev/full`), and what was still to be computed is lost.
//! [`say!`](crate::say) and [`say_err!`](crate::say_err) drop the line instead, so that files are written and the exit status
//! stays that of the work. Rust ignores `SIGPIPE`, therefore a closed pipe is seen only here.

use std::{error::Error, fmt, io::Write, process::ExitCode};

use conceptrol_core::message::chain;

/// Prints a line on standard output, if anybody takes it.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => {
        $crate::output::line(::std::io::stdout(), ::std::format_args!($($line)*))
    };
}

/// Prints a line on standard error, if anybody takes it.
#[macro_export]
macro_rules! say_err {
    ($($line:tt)*) => {
        $crate::output::line(::std::io::stderr(), ::std::format_args!($($line)*))
    };
}

/// Writes a line and ignores whether that was possible.
pub fn line(mut stream: impl Write, line: fmt::Arguments<'_>) {
    // one write a line, so that lines of two streams do not mix
    let _ = stream.write_all(format!("{line}\n").as_bytes());
}

/// The exit status of a program that has nothing more to do: 0, or 2 after what went wrong.
pub fn ended(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_err!("error: {}", chain(&*error));
            ExitCode::from(2)
        }
    }
}
