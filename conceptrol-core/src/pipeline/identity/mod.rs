//! Who a concept is: embeddings of faces, computed elsewhere.

mod error;
mod faces;
mod npy;

pub use error::IdentityError;
pub use faces::Identity;
