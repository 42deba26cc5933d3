//! Reading configurations: `config.json` of a model, `scheduler_config.json`, `model_index.json`, `conceptrol.json`.

mod error;
mod fields;
mod python;

pub use error::ConfigError;
pub use fields::{Choice, Fields};
pub use python::parse_python_json;
