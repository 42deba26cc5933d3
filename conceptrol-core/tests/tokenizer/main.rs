//! Tokenizers: against transformers, and files that mean harm.

mod golden;
mod hostile;
mod learnt;

use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer")
}
