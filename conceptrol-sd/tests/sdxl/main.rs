//! A tiny SDXL through the whole pipeline: concepts, batches, prompts, shapes, several adapters, control, edits, folders,
//! starting from pictures, stopping.

mod adapters;
mod batch;
mod cancel;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod control_refusals;
mod edit;
mod finite;
mod folders;
mod golden;
mod loras;
mod made;
mod memory;
mod pipeline;
mod prompts;
mod published;
mod published_control;
mod single_file;
mod start;
mod threads;
mod tiny;
