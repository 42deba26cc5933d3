//! The part of Python's pickle format that `torch.save` uses for tensors, as a closed language.
//!
//! A pickle is a program for a small stack machine. This one knows containers, numbers, text and the few constructors
//! of [`Global`]; any other instruction or name is an error, and no name is ever called. All values live in one
//! [`Heap`] and refer to each other by index, so nesting costs no stack and cycles leak nothing. What a pickle may build
//! is a multiple of its own size.

mod heap;
mod machine;
mod objects;
mod value;

pub(super) use heap::Heap;
pub(super) use machine::{run, run_first};
pub(super) use value::{Storage, StoredTensor, Value};
