//! What an evaluation writes down: one line of JSON a row, in files that outlast the program.

mod journal;
mod row;
mod setup;
mod shard;

pub(crate) use journal::{Journal, JournalError, Table, read};
pub(crate) use row::{
    Attention, Baseline, Concept, Overhead, Picture, PictureScores, Row, Settings,
};
pub(crate) use setup::Setup;
pub(crate) use shard::Shard;
