//! A tiny FLUX through the whole pipeline: golden cases, concepts and masks, prompts, batches, styles, pictures to start
//! from, refusals.

mod batch;
mod cancel;
#[path = "../common/mod.rs"]
mod common;
mod compact;
mod finite;
mod folders;
mod gates;
mod golden;
mod independent;
mod ip_adapters;
mod kontext;
mod loras;
mod masks;
mod memory;
mod prompts;
mod quantised;
mod redux;
mod refusals;
mod residency;
mod start;
mod strength;
mod styles;
mod threads;
mod tiny;
mod true_cfg;
mod watching;
