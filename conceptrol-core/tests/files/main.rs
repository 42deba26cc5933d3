//! Files of others: what is no file, and configurations.

mod configurations;
mod regular;
