//! Fetching a tiny repository from a server on the loopback.

mod server;

use std::{fs, path::Path};

use conceptrol_core::{
    hub::{Hub, HubError, ModelId, Progress, Quiet},
    message::chain,
    pipeline::model_at,
};
use server::{COMMIT, Fault, Server};

const INDEX: &[u8] = br#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"], "safety_checker": ["x", "y"], "image_encoder": [null, null]}"#;
const SHARDS: &[u8] = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;

/// A repository with what is needed and what is not.
fn files() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("README.md", b"a model"),
        ("model.ckpt", b"everything again"),
        ("model_index.json", INDEX),
        ("safety_checker/model.safetensors", b"not wanted"),
        ("text_encoder/config.json", b"{}"),
        (
            "text_encoder/model-00001-of-00002.safetensors",
            b"the first shard",
        ),
        (
            "text_encoder/model-00002-of-00002.safetensors",
            b"the second shard",
        ),
        ("text_encoder/model.safetensors.index.json", SHARDS),
        ("unet/config.json", b"{}"),
        ("unet/diffusion_pytorch_model.fp16.safetensors", b"half"),
        (
            "unet/diffusion_pytorch_model.safetensors",
            b"all of the unet",
        ),
    ]
}

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub::from_env()
        .unwrap()
        .cache(cache)
        .endpoint(&server.endpoint)
        .token(None)
        .offline(false)
}

fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

