//! What a FLUX block of full size computes with its weights in few bytes, against the same weights in f32.
//!
//! `cargo bench -p conceptrol-benches --bench flux_accuracy [-- [--dir DIR] [--keep]]`: one double and one single block with random
//! weights between embeddings and output layer, 128 tokens of text and 16 x 16 of latents, computed in f32. Prints the root mean square
//! of the difference of what is predicted, in parts of what the block changes of it, for its weights as 16-bit floats, fp8 with a factor a
//! weight, `Q8_0` and `Q4_0` as they are rounded here, and for every other file in DIR whose name begins with `double` or `single`: with
//! `--keep` the f32 files stay there for other tools to convert (`sd-cli -M convert -m double.safetensors -o double-q4_K.gguf --type q4_K`).
//! Of those only the weights of the block are taken, since tools round the layers around it as well.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Bytes, Device, FloatDType, Tensor, bf16, f16};
use conceptrol_benches::{Failure, FluxInputs, numbers};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Session,
    kernel::{CompactFormat, CompactMatrix},
    models::weights::{Checkpoint, Format, Keep, TensorInfo, Weights},
};
use conceptrol_flux::{
    FluxConfig, attention_sites, load::transformer_checkpoint, mmdit::FluxTransformer,
};
use serde_json::{Map, Value, json};

const TEXT: usize = 128;
const EDGE: usize = 16;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (mut folder, mut keep) = (std::env::temp_dir(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => folder = arguments.next().ok_or("--dir has no value")?.into(),
            "--keep" => keep = true,
            _ => {}
        }
    }
    for (name, blocks) in [("double", [1, 0]), ("single", [0, 1])] {
        let [num_layers, num_single_layers] = blocks;
        let config = FluxConfig {
            num_layers,
            num_single_layers,
            ..FluxConfig::dev()
        };
        let path = folder.join(format!("{name}.safetensors"));
        if !path.exists() {
            fs::write(&path, file(&tensors(&config)?, "F32", f32_bytes)?)?;
        }
        let compared = Block { config, path };
        compared.all(name, &folder)?;
        if !keep {
            fs::remove_file(compared.path)?;
        }
    }
    Ok(())
}

struct Block {
    config: FluxConfig,
    /// Its weights in f32.
    path: PathBuf,
}

impl Block {
    fn all(&self, name: &str, folder: &Path) -> Result<(), Failure> {
        let exact = Checkpoint::open(&self.path)?;
        let expected = self.predict(&exact, Keep::Computed)?;
        let none = FluxConfig {
            num_layers: 0,
            num_single_layers: 0,
            ..self.config.clone()
        };
        let without = predict(&none, &exact, Keep::Computed)?;
        let added = distance(&expected, &without);
        let print = |format: &str, found: &[f32]| {
            println!(
                "{name} {format:12} {:.5}",
                distance(found, &expected) / added
            );
        };
        for (format, keep) in [("Q8_0", Keep::Q8_0), ("Q4_0", Keep::Q4_0)] {
            print(format, &self.predict(&exact, keep)?);
        }
        let tensors = tensors(&self.config)?;
        let stored: [(&str, Store); 3] = [
            ("F16", f16_bytes),
            ("BF16", bf16_bytes),
            ("F8_E4M3", fp8_bytes),
        ];
        for (dtype, bytes) in stored {
            let file = file(&tensors, dtype, bytes)?;
            let file = Checkpoint::from_bytes(dtype, Format::Safetensors, file)?;
            print(dtype, &self.predict(&file, Keep::Stored)?);
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if stem.starts_with(name) && path != self.path {
                let converted = with_block_of(&exact, &Checkpoint::open(&path)?)?;
                print(&stem, &self.predict(&converted, Keep::Stored)?);
            }
        }
        Ok(())
    }

    fn predict(&self, file: &Checkpoint, keep: Keep) -> Result<Vec<f32>, Failure> {
        predict(&self.config, file, keep)
    }
}

/// The weights of `exact` around the block, those of `converted` in it.
fn with_block_of(exact: &Checkpoint, converted: &Checkpoint) -> Result<Checkpoint, Failure> {
    let part = |file: &Checkpoint, of_block: bool| -> Result<Checkpoint, Failure> {
        let kept = |name: &str| (name.contains("blocks.") == of_block).then(|| name.to_owned());
        Ok(transformer_checkpoint(file)?.rename(kept))
    };
    let parts = [("", part(exact, false)?), ("", part(converted, true)?)];
    Ok(Checkpoint::together(converted.path(), parts)?)
}

