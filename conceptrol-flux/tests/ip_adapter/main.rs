//! IP-Adapters of `XLabs` and `InstantX`: against a torch twin, what gates do, which files are recognised.

#[path = "../common/mod.rs"]
mod common;
mod gates;
mod golden;
mod keys;
mod refusals;
mod tiny;
