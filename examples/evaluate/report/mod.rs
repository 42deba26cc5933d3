//! From rows to statements: rows are summed up, a summary is laid out in parts, and parts are shown on a page, in a terminal and
//! as CSV.

mod csv;
mod html;
mod part;
mod picture;
mod plot;
mod run;
mod summary;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use run::report;
