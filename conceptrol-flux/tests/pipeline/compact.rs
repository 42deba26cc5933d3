//! Weights that stay in memory in fewer bytes than the numbers that are computed with.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use burn::tensor::{Device, FloatDType, bf16};
use conceptrol_core::{
    kernel::{BlockFormat, CompactMatrix},
    message::chain,
    models::weights::{Checkpoint, Keep, TensorInfo, Weights},
    pipeline::{LoadOptions, Mode, Pipeline, PipelineError, Residency, Silent},
};
use conceptrol_flux::{
    Flux, FluxConfig,
    mmdit::FluxTransformer,
    pipeline::{FluxOptions, Request},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    quantised::{Entry, Stored, write},
    tiny::{bare, copy, difference, latents, lora, model, options, request},
};

/// The tiny model with a transformer of random weights whose rows are whole blocks.
struct Wide {
    folder: TempDir,
    tensors: Vec<(TensorInfo, Vec<f32>)>,
}

impl Wide {
    fn new() -> Self {
        let folder = copy();
        let path = folder.path().join("transformer/config.json");
        let text = fs::read_to_string(&path).expect("a configuration");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        config["attention_head_dim"] = json!(32);
        config["axes_dims_rope"] = json!([8, 12, 12]);
        fs::write(&path, config.to_string()).expect("writable");
        let config = FluxConfig::from_file(&path).expect("a configuration");
        let names = Weights::names(&Device::flex());
        drop(FluxTransformer::new(&config, &names));
        let tensors = names.finish().expect("names").into_iter();
        let mut state = 5u32;
        let tensors = tensors.map(|tensor| {
            let (middle, size) = match tensor.shape[..] {
                [_, inputs] => (0.0, 1.5 / (inputs as f32).sqrt()),
                _ if tensor.name.ends_with("bias") => (0.0, 0.1),
                _ => (1.0, 0.2),
            };
            let numbers = (0..tensor.elements()).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                middle + size * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
            });
            let numbers = numbers.collect();
            (tensor, numbers)
        });
        let tensors = tensors.collect();
        let wide = Self { folder, tensors };
        wide.store(Stored::F32, |_| false);
        wide
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn transformer(&self) -> PathBuf {
        self.path().join("transformer.gguf")
    }

    /// Writes the transformer: in `stored` those tensors that `stays` says nothing of.
    fn store(&self, stored: Stored, stays: impl Fn(&str) -> bool) {
        let entries = self.tensors.iter().map(|(tensor, numbers)| {
            let compact = tensor.shape.len() == 2 && !stays(&tensor.name);
            let stored = if compact { stored } else { Stored::F32 };
            let blocks = |format| {
                let shape = [tensor.shape[0], tensor.shape[1]];
                let matrix = CompactMatrix::round(format, shape, numbers);
                matrix.expect("whole blocks").bytes().to_vec()
            };
            let bytes = match stored {
                Stored::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Stored::Bf16 => (numbers.iter())
                    .flat_map(|x| bf16::from_f32(*x).to_le_bytes())
                    .collect(),
                Stored::Q4_0 => blocks(BlockFormat::Q4_0),
                Stored::Q8_0 => blocks(BlockFormat::Q8_0),
            };
            Entry {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                stored,
                bytes,
            }
        });
        write(&self.transformer(), &entries.collect::<Vec<_>>());
    }

    fn try_open(&self, options: LoadOptions<FluxOptions>) -> Result<Flux, PipelineError> {
        let options = options.part("transformer", self.transformer());
        Flux::open(self.path(), options.configurations(self.path()))
    }

    fn open(&self, options: LoadOptions<FluxOptions>) -> Flux {
        self.try_open(options).expect("the model opens")
    }

    fn latents(&self, options: LoadOptions<FluxOptions>) -> Vec<f32> {
        latents(&self.open(options), &text_only())
    }
}

fn text_only() -> Request {
    request().mode(Mode::TextOnly)
}

fn keeping(keep: Keep) -> LoadOptions<FluxOptions> {
    bare().extra(FluxOptions::default().weights(keep))
}

/// Layers outside of the blocks, which are not rounded when a model is loaded.
fn outer(name: &str) -> bool {
    !name.contains("transformer_blocks.")
}

#[test]
fn files_stay_as_they_are_and_give_the_bits_of_numbers() {
    let wide = Wide::new();
    for (stored, shown) in [
        (Stored::Bf16, " bf16)"),
        (Stored::Q8_0, " Q8_0)"),
        (Stored::Q4_0, " Q4_0)"),
    ] {
        wide.store(stored, |_| false);
        let widened = wide.open(keeping(Keep::Computed));
        let expected = latents(&widened, &text_only());
        let tree = format!("{:?}", widened.transformer().expect("loaded"));
        assert!(!tree.contains("CompactMatrix"), "{tree}");
        for residency in [Residency::Memory, Residency::WhileUsed, Residency::Disk] {
            let kept = wide.open(bare().residency(residency));
            assert!(
                latents(&kept, &text_only()) == expected,
                "{stored:?}, {residency:?}"
            );
            if residency == Residency::Memory {
                let tree = format!("{:?}", kept.transformer().expect("loaded"));
                assert!(
                    tree.contains("CompactMatrix") && tree.contains(shown),
                    "{tree}"
                );
            }
        }
    }
}

