//! Low-rank adapters: their names, their algebra, their strengths, and files that are refused.

mod algebra;
mod file;
mod merging;
mod names;
mod refusals;
mod strengths;
