//! A page that personalises pictures: a prompt, the words of it that a reference picture stands for, and what becomes of them.
//!
//! `cargo run --release --example studio` serves it with the embedded model at <http://127.0.0.1:7860/>.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod server;

use std::{error::Error, net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use clap::Parser;
use conceptrol_examples::{output::ended, say, say_err};
use tokio::net::TcpListener;

use crate::arguments::Arguments;

/// Where the embedded model is.
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

fn main() -> ExitCode {
    ended(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let shared = Arc::new(arguments.shared(Path::new(ASSETS))?);
    let worker = server::start(Arc::clone(&shared));
    let queue = Arc::clone(&shared.queue);
    // connections wait for each other, pictures are read and written beside them
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(arguments, server::router(shared)));
    queue.close();
    let _ = worker.join();
    served
}

async fn serve(arguments: &Arguments, router: axum::Router) -> Result<(), Box<dyn Error>> {
    let address = SocketAddr::new(arguments.listen, arguments.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        say_err!("warning: other machines can reach {address} and generate on this one");
    }
    say!("studio: http://{address}/");
    Ok(axum::serve(listener, router).await?)
}
