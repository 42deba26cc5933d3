//! The server of the page: one model, one queue, many browsers.

mod catalogue;
mod guard;
mod masks;
mod page;
mod painter;
mod progress;
mod queue;
mod refusal;
mod restore;
mod results;
mod routes;
mod settings;
mod shelf;
mod state;
mod upload;
mod watch;
mod worker;

pub(crate) use catalogue::{Catalogue, EMBEDDED};
pub(crate) use routes::router;
pub(crate) use state::Shared;
pub(crate) use upload::Picture;
pub(crate) use worker::start;
