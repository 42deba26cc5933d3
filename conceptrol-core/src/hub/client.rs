//! Fetching into the cache.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};
use serde_json::Value;

use super::{
    HubError, ModelId, Progress,
    progress::Forward,
    select::{self, INDEX, is_plain},
};
use crate::models::file;

/// Where the hub is.
const ENDPOINT: &str = "https://huggingface.co";
/// A connection that breaks is taken up again so many times a file.
const RETRIES: usize = 5;
/// Larger than the index of any model.
const MOST_BYTES: u64 = 64 << 20;
/// Status codes of a hub that wants another token, and of one that does not know what is asked for.
const REFUSED: [u16; 2] = [401, 403];
const NOT_FOUND: u16 = 404;

/// A client of the Hugging Face hub.
///
/// What it fetches lies where Python's `huggingface_hub` puts it: `models--owner--name/{refs,snapshots,blobs}` in the cache,
/// and what that has fetched is used.
#[derive(Debug, Clone)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
    variant: Option<String>,
}

impl Hub {
    /// As the environment says: `HF_HOME` or `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN` (or the token that
    /// `huggingface-cli login` has left in `HF_HOME`), `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    ///
    /// [`HubError::NoCache`] without a home folder.
    pub fn from_env() -> Result<Self, HubError> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let home = match (set("HF_HOME"), set("XDG_CACHE_HOME"), env::home_dir()) {
            (Some(home), ..) => PathBuf::from(home),
            (None, Some(cache), _) => Path::new(&cache).join("huggingface"),
            (None, None, Some(user)) => user.join(".cache/huggingface"),
            (None, None, None) => return Err(HubError::NoCache),
        };
        let cache = set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| {
            let saved = file::read_text(home.join("token"), 1 << 12).ok()?;
            Some(saved.trim().to_owned()).filter(|token| !token.is_empty())
        });
        let yes =
            |value: String| !matches!(value.to_lowercase().as_str(), "0" | "false" | "no" | "off");
        Ok(Self {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()),
            cache,
            token,
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
            variant: None,
        })
    }

    /// Another place of the cache.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = folder.into();
        self
    }

    /// Another server.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into().trim_end_matches('/').to_owned();
        self
    }

    /// The token to ask with, or none.
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Whether only the cache is looked at.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Takes weights of this variant (`fp16`) where there are some.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// The folder of a pipeline as diffusers saves it, with the files that are needed and not yet in the cache fetched:
    /// configurations, tokenizers, and one checkpoint a part.
    ///
    /// # Errors
    ///
    /// [`HubError`]. A download that broke goes on where it was the next time.
    pub fn model(&self, id: &ModelId, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        let repo = self.repo(id, id.revision());
        let cached = Cache::new(self.cache.clone()).repo(repo.clone());
        if self.offline {
            return self.cached(id);
        }
        let api = self.api(id)?;
        let info = api.repo(repo).info();
        let info = info.map_err(|error| said(id, &format!("revision {}", id.revision()), error))?;
        if !is_plain(&info.sha) || info.sha.contains('/') {
            return Err(content(
                id,
                format!("the hub names the commit {}", info.sha),
            ));
        }
        let all: Vec<String> = info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .collect();
        let mut fetch = Fetch {
            id,
            snapshot: cached.pointer_path(&info.sha),
            // from here on one commit, whatever happens to the branch
            repo: api.repo(self.repo(id, &info.sha)),
            api: &api,
            progress,
        };
        if !all.iter().any(|file| file == INDEX) {
            let reason = "the repository is no pipeline of diffusers: it has no model_index.json";
            return Err(content(id, reason.to_owned()));
        }
        let index = fetch.json(INDEX)?;
        for name in select::files(&index, &all, self.variant.as_deref()) {
            if !name.contains(".index.") {
                fetch.file(name)?;
                continue;
            }
            let shards = fetch.json(name)?;
            for shard in select::shards(name, &shards) {
                fetch.file(&shard)?;
            }
        }
        let io = |source| HubError::Io {
            path: self.cache.clone(),
            source,
        };
        cached.create_ref(&info.sha).map_err(io)?;
        Ok(fetch.snapshot)
    }

    /// One file of a repository: an adapter, say, or a single file of a model.
    ///
    /// # Errors
    ///
    /// As [`model`](Self::model).
    pub fn file(
        &self,
        id: &ModelId,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, HubError> {
        if !is_plain(name) {
            return Err(content(id, format!("`{name}` is no name of a file")));
        }
        if self.offline {
            let path = self.cached(id)?.join(name);
            return match path.exists() {
                true => Ok(path),
                false => Err(self.not_cached(id)),
            };
        }
        let api = self.api(id)?;
        let repo = self.repo(id, id.revision());
        let info = api.repo(repo.clone()).info();
        let info = info.map_err(|error| said(id, &format!("revision {}", id.revision()), error))?;
        let cached = Cache::new(self.cache.clone()).repo(repo);
        let mut fetch = Fetch {
            id,
            snapshot: cached.pointer_path(&info.sha),
            repo: api.repo(self.repo(id, &info.sha)),
            api: &api,
            progress,
        };
        fetch.file(name)
    }

    /// The snapshot that the cache has of a revision.
    fn cached(&self, id: &ModelId) -> Result<PathBuf, HubError> {
        let repo = Cache::new(self.cache.clone()).repo(self.repo(id, id.revision()));
        let folder = self.cache.join(self.repo(id, id.revision()).folder_name());
        let named = file::read_text(folder.join("refs").join(id.revision()), 1 << 10);
        // a commit is its own name
        let commit = named.map_or_else(|_| id.revision().to_owned(), |text| text.trim().to_owned());
        let snapshot = repo.pointer_path(&commit);
        match is_plain(&commit) && snapshot.is_dir() {
            true => Ok(snapshot),
            false => Err(self.not_cached(id)),
        }
    }

    fn not_cached(&self, id: &ModelId) -> HubError {
        HubError::Offline {
            model: id.to_string(),
            cache: self.cache.clone(),
        }
    }

    fn repo(&self, id: &ModelId, revision: &str) -> Repo {
        Repo::with_revision(id.name().to_owned(), RepoType::Model, revision.to_owned())
    }

    fn api(&self, id: &ModelId) -> Result<Api, HubError> {
        let builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_retries(RETRIES)
            .with_progress(false)
            .with_user_agent("conceptrol", env!("CARGO_PKG_VERSION"));
        builder.build().map_err(|error| said(id, "the hub", error))
    }
}

