//! Lends a device of this machine to programs on others: `--backend remote:HOST:PORT` there.
//!
//! `cargo run --release --example conceptrol-serve --features remote,cuda -- --backend cuda`, with the token that clients must know in the
//! environment variable `CONCEPTROL_TOKEN`; `docs/scale.md` says more.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    env,
    error::Error,
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
};

use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
use clap::Parser;
use conceptrol_examples::{
    device::{Backend, TOKEN},
    output::ended,
    say, say_err,
};

/// Lend a device of this machine to programs on others.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Backend to compute with: flex, wgpu, vulkan, metal, cuda or rocm.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// Where to listen; port 0 takes a free one. Nothing is encrypted, so other machines should come through a tunnel.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// A file with the token that clients must know [default: the environment variable `CONCEPTROL_TOKEN`].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    ended(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if matches!(arguments.backend, Backend::Remote(_)) {
        return Err("a device of another machine is not this one's to lend".into());
    }
    let token = token(arguments)?;
    let opened = arguments.backend.open()?;
    let listen = arguments.listen;
    let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
    let address = listener.local_addr()?;
    say_err!(
        "the connection is not encrypted: whoever sees the traffic can read token, weights, prompts and pictures"
    );
    if !address.ip().is_loopback() {
        say_err!(
            "warning: {address} is open to other machines; on a network that is not yours alone, listen on 127.0.0.1 and use a tunnel"
        );
    }
    say!(
        "lending {} ({}) at {address}",
        arguments.backend,
        opened.name()
    );
    RemoteServer::new([opened.into_device()])
        .with_authorizer(TokenAuthorizer::new(token)?)
        .serve(WebSocketTransport::from_listener(listener))?;
    Ok(())
}

/// What clients must know. Without one, anybody who reaches the port could use the device.
fn token(arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let token = match &arguments.token_file {
        Some(file) => {
            fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?
        }
        None => env::var(TOKEN).unwrap_or_default(),
    };
    let token = token.trim();
    if token.is_empty() {
        return Err(format!(
            "no token: put one that nobody can guess into {TOKEN} (`export {TOKEN}=$(openssl rand -hex 16)`) or a --token-file"
        )
        .into());
    }
    Ok(token.to_owned())
}
