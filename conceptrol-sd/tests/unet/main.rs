//! The U-Net against diffusers: configurations, key sets, attention sites and outputs.

#[path = "../common/mod.rs"]
mod common;
mod config;
mod dtype;
mod golden;
mod keys;
mod sites;
mod values;
