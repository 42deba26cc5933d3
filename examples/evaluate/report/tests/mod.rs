//! Reports of rows that are made up, against naive computations.

mod invented;
mod numbers;
mod page;
