//! Files of others: what is no file, and configurations.

#[path = "../common/mod.rs"]
mod common;
mod configurations;
mod regular;
