//! A tiny SDXL through the whole pipeline: concepts, batches, prompts, shapes, several adapters, folders.

mod adapters;
mod folders;
mod golden;
mod pipeline;
mod tiny;
