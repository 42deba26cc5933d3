//! `inspect` and `convert` on the files people have.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

use conceptrol_core::models::weights::Checkpoint;

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a target folder");
    folder.join("examples").join(name)
}

fn run(name: &str, arguments: &[&Path]) -> Output {
    let output = Command::new(program(name)).args(arguments).output();
    output.expect("the example is built with the tests")
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).expect("text")
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny-sd")
}

/// All tensors of a folder's parts.
fn parts(folder: &Path) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    for part in ["unet", "vae", "text_encoder"] {
        let file = Checkpoint::open(folder.join(part)).expect("a part");
        for tensor in file.tensors().filter(|tensor| tensor.shape.len() == 2) {
            let device = burn::tensor::Device::flex();
            let dtype = burn::tensor::FloatDType::F32;
            let loaded = file
                .load::<2>(&tensor.name, &device, dtype)
                .expect("a file")
                .expect("a matrix");
            let values = loaded.into_data().try_into_vec().expect("f32");
            all.push((format!("{part}.{}", tensor.name), values));
        }
    }
    all
}

#[test]
fn a_folder_becomes_a_file_and_a_folder_again() {
    let work = tempfile::tempdir().expect("a folder");
    let (file, folder) = (
        work.path().join("tiny.safetensors"),
        work.path().join("tiny"),
    );
    let output = run("convert", &[&tiny(), &file]);
    assert!(output.status.success(), "{}", text(&output));
    // once more is no overwriting
    let output = run("convert", &[&tiny(), &file]);
    assert!(
        text(&output).contains("is there already"),
        "{}",
        text(&output)
    );
    // its sizes are not published
    let output = run("convert", &[&file, &folder]);
    assert!(
        text(&output).contains("give a folder of configurations"),
        "{}",
        text(&output)
    );
    assert!(!folder.exists());
    let output = run("convert", &[&file, &folder, Path::new("--config"), &tiny()]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(parts(&folder), parts(&tiny()));
    for name in [
        "model_index.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "scheduler/scheduler_config.json",
    ] {
        assert_eq!(
            fs::read(folder.join(name)).expect(name),
            fs::read(tiny().join(name)).expect(name)
        );
    }
}

#[test]
fn quantised_files_need_a_type() {
    let work = tempfile::tempdir().expect("a folder");
    let gguf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../conceptrol-core/tests/fixtures/gguf/q4_k.gguf");
    let output = run("inspect", &[&gguf]);
    assert!(text(&output).contains("Q4_K x 1"), "{}", text(&output));
    let out = work.path().join("a.safetensors");
    let output = run("convert", &[&gguf, &out]);
    assert!(
        !output.status.success() && !out.exists(),
        "{}",
        text(&output)
    );
}

/// A file that is all header: 12 GB of zeros that take no room on the disk.
#[test]
fn inspect_says_what_full_size_single_files_hold() {
    use std::io::Write;
    let work = tempfile::tempdir().expect("a folder");
    let path = work.path().join("sd_xl_base_1.0.safetensors");
    let published = conceptrol_sd::published::Published::Sdxl;
    let names = conceptrol_core::models::weights::Weights::names(&burn::tensor::Device::flex());
    drop(conceptrol_sd::unet::UNet2DConditionModel::new(
        &published.unet(),
        &names,
    ));
    let modules = conceptrol_sd::unet::original_modules(&published.unet());
    let (mut header, mut end) = (serde_json::Map::new(), 0_usize);
    for tensor in names.finish().expect("names") {
        let own = modules.iter().find_map(|(ldm, own)| {
            let rest = tensor.name.strip_prefix(own.as_str())?;
            rest.starts_with('.')
                .then(|| format!("model.diffusion_model.{ldm}{rest}"))
        });
        let begin = end;
        end += 2 * tensor.elements();
        let entry = serde_json::json!({"dtype": "F16", "shape": tensor.shape, "data_offsets": [begin, end]});
        header.insert(own.expect("every tensor has an original name"), entry);
    }
    let begin = end;
    end += 4;
    let stray = serde_json::json!({"dtype": "F32", "shape": [1], "data_offsets": [begin, end]});
    header.insert("first_stage_model.stray".to_owned(), stray);
    let header = serde_json::Value::Object(header).to_string();
    let mut file = fs::File::create(&path).expect("a file");
    file.write_all(&(header.len() as u64).to_le_bytes())
        .expect("written");
    file.write_all(header.as_bytes()).expect("written");
    file.set_len((8 + header.len() + end) as u64)
        .expect("sparse");
    let before = Instant::now();
    let output = run("inspect", &[&path]);
    let (output, seconds) = (text(&output), before.elapsed().as_secs_f64());
    println!("inspect took {seconds:.2} s");
    assert!(
        output.contains("U-Net of Stable Diffusion XL, names of LDM / SGM"),
        "{output}"
    );
    assert!(
        output.contains("all 1680 of the model, nothing else"),
        "{output}"
    );
    assert!(
        output.contains("first_stage_model.*  autoencoder"),
        "{output}"
    );
}
