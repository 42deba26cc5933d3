//! The code of the book and of the READMEs is true: Rust is compiled or stands in an example, commands exist and run, and
//! messages are those that the programs give.

mod block;
mod command;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod messages;
mod snippets;
