//! IP-Adapter: a second attention, to the tokens of a reference picture.

mod branch;
mod layer;
mod processor;
mod projection;

pub use layer::IpAdapterLayer;
pub use projection::IpProjection;