/// Every file below a folder, links followed.
fn below(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.path().is_dir() {
                true => walk(&entry.path(), root, found),
                false => found.push(
                    entry
                        .path()
                        .strip_prefix(root)
                        .unwrap()
                        .display()
                        .to_string(),
                ),
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

#[test]
fn what_is_needed_is_fetched_once_and_lies_where_python_looks() {
    let (server, cache) = (
        Server::start(&files(), Fault::None),
        tempfile::tempdir().unwrap(),
    );
    let hub = hub(&server, cache.path());
    let folder = hub.model(&id("owner/name"), &mut Quiet).unwrap();
    let root = cache.path().join("models--owner--name");
    assert_eq!(folder, root.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let wanted = [
        "model_index.json",
        "text_encoder/config.json",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model-00002-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(below(&folder), wanted);
    for (name, bytes) in files() {
        if wanted.contains(&name) {
            assert_eq!(fs::read(folder.join(name)).unwrap(), bytes, "{name}");
        }
    }
    let unet = folder.join("unet/diffusion_pytorch_model.safetensors");
    assert!(fs::symlink_metadata(&unet).unwrap().is_symlink() || cfg!(windows));
    assert!(
        fs::canonicalize(&unet)
            .unwrap()
            .starts_with(root.canonicalize().unwrap().join("blobs"))
    );
    // a model's folder, by itself or as the root that Python's users copy around
    assert_eq!(model_at(&root).unwrap(), folder);

    let before = server.paths().len();
    assert_eq!(hub.model(&id("owner/name"), &mut Quiet).unwrap(), folder);
    assert_eq!(
        server.paths().len(),
        before + 1,
        "only the revision is asked for"
    );
    // offline nothing is
    let offline = hub.offline(true);
    assert_eq!(
        offline.model(&id("owner/name"), &mut Quiet).unwrap(),
        folder
    );
    let by_commit = id(&format!("owner/name@{COMMIT}"));
    assert_eq!(offline.model(&by_commit, &mut Quiet).unwrap(), folder);
    assert_eq!(server.paths().len(), before + 1);
    let error = offline.model(&id("owner/other"), &mut Quiet).unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
}

#[test]
fn the_variant_is_chosen() {
    let (server, cache) = (
        Server::start(&files(), Fault::None),
        tempfile::tempdir().unwrap(),
    );
    let hub = hub(&server, cache.path()).variant("fp16");
    let folder = hub.model(&id("owner/name"), &mut Quiet).unwrap();
    assert!(
        folder
            .join("unet/diffusion_pytorch_model.fp16.safetensors")
            .exists()
    );
    assert!(
        !folder
            .join("unet/diffusion_pytorch_model.safetensors")
            .exists()
    );
    let file = hub
        .file(&id("owner/name"), "README.md", &mut Quiet)
        .unwrap();
    assert_eq!(fs::read(file).unwrap(), b"a model");
}

#[test]
fn a_cut_is_taken_up_where_it_was() {
    let (server, cache) = (
        Server::start(&files(), Fault::Cut),
        tempfile::tempdir().unwrap(),
    );
    let folder = hub(&server, cache.path())
        .model(&id("owner/name"), &mut Quiet)
        .unwrap();
    let unet = folder.join("unet/diffusion_pytorch_model.safetensors");
    assert_eq!(fs::read(unet).unwrap(), b"all of the unet");
    let log = server.log.lock().unwrap();
    let resumed = log.iter().any(|(path, range)| {
        path.ends_with("unet/diffusion_pytorch_model.safetensors")
            && range.as_deref() == Some("bytes=7-")
    });
    assert!(resumed, "{log:?}");
}

#[test]
fn a_wrong_length_is_an_error_and_nothing_stays() {
    let (server, cache) = (
        Server::start(&files(), Fault::Length),
        tempfile::tempdir().unwrap(),
    );
    let error = hub(&server, cache.path())
        .model(&id("owner/name"), &mut Quiet)
        .unwrap_err();
    let expected = INDEX.len() as u64;
    assert!(
        matches!(&error, HubError::Length { found, expected: more, .. } if *found == expected && *more == expected + 7),
        "{error}"
    );
    assert!(
        !below(cache.path())
            .iter()
            .any(|name| name.ends_with("model_index.json"))
    );
}

#[test]
fn a_token_is_asked_for_and_used() {
    let (server, cache) = (
        Server::start(&files(), Fault::Token("secret")),
        tempfile::tempdir().unwrap(),
    );
    let hub = hub(&server, cache.path());
    let error = hub.model(&id("owner/name"), &mut Quiet).unwrap_err();
    assert!(
        matches!(error, HubError::Refused { status: 401, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("set HF_TOKEN"));
    let hub = hub.token(Some("secret".to_owned()));
    hub.model(&id("owner/name"), &mut Quiet).unwrap();
}

#[test]
fn what_is_not_there_is_named() {
    let (server, cache) = (
        Server::start(&files(), Fault::None),
        tempfile::tempdir().unwrap(),
    );
    let hub = hub(&server, cache.path());
    let error = hub.model(&id("owner/name@absent"), &mut Quiet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "owner/name@absent: the hub has no revision absent"
    );
    let error = hub
        .file(&id("owner/name"), "absent.safetensors", &mut Quiet)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "owner/name: the hub has no absent.safetensors"
    );
    let plain = Server::start(&[("README.md", b"")], Fault::None);
    let error = self::hub(&plain, cache.path())
        .model(&id("owner/name"), &mut Quiet)
        .unwrap_err();
    assert!(error.to_string().contains("no model_index.json"), "{error}");
    let nobody = hub.endpoint("http://127.0.0.1:1");
    let error = nobody.model(&id("owner/name"), &mut Quiet).unwrap_err();
    assert!(chain(&error).contains("cannot fetch"), "{}", chain(&error));
}

/// Names and tags come from the server; none of them leads out of the cache.
#[test]
fn a_server_cannot_write_elsewhere() {
    let (server, work) = (
        Server::start(&files(), Fault::Paths),
        tempfile::tempdir().unwrap(),
    );
    let cache = work.path().join("a/b/c");
    let error = hub(&server, &cache)
        .model(&id("owner/name"), &mut Quiet)
        .unwrap_err();
    assert!(error.to_string().contains("the tag"), "{error}");
    assert!(!below(work.path()).iter().any(|name| name.contains("evil")));
}

#[test]
fn names_of_models() {
    for text in [
        "name", "a/b/c", "../b", "a/..", "/a", "a/b@", "a/b@../x", "a b/c",
    ] {
        assert!(text.parse::<ModelId>().is_err(), "{text}");
    }
    assert_eq!(id("a/b").to_string(), "a/b");
    assert_eq!(id("a/b@v1.0").to_string(), "a/b@v1.0");
}

#[test]
fn progress_is_reported() {
    #[derive(Default)]
    struct Seen(Vec<(String, u64)>, u64);
    impl Progress for Seen {
        fn begin(&mut self, file: &str, bytes: u64) {
            self.0.push((file.to_owned(), bytes));
        }
        fn advance(&mut self, bytes: u64) {
            self.1 += bytes;
        }
        fn end(&mut self) {}
    }
    let (server, cache) = (
        Server::start(&files(), Fault::None),
        tempfile::tempdir().unwrap(),
    );
    let mut seen = Seen::default();
    hub(&server, cache.path())
        .file(&id("owner/name"), "README.md", &mut seen)
        .unwrap();
    assert!(seen.0.contains(&("README.md".to_owned(), 7)));
    assert_eq!(seen.1, 7);
}