/// What a model with these blocks of the file predicts.
fn predict(config: &FluxConfig, file: &Checkpoint, keep: Keep) -> Result<Vec<f32>, Failure> {
    let device = Device::flex();
    let file = transformer_checkpoint(file)?;
    let weights = Weights::from_checkpoint(file, &device, FloatDType::F32).keeping(keep);
    let model = weights.read(|weights| FluxTransformer::new(config, weights))?;
    // without blocks, those of the file are left over
    if config.num_layers + config.num_single_layers > 0 {
        weights.finish()?;
    }
    let inputs = FluxInputs::of(
        config,
        numbers([1, EDGE * EDGE, config.in_channels], 1, &device),
        None,
        numbers([1, TEXT, config.joint_attention_dim], 2, &device),
        numbers([1, config.pooled_projection_dim], 3, &device),
    );
    let plan = AttentionPlan::plain(&attention_sites(config));
    let mut session = Session::new(&plan, BatchLayout::unguided(1), [])?;
    let predicted = inputs.run(&model, &mut session)?;
    Ok(predicted.into_data().try_to_vec()?)
}

/// Root of the sum of squares of the difference.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let squares: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    squares.sqrt()
}

fn tensors(config: &FluxConfig) -> Result<Vec<TensorInfo>, Failure> {
    let names = Weights::names(&Device::flex());
    drop(FluxTransformer::new(config, &names));
    Ok(names.finish()?)
}

/// Bytes of a weight, and a factor on what they stand for.
type Store = fn(&[f32]) -> (Vec<u8>, Option<f32>);

/// A safetensors file of random weights; matrices of blocks in the type `dtype`, whose bytes and factor `bytes` gives.
fn file(tensors: &[TensorInfo], dtype: &str, bytes: Store) -> Result<Vec<u8>, Failure> {
    let weights = Weights::random(1, &Device::flex(), FloatDType::F32);
    let (mut header, mut data) = (Map::new(), Vec::new());
    let mut put = |name: String, dtype: &str, shape: &[usize], bytes: &[u8]| {
        let start = data.len();
        data.extend_from_slice(bytes);
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name, entry);
    };
    for tensor in tensors {
        let numbers: Vec<f32> = match tensor.shape[..] {
            [rows, columns] => values(weights.tensor::<2>(&tensor.name, [rows, columns]).val())?,
            _ => values(weights.tensor::<1>(&tensor.name, [tensor.elements()]).val())?,
        };
        if tensor.shape.len() == 2 && tensor.name.contains("blocks.") {
            let (bytes, factor) = bytes(&numbers);
            put(tensor.name.clone(), dtype, &tensor.shape, &bytes);
            if let Some(factor) = factor {
                let name = tensor.name.replace(".weight", ".scale_weight");
                put(name, "F32", &[], &factor.to_le_bytes());
            }
        } else {
            put(
                tensor.name.clone(),
                "F32",
                &tensor.shape,
                &f32_bytes(&numbers).0,
            );
        }
    }
    let header = serde_json::to_vec(&Value::Object(header))?;
    let len = (header.len() as u64).to_le_bytes();
    Ok([&len[..], &header, &data].concat())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Failure> {
    Ok(tensor.into_data().try_to_vec()?)
}

fn f32_bytes(numbers: &[f32]) -> (Vec<u8>, Option<f32>) {
    (numbers.iter().flat_map(|x| x.to_le_bytes()).collect(), None)
}

fn f16_bytes(numbers: &[f32]) -> (Vec<u8>, Option<f32>) {
    let halves = numbers.iter().map(|x| f16::from_f32(*x).to_le_bytes());
    (halves.flatten().collect(), None)
}

fn bf16_bytes(numbers: &[f32]) -> (Vec<u8>, Option<f32>) {
    let halves = numbers.iter().map(|x| bf16::from_f32(*x).to_le_bytes());
    (halves.flatten().collect(), None)
}

/// The nearest codes, of numbers divided so that the largest is the largest code.
fn fp8_bytes(numbers: &[f32]) -> (Vec<u8>, Option<f32>) {
    let codes = Bytes::from_elems((0..0x7f).collect::<Vec<u8>>());
    let codes = CompactMatrix::new(CompactFormat::F8E4M3, [1, 0x7f], codes, Vec::new());
    let codes = codes
        .expect("one byte each")
        .widen(&Device::flex(), FloatDType::F32);
    let codes: Vec<f32> = values(codes).expect("f32");
    let largest = numbers.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let factor = largest / codes[0x7e];
    let code = |x: &f32| {
        let magnitude = x.abs() / factor;
        let above = codes
            .partition_point(|code| *code < magnitude)
            .clamp(1, 0x7e);
        let nearer = magnitude - codes[above - 1] < codes[above] - magnitude;
        let code = if nearer { above - 1 } else { above };
        code as u8 | u8::from(x.is_sign_negative()) << 7
    };
    (numbers.iter().map(code).collect(), Some(factor))
}
