//! What the examples share: command line, sheets, progress.
