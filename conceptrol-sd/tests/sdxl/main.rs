//! A tiny SDXL through the whole pipeline: concepts, batches, prompts, shapes, several adapters,
//! folders, starting from pictures, stopping.

mod adapters;
mod batch;
mod cancel;
#[path = "../common/mod.rs"]
mod common;
mod finite;
mod folders;
mod golden;
mod loras;
mod memory;
mod pipeline;
mod published;
mod single_file;
mod start;
mod threads;
mod tiny;
