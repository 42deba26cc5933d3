//! `personalize` and `inspect` with the IP-Adapters of FLUX, on the tiny ones of `conceptrol-flux`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn run(name: &str, arguments: &[&str], folder: &Path) -> Output {
    let test = std::env::current_exe().expect("a path");
    let built = test.parent().and_then(Path::parent).expect("a folder");
    Command::new(built.join("examples").join(name))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the example is built with the tests")
}

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conceptrol-flux/tests/fixtures");
    fixtures.join(name).display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const KINDS: [(&str, &str); 2] = [
    ("ip_adapter/xlabs.safetensors", "ip_adapter/xlabs_encoder"),
    ("ip_adapter/instantx.bin", "ip_adapter/instantx_encoder"),
];

/// The tiny FLUX with an adapter and more arguments.
fn personalize(kind: usize, more: &[&str], folder: &Path) -> Output {
    let (adapter, encoder) = (fixture(KINDS[kind].0), fixture(KINDS[kind].1));
    let (model, picture) = (fixture("models/flux_dev"), fixture("images/img1.png"));
    let concept = format!("library={picture}");
    let mut arguments = vec![
        "--model",
        &model,
        "--adapter",
        &adapter,
        "--image-encoder",
        &encoder,
        "--concept",
        &concept,
        "--prompt",
        "a man in the library",
        "--steps",
        "2",
        "--width",
        "64",
        "--height",
        "48",
    ];
    arguments.extend(more);
    run("personalize", &arguments, folder)
}

fn parameters(picture: PathBuf) -> String {
    let bytes = fs::read(picture).expect("a picture");
    let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info();
    let reader = reader.expect("a PNG");
    let texts = &reader.info().uncompressed_latin1_text;
    texts.iter().map(|text| text.text.as_str()).collect()
}

#[test]
fn each_adapter_makes_pictures() {
    for kind in 0..KINDS.len() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = personalize(kind, &[], folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        for mode in ["ip_adapter", "conceptrol"] {
            assert!(said.contains(mode), "{said}");
        }
    }
}

#[test]
fn pictures_say_how_they_were_mixed() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = format!("library={}", fixture("images/img1.png"));
    let more = [
        "--mode",
        "conceptrol",
        "--true-cfg-scale",
        "2.5",
        "--negative-prompt",
        "a man",
        "--more-images",
        &picture,
        "--negative-image",
        &picture,
    ];
    let output = personalize(0, &more, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = fs::read_dir(folder.path().join("target/personalize")).expect("pictures");
    let pictures = written.flatten().map(|entry| entry.path());
    let said: String = pictures
        .filter(|path| path.extension().is_some_and(|end| end == "png"))
        .map(parameters)
        .collect();
    for expected in [
        "True CFG scale: 2.5",
        "More of: library",
        "Negative picture of: library",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn what_nothing_reads_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |kind, more: &[&str], expected: &str| {
        let output = personalize(kind, more, folder.path());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{said}");
    };
    refused(
        0,
        &["--negative-prompt", "a man"],
        "without a true_cfg_scale",
    );
    refused(0, &["--true-cfg-scale", "2"], "without a negative prompt");
    refused(0, &["--no-text-rows"], "text rows");
    let cat = format!("cat={}", fixture("images/img1.png"));
    refused(0, &["--more-images", &cat], "--more-images names `cat`");
    let library = format!("library={}", fixture("images/img1.png"));
    refused(1, &["--negative-image", &library], "negative picture");
}

#[test]
fn inspect_knows_them() {
    let folder = tempfile::tempdir().expect("a folder");
    // without a transformer above it an adapter is compared with FLUX.1-dev, which the tiny ones do not fit
    for (kind, expected) in [
        (
            0,
            "IP-Adapter of XLabs for FLUX, 4 tokens a picture, 3 blocks",
        ),
        (
            1,
            "IP-Adapter of InstantX for FLUX, 6 tokens a picture, 9 blocks",
        ),
    ] {
        let place = folder.path().join(kind.to_string());
        fs::create_dir_all(place.join("transformer")).expect("a folder");
        let name = KINDS[kind].0.rsplit('/').next().expect("a name");
        fs::copy(fixture(KINDS[kind].0), place.join(name)).expect("copied");
        let config = fixture("models/flux_dev/transformer/config.json");
        fs::copy(config, place.join("transformer/config.json")).expect("copied");
        let file = place.join(name).display().to_string();
        let output = run("inspect", &[&file], folder.path());
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        assert!(said.contains(expected), "{said}");
    }
    let encoder = run("inspect", &[&fixture(KINDS[1].1)], folder.path());
    let said = text(&encoder.stdout);
    assert!(
        encoder.status.success() && said.contains("SigLIP vision encoder"),
        "{said}"
    );
}
