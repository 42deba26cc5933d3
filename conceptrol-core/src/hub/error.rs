use std::{io, path::PathBuf};

use hf_hub::api::sync::ApiError;

use crate::message::{shown, shown_path};

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// No name of a model.
    #[error(
        "`{}` is no model of the hub: expected owner/name or owner/name@revision",
        shown(text)
    )]
    Id {
        /// What was given.
        text: String,
    },
    /// Neither `HF_HOME` nor a home folder.
    #[error("there is no folder for the cache: set HF_HOME")]
    NoCache,
    /// The hub wants to know who asks.
    #[error(
        "{model}: the hub refuses access ({status}): set HF_TOKEN to a token of an account that has accepted the model's terms"
    )]
    Refused {
        /// The model.
        model: String,
        /// 401 or 403.
        status: u16,
    },
    /// There is no such model, revision or file.
    #[error("{model}: the hub has no {}", shown(what))]
    NotFound {
        /// The model.
        model: String,
        /// What is not there.
        what: String,
    },
    /// The repository holds no pipeline of diffusers, or lacks a part of it.
    #[error("{model}: {}", shown(reason))]
    Content {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// In offline mode, a model that is not in the cache.
    #[error("{model} is not in {}, and HF_HUB_OFFLINE is set", shown_path(cache))]
    Offline {
        /// The model.
        model: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// What came is not as long as the hub says. It is removed from the cache.
    #[error("{model}: {} has {found} bytes, the hub says {expected}", shown(file))]
    Length {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Bytes that came.
        found: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// The connection, or the server.
    #[error("{model}: cannot fetch {}", shown(file))]
    Fetch {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// What went wrong.
        source: Box<ApiError>,
    },
    /// The system refused something in the cache.
    #[error("cannot use {}", shown_path(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}
