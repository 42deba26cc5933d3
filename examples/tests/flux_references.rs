//! `personalize` and `inspect` with references in FLUX's sequence: Kontext, Redux, OminiControl, on the tiny models of
//! `conceptrol-flux`.

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

/// The tiny FLUX with these arguments and a small picture.
fn personalize(more: &[&str], folder: &Path) -> Output {
    let model = fixture("models/flux_dev");
    let mut arguments = vec!["--model", &model, "--steps", "2"];
    arguments.extend(["--width", "64", "--height", "48"]);
    arguments.extend(more);
    run("personalize", &arguments, folder)
}

/// What the pictures say of themselves.
fn parameters(folder: &Path) -> String {
    let written = fs::read_dir(folder.join("target/personalize")).expect("pictures");
    let pictures = written.flatten().map(|entry| entry.path());
    let pictures = pictures.filter(|path| path.extension().is_some_and(|end| end == "png"));
    pictures.map(|picture| texts(&picture)).collect()
}

fn texts(picture: &PathBuf) -> String {
    let bytes = fs::read(picture).expect("a picture");
    let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info();
    let reader = reader.expect("a PNG");
    let texts = &reader.info().uncompressed_latin1_text;
    texts.iter().map(|text| text.text.as_str()).collect()
}

/// A folder whose `model_index.json` names Kontext, for `--config`.
fn kontext() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let index = r#"{"_class_name": "FluxKontextPipeline"}"#;
    fs::write(folder.path().join("model_index.json"), index).expect("written");
    folder
}

#[test]
fn kontext_keeps_two_references_to_their_words() {
    let (folder, config) = (tempfile::tempdir().expect("a folder"), kontext());
    let config = config.path().display().to_string();
    let picture = fixture("images/img1.png");
    let (man, library) = (format!("man={picture}"), format!("library={picture}"));
    let more = [
        "--config",
        &config,
        "--prompt",
        "a man in the library",
        "--concept",
        &man,
        "--concept",
        &library,
        "--reference-size",
        "64",
        "--references-see",
        "apart",
        "--compete",
        "soft",
        "--background",
        "0.3",
    ];
    let output = personalize(&more, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for mode in ["kontext", "conceptrol"] {
        assert!(said.contains(mode), "{said}");
    }
    let said = parameters(folder.path());
    for expected in [
        "Reference size: Area(4096)",
        "References see: Apart",
        "Competition: Soft",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn redux_reads_pictures_beside_each_other_or_summed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (redux, picture) = (fixture("models/flux_redux"), fixture("images/img1.png"));
    let (man, library) = (format!("man={picture}"), format!("library={picture}"));
    let both = [
        "--adapter",
        &redux,
        "--concept",
        &man,
        "--concept",
        &library,
    ];
    let words = ["--prompt", "a man in the library"];
    let beside = [both.as_slice(), &words, &["--spread"]].concat();
    let output = personalize(&beside, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("redux"));
    let summed = [
        "--redux-pictures",
        "summed",
        "--prompt-embeds-scale",
        "0.6,0.4",
    ];
    let summed = [both.as_slice(), &words, &summed, &["--mode", "adapter"]].concat();
    let output = personalize(&summed, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let without = ["--prompt", "", "--redux-without-text", "--mode", "adapter"];
    let without = [both.as_slice(), &without].concat();
    let output = personalize(&without, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(parameters(folder.path()).contains("Redux without text"));
}

#[test]
fn weights_are_quantised_as_they_are_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["--prompt", "a man in the library", "--mode", "text-only"];
    for bits in ["q8", "q4"] {
        let output = personalize(&[&words[..], &["--quantize", bits]].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(parameters(folder.path()).contains("Weights: Q4"));
    for more in [
        ["--quantize", "q5", ""],
        ["--quantize", "q4", "--stream-weights"],
    ] {
        let more: Vec<_> = more.into_iter().filter(|x| !x.is_empty()).collect();
        let output = personalize(&[&words[..], &more].concat(), folder.path());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
    }
    // the embedded model is a Stable Diffusion
    let output = run("personalize", &["--quantize", "q8"], folder.path());
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(
        said.contains("--quantize is for FLUX models only"),
        "{said}"
    );
}

#[test]
fn independent_conditions_are_those_of_ominicontrol() {
    let folder = tempfile::tempdir().expect("a folder");
    let lora = fixture("models/flux_dev_subject_lora/lora.safetensors");
    let library = format!("library={}", fixture("images/img1.png"));
    let more = [
        "--adapter",
        &lora,
        "--independent-conditions",
        "--position-scale",
        "2",
        "--reference-size",
        "32x48",
        "--concept",
        &library,
        "--prompt",
        "a man in the library",
    ];
    let output = personalize(&more, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let redux = fixture("models/flux_redux");
    let more = [
        "--adapter",
        &redux,
        "--independent-conditions",
        "--prompt",
        "a man",
    ];
    let output = personalize(&more, folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("independent conditions"));
}

#[test]
fn inspect_knows_redux() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run("inspect", &[&fixture("models/flux_redux")], folder.path());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for expected in [
        "FLUX Redux, from picture states of width 24 to text of width 32",
        "SigLIP vision encoder, 2 layers of width 24",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
