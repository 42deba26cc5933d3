//! `inspect` and `convert` on the files people have.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

use burn::tensor::Device;
use conceptrol_core::models::weights::{Checkpoint, TensorInfo, Weights};
use conceptrol_sd::{
    config::UNetConfig,
    unet::{UNet2DConditionModel, original_modules},
};
use serde_json::json;

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
            let device = Device::flex();
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

/// FLUX's transformer: from diffusers' names to the original ones and back.
#[test]
fn a_transformer_becomes_a_file_and_a_folder_again() {
    let work = tempfile::tempdir().expect("a folder");
    let flux = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../conceptrol-flux/tests/fixtures/models/flux_dev");
    let file = work.path().join("flux.safetensors");
    let output = run("convert", &[&flux, &file]);
    assert!(output.status.success(), "{}", text(&output));
    let original = Checkpoint::open(&file).expect("a file");
    assert!(original.contains("double_blocks.0.img_attn.qkv.weight"));
    let folder = work.path().join("flux");
    let other: [&Path; 4] = [&file, &folder, Path::new("--vae"), &flux];
    let output = text(&run("convert", &other));
    assert!(
        output.contains("--vae: of FLUX the transformer"),
        "{output}"
    );
    let arguments: [&Path; 4] = [&file, &folder, Path::new("--config"), &flux];
    let output = run("convert", &arguments);
    assert!(output.status.success(), "{}", text(&output));
    let values = |folder: &Path| -> Vec<(String, Vec<f32>)> {
        let file = Checkpoint::open(folder.join("transformer")).expect("a part");
        let tensors = file.tensors();
        let mut all: Vec<_> = tensors
            .map(|tensor| {
                (
                    tensor.name.clone(),
                    file.values(&tensor.name).expect("read"),
                )
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    assert!(values(&folder) == values(&flux), "every number came back");
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

/// A file of these tensors that is all header: zeros that take no room on the disk.
fn sparse(path: &Path, tensors: impl IntoIterator<Item = (String, Vec<usize>)>) {
    let (mut header, mut end) = (serde_json::Map::new(), 0_usize);
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name, entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    let mut file = fs::File::create(path).expect("a file");
    file.write_all(&[&length, header.as_bytes()].concat())
        .expect("written");
    file.set_len((8 + header.len() + end) as u64)
        .expect("sparse");
}

/// The UNet of SDXL under its own names.
fn unet() -> Vec<TensorInfo> {
    let names = Weights::names(&Device::flex());
    drop(UNet2DConditionModel::new(&UNetConfig::sdxl(), &names));
    names.finish().expect("names")
}

/// What `inspect` says of a file, and that it holds all of this.
fn inspected(path: &Path, expected: &[&str]) {
    let before = Instant::now();
    let output = text(&run("inspect", &[path]));
    println!("inspect took {:.2} s", before.elapsed().as_secs_f64());
    for line in expected {
        assert!(output.contains(line), "{line}: {output}");
    }
}

#[test]
fn inspect_says_what_full_size_single_files_hold() {
    let work = tempfile::tempdir().expect("a folder");
    let path = work.path().join("sd_xl_base_1.0.safetensors");
    let modules = original_modules(&UNetConfig::sdxl());
    let original = unet().into_iter().map(|tensor| {
        let name = modules.iter().find_map(|(ldm, own)| {
            let rest = tensor.name.strip_prefix(own.as_str())?;
            let whole = rest.starts_with('.');
            whole.then(|| format!("model.diffusion_model.{ldm}{rest}"))
        });
        (
            name.expect("every tensor has an original name"),
            tensor.shape,
        )
    });
    let stray = ("first_stage_model.stray".to_owned(), vec![1]);
    sparse(&path, original.chain([stray]));
    inspected(
        &path,
        &[
            "U-Net of Stable Diffusion XL, names of LDM / SGM",
            "all 1680 of the model, nothing else",
            "first_stage_model.*  autoencoder",
        ],
    );
}

/// kohya's style for every layer of the UNet, convolutions and all.
#[test]
fn inspect_says_what_full_size_styles_change() {
    let work = tempfile::tempdir().expect("a folder");
    let path = work.path().join("style_xl.safetensors");
    let layers = unet().into_iter().filter(|tensor| tensor.shape.len() > 1);
    let modules: Vec<_> = layers.collect();
    let count = modules.len();
    let tensors = modules.into_iter().flat_map(|tensor| {
        let module = tensor.name.trim_end_matches(".weight").replace('.', "_");
        let (mut down, mut up) = (tensor.shape.clone(), tensor.shape);
        down[0] = 32;
        up[1..].fill(1);
        up[1] = 32;
        let name = |ending: &str| format!("lora_unet_{module}.{ending}");
        [
            (name("lora_down.weight"), down),
            (name("lora_up.weight"), up),
        ]
    });
    sparse(&path, tensors);
    let layers = format!("{count} layers of the denoiser, rank 32");
    inspected(
        &path,
        &[
            "low-rank adapter for Stable Diffusion XL: LoRA, names of kohya",
            &layers,
        ],
    );
}
