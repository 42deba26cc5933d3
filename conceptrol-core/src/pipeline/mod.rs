//! From a request to pictures: what every family shares.

mod fidelity;

pub use fidelity::Fidelity;
