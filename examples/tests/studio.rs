//! The page of `studio`: its server asked in this process, and the page in a real browser.
//!
//! What needs a browser, and what takes minutes, is ignored unless asked for; `docs/testing.md` has the commands.

#![cfg(all(feature = "flex", unix))]
#![allow(
    dead_code,
    unused_imports,
    reason = "what only the program's `main` calls"
)]

#[path = "../studio/arguments.rs"]
mod arguments;
#[path = "../studio/server/mod.rs"]
mod server;

#[path = "studio/browser.rs"]
mod browser;
#[path = "studio/desk.rs"]
mod desk;
#[path = "studio/devtools.rs"]
mod devtools;
#[path = "studio/guarding.rs"]
mod guarding;
#[path = "studio/jobs.rs"]
mod jobs;
#[path = "studio/soak.rs"]
mod soak;
#[path = "studio/studio.rs"]
mod studio;
#[path = "studio/uploads.rs"]
mod uploads;