/// Fetching the files of one commit.
struct Fetch<'a> {
    id: &'a ModelId,
    api: &'a Api,
    repo: ApiRepo,
    snapshot: PathBuf,
    progress: &'a mut dyn Progress,
}

impl Fetch<'_> {
    /// A file in the snapshot, fetched if it is not there.
    fn file(&mut self, name: &str) -> Result<PathBuf, HubError> {
        if !is_plain(name) {
            return Err(content(self.id, format!("the hub lists a file `{name}`")));
        }
        let path = self.snapshot.join(name);
        if path.exists() {
            return Ok(path);
        }
        let failed = |error| said(self.id, name, error);
        // the name of the blob comes from the server
        let metadata = self.api.metadata(&self.repo.url(name)).map_err(failed)?;
        if !is_plain(metadata.etag()) || metadata.etag().contains('/') {
            let reason = format!("the hub gives {name} the tag `{}`", metadata.etag());
            return Err(content(self.id, reason));
        }
        let progress = Forward(self.progress);
        let fetched = self
            .repo
            .download_with_progress(name, progress)
            .map_err(failed)?;
        let io = |source| HubError::Io {
            path: fetched.clone(),
            source,
        };
        let (found, expected) = (
            fs::metadata(&fetched).map_err(io)?.len(),
            metadata.size() as u64,
        );
        if found == expected {
            return Ok(fetched);
        }
        remove(&fetched).map_err(io)?;
        Err(HubError::Length {
            model: self.id.to_string(),
            file: name.to_owned(),
            found,
            expected,
        })
    }

    fn json(&mut self, name: &str) -> Result<Value, HubError> {
        let path = self.file(name)?;
        let text = file::read_text(&path, MOST_BYTES);
        let text = text.map_err(|error| content(self.id, format!("{name}: {error}")))?;
        serde_json::from_str(&text).map_err(|error| content(self.id, format!("{name}: {error}")))
    }
}

/// A file of the cache and what its link leads to.
fn remove(path: &Path) -> io::Result<()> {
    let blob = fs::canonicalize(path)?;
    fs::remove_file(path)?;
    match blob.exists() {
        true => fs::remove_file(blob),
        false => Ok(()),
    }
}

fn content(id: &ModelId, reason: String) -> HubError {
    HubError::Content {
        model: id.to_string(),
        reason,
    }
}

/// What the hub said, in the words of this library.
fn said(id: &ModelId, file: &str, error: ApiError) -> HubError {
    let model = id.to_string();
    match status(&error) {
        Some(status) if REFUSED.contains(&status) => HubError::Refused { model, status },
        Some(NOT_FOUND) => HubError::NotFound {
            model,
            what: file.to_owned(),
        },
        _ => HubError::Fetch {
            model,
            file: file.to_owned(),
            source: Box::new(error),
        },
    }
}

/// The status code of an answer that was an error.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}
