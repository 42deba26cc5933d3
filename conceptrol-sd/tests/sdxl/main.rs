//! A tiny SDXL through the whole pipeline: concepts, batches, prompts, shapes, several adapters, folders.

mod adapters;
mod batch;
#[path = "../common/mod.rs"]
mod common;
mod folders;
mod golden;
mod pipeline;
mod tiny;