#[test]
fn rounding_at_load_is_the_rounded_file() {
    let wide = Wide::new();
    let exact = wide.latents(bare());
    let mut errors = Vec::new();
    for (keep, stored) in [(Keep::Q8_0, Stored::Q8_0), (Keep::Q4_0, Stored::Q4_0)] {
        wide.store(Stored::F32, |_| false);
        let flux = wide.open(keeping(keep));
        let rounded = latents(&flux, &text_only());
        errors.push(difference(&rounded, &exact));
        // the file's T5 is rounded as it is read, its transformer is so already
        wide.store(stored, outer);
        assert!(wide.latents(keeping(keep)) == rounded, "{keep:?}");
    }
    // 8.5 and 4.5 bits a weight, after two steps through 9 blocks
    let [eight, four] = errors[..] else { panic!() };
    assert!(eight > 0.0 && eight < 0.02, "{eight}");
    assert!(four > 3.0 * eight && four < 0.4, "{four}");
}

#[test]
fn what_the_file_has_in_as_few_bits_is_not_rounded_again() {
    let wide = Wide::new();
    wide.store(Stored::Q4_0, |_| false);
    let as_stored = |keep| {
        let flux = wide.open(keeping(keep));
        let tree = format!("{:?}", flux.transformer().expect("loaded"));
        assert!(
            tree.contains(" Q4_0)") && !tree.contains(" Q8_0)"),
            "{tree}"
        );
    };
    as_stored(Keep::Q8_0);
    as_stored(Keep::Q4_0);
    // but more bits are
    wide.store(Stored::Q8_0, |_| false);
    let flux = wide.open(keeping(Keep::Q4_0));
    let tree = format!("{:?}", flux.transformer().expect("loaded"));
    assert!(tree.contains(" Q4_0)"), "{tree}");
}

/// The model with a transformer in bf16.
fn in_bf16() -> TempDir {
    let (folder, path) = (copy(), model().join("transformer"));
    let stored = Checkpoint::open(path).expect("a file");
    let to = folder
        .path()
        .join("transformer/diffusion_pytorch_model.safetensors");
    let half = Some(FloatDType::BF16);
    stored.write(to, half).expect("written");
    folder
}

/// A style is merged into numbers, and acts beside weights that are kept in fewer bytes.
#[test]
fn a_style_acts_beside_compact_weights() {
    let folder = in_bf16();
    let run = |keep, strength: Option<f64>| {
        let mut options = keeping(keep);
        if let Some(strength) = strength {
            options = options.lora(lora(), strength);
        }
        let flux = Flux::open(folder.path(), options).expect("the model opens");
        latents(&flux, &text_only())
    };
    let (merged, beside) = (run(Keep::Computed, Some(0.5)), run(Keep::Stored, Some(0.5)));
    assert!(difference(&beside, &merged) < 1e-4);
    assert!(
        difference(&run(Keep::Stored, None), &merged) > 1e-3,
        "it acts"
    );
}

#[test]
fn what_cannot_be_rounded_is_an_error() {
    let mut wide = Wide::new();
    let (tensor, numbers) = (wide.tensors.iter_mut())
        .find(|(tensor, _)| tensor.name.contains("blocks.1.ff.net.2.weight"))
        .expect("a weight");
    numbers[70] = f32::NAN;
    let name = tensor.name.clone();
    wide.store(Stored::F32, |_| false);
    let flux = wide.open(keeping(Keep::Q4_0));
    let message = chain(&flux.transformer().expect_err("refused"));
    for part in [
        "transformer.gguf",
        name.as_str(),
        "NaN cannot be rounded to Q4_0",
    ] {
        assert!(message.contains(part), "{message}");
    }

    for keep in [Keep::Q8_0, Keep::Q4_0] {
        let refused = wide.try_open(keeping(keep).residency(Residency::Disk));
        let message = refused.expect_err("refused").to_string();
        assert!(
            message.contains("rounding of weights that stay on disk"),
            "{message}"
        );
    }
}

/// Blocks are read while others compute: what cannot be read any more is told, not computed with.
#[test]
fn a_file_that_shrinks_while_it_is_streamed() {
    let wide = Wide::new();
    for (keep, part) in [(Keep::Stored, Stored::Q4_0), (Keep::Computed, Stored::F32)] {
        wide.store(part, |_| false);
        let flux = wide.open(keeping(keep).residency(Residency::Disk));
        latents(&flux, &text_only());
        let file = OpenOptions::new().write(true).open(wide.transformer());
        let file = file.expect("a file");
        let len = file.metadata().expect("a length").len();
        file.set_len(len / 2).expect("cut");
        let error = flux
            .generate(&text_only(), &mut Silent)
            .expect_err("unreadable");
        let message = chain(&error);
        for part in ["a block cannot be read", "transformer.gguf"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

/// Independent of where weights are and of how many bytes they take.
#[test]
fn references_are_read_with_compact_weights() {
    let folder = in_bf16();
    let run = |keep, residency| {
        let options = options().extra(FluxOptions::default().weights(keep));
        let flux = Flux::open(folder.path(), options.residency(residency));
        latents(&flux.expect("the model opens"), &request())
    };
    let expected = run(Keep::Computed, Residency::Memory);
    assert_eq!(run(Keep::Stored, Residency::Memory), expected);
    assert_eq!(run(Keep::Stored, Residency::Disk), expected);
}
