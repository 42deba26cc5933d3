//! Low-rank adapters and learnt words: merged, kept apart, at a concept.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Grid, StepWindow,
    mask::{ConceptMask, ConceptMaskSource, Local, Random, Threshold},
    models::{
        clip_text::ClipTextConfig,
        lora::{LoraTarget, NAMINGS, Part},
        weights::Weights,
    },
    pipeline::{ConceptRequest, LoraRequest, Mode, Pipeline},
};
use conceptrol_sd::{
    StableDiffusion,
    config::UNetConfig,
    lora::{original_name, text_target, unet_target},
    pipeline::Request,
    unet::{UNet2DConditionModel, original_modules},
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    common::largest,
    tiny::{assert_same, folder, latents, options, pipeline, request},
};

/// Writes tensors of f32.
fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).expect("json");
    let bytes = [
        &(header.len() as u64).to_le_bytes(),
        header.as_slice(),
        &data,
    ]
    .concat();
    fs::write(path, bytes).expect("written");
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| 0.25 * ((i * 7 + seed * 13) as f32 * 0.731).sin())
        .collect()
}

fn unet_config() -> UNetConfig {
    UNetConfig::from_file(folder().join("model/unet/config.json")).expect("a configuration")
}

fn text_config(which: &str) -> ClipTextConfig {
    let file = folder().join("model").join(which).join("config.json");
    ClipTextConfig::from_file(file).expect("a configuration")
}

/// Shapes of the UNet's weights by module.
fn unet_shapes() -> Vec<(String, Vec<usize>)> {
    let weights = Weights::names(&Device::flex());
    drop(UNet2DConditionModel::new(&unet_config(), &weights));
    let tensors = weights.finish().expect("names").into_iter();
    let tensors = tensors.filter(|tensor| tensor.shape.len() > 1);
    let named = tensors.filter_map(|tensor| {
        Some((
            tensor.name.strip_suffix(".weight")?.to_owned(),
            tensor.shape,
        ))
    });
    named.collect()
}

/// An adapter of rank 2 on every module of the UNet for which `name` gives one.
fn adapter(name: impl Fn(&str) -> Option<String>) -> (TempDir, PathBuf) {
    let mut tensors = Vec::new();
    for (index, (module, shape)) in unet_shapes().into_iter().enumerate() {
        let Some(name) = name(&module) else { continue };
        let mut down = shape.clone();
        down[0] = 2;
        let mut up = vec![1; shape.len()];
        up[..2].copy_from_slice(&[shape[0], 2]);
        for (ending, shape) in [("lora_down.weight", down), ("lora_up.weight", up)] {
            let count = shape.iter().product();
            tensors.push((format!("{name}.{ending}"), shape, numbers(count, index)));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("style.safetensors");
    write(&path, &tensors);
    (folder, path)
}

fn kohya(module: &str) -> String {
    format!("lora_unet_{}", module.replace('.', "_"))
}

fn open(options: conceptrol_core::pipeline::LoadOptions) -> StableDiffusion {
    StableDiffusion::open(folder().join("model"), options).expect("the tiny model opens")
}

fn text_only() -> Request {
    request(&[]).mode(Mode::TextOnly)
}

#[test]
fn merged_and_apart_are_the_same_picture_and_nothing_stays() {
    let (_folder, path) = adapter(|module| Some(kohya(module)));
    let plain = latents(&open(options()), &text_only());
    assert_eq!(
        latents(&open(options().lora(&path, 0.0)), &text_only()),
        plain,
        "merged with 0"
    );
    let merged = latents(&open(options().lora(&path, -0.4)), &text_only());
    let pipeline = open(options().lora_apart(&path));
    assert_eq!(latents(&pipeline, &text_only()), plain, "not used");
    let used = |lora: LoraRequest| latents(&pipeline, &text_only().lora(lora));
    assert_eq!(used(LoraRequest::new(0).strength(0.0)), plain, "strength 0");
    assert_same(
        &used(LoraRequest::new(0).strength(-0.4)),
        &merged,
        "merged or apart",
    );
    assert_eq!(latents(&pipeline, &text_only()), plain, "after use");

    let never = StepWindow::new(1.0, 1.0).expect("a window");
    assert_eq!(used(LoraRequest::new(0).window(never)), plain, "in no step");
    let late = StepWindow::after_warmup(0.5).expect("a window");
    let late = used(LoraRequest::new(0).strength(-0.4).window(late));
    assert_ne!(late, plain, "in the last step");
    assert_ne!(late, merged, "not in the first");
}

#[test]
fn names_of_sgm_and_of_old_processors() {
    let modules = original_modules(&unet_config());
    let sgm = |module: &str| original_name(&modules, module);
    let all = unet_shapes();
    let named = all
        .iter()
        .filter(|(module, _)| sgm(module).is_some())
        .count();
    assert_eq!(named, all.len(), "every module has a name");
    let both = [
        adapter(|module| Some(kohya(module))),
        adapter(|module| Some(kohya(&sgm(module)?))),
    ];
    let [diffusers, sgm] = both
        .each_ref()
        .map(|(_, path)| latents(&open(options().lora(path, 0.5)), &text_only()));
    assert_eq!(diffusers, sgm);

    let attention = |module: &str| module.contains("attn1.to_") || module.contains("attn2.to_");
    let projection = |module: &str| module.trim_end_matches(".0").to_owned();
    let plain = adapter(|module| attention(module).then(|| format!("unet.{module}")));
    let old = adapter(|module| {
        attention(module).then(|| {
            let module = projection(module);
            let (attention, to) = module.rsplit_once('.').expect("a projection");
            format!("unet.{attention}.processor.{to}_lora")
        })
    });
    // processors end their names otherwise
    let bytes = fs::read(&old.1).expect("readable");
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    assert!(
        text.contains("to_q_lora.lora_down"),
        "the test writes what it means to"
    );
    let renamed: Vec<_> = {
        let file = conceptrol_core::models::weights::Checkpoint::open(&old.1).expect("a file");
        let tensors = file.tensors().map(|tensor| {
            let name = tensor.name.replace("_lora.lora_", "_lora.");
            (
                name,
                tensor.shape.clone(),
                file.values(&tensor.name).expect("readable"),
            )
        });
        tensors.collect()
    };
    write(&old.1, &renamed);
    let [plain, old] =
        [plain, old].map(|(_folder, path)| latents(&open(options().lora(path, 0.5)), &text_only()));
    assert_eq!(plain, old);
}

/// Where its words act, beside a reference and without one.
#[test]
fn a_style_at_a_concept() {
    let (_folder, path) = adapter(|module| Some(kohya(module)));
    let words = ["book"];
    let pipeline = crate::tiny::open(1, options().lora_apart(&path));
    for mode in [Mode::TextOnly, Mode::Adapter, Mode::Conceptrol] {
        let plain = request(&words).mode(mode);
        let lora = LoraRequest::new(0).strength(0.2);
        let placed = plain
            .clone()
            .concept(ConceptRequest::words_only("statue"))
            .lora(lora.concept(1));
        let generation = pipeline
            .generate(&placed, &mut conceptrol_core::pipeline::Silent)
            .expect("a valid request");
        assert!(generation.masks[1].is_some(), "{mode:?}: its mask was read");
        let found = latents(&pipeline, &placed);
        let without = latents(&pipeline, &plain);
        let everywhere = latents(&pipeline, &plain.lora(lora));
        let difference =
            |a: &[f32], b: &[f32]| largest(a.iter().zip(b).map(|(a, b)| (a - b).abs()));
        assert!(difference(&found, &without) > 1e-3, "{mode:?}: it acts");
        assert!(
            difference(&found, &everywhere) > 1e-3,
            "{mode:?}: not everywhere"
        );
    }
}

/// Sources that publish nothing place an adapter, too: their answers are the masks.
#[test]
fn a_style_where_any_source_says() {
    let (_folder, path) = adapter(|module| Some(kohya(module)));
    let pipeline = crate::tiny::open(1, options().lora_apart(&path));
    let plain = request(&["book"]).mode(Mode::TextOnly);
    let lora = LoraRequest::new(0).strength(0.2);
    let everywhere = latents(&pipeline, &plain.clone().lora(lora));
    let without = latents(&pipeline, &plain);
    let placed = plain.lora(lora.concept(0));
    let block = latents(&pipeline, &placed);
    let mut seen = vec![without, everywhere, block];
    let level = Threshold::new(Local::new(), 0.5).expect("a level");
    for source in [
        Arc::new(Local::new()) as Arc<dyn ConceptMaskSource>,
        Arc::new(Random::new(3)),
        Arc::new(level),
    ] {
        let found = latents(&pipeline, &placed.clone().mask_source(Arc::clone(&source)));
        for other in &seen {
            let difference = largest(found.iter().zip(other).map(|(a, b)| (a - b).abs()));
            assert!(difference > 1e-4, "{source:?}: as another: {difference}");
        }
        // what its concept's own mask of ones leaves as it is
        let mut within = placed.clone().mask_source(source);
        let ones = Tensor::<2>::ones([1, 16], &Device::flex());
        let ones = ConceptMask::new(ones, Grid::new(4, 4)).expect("a mask");
        within.concepts[0].mask = Some(ones);
        assert_eq!(latents(&pipeline, &within), found, "within ones");
        seen.push(found);
    }
}

/// Both encoders, merged, and kept apart for one request.
#[test]
fn text_encoders() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("text.safetensors");
    let mut tensors = Vec::new();
    for (which, prefix, second) in [
        ("text_encoder", "lora_te1_", false),
        ("text_encoder_2", "lora_te2_", true),
    ] {
        let config = text_config(which);
        let width = config.encoder.hidden_size;
        let target = text_target(&config, second, &Device::flex());
        for module in target.modules().filter(|module| module.ends_with("q_proj")) {
            let name = format!("{prefix}{}", module.replace('.', "_"));
            tensors.push((
                format!("{name}.lora_down.weight"),
                vec![2, width],
                numbers(2 * width, 1),
            ));
            tensors.push((
                format!("{name}.lora_up.weight"),
                vec![width, 2],
                numbers(2 * width, 2),
            ));
            tensors.push((format!("{name}.alpha"), vec![], vec![40.0]));
        }
    }
    write(&path, &tensors);
    let embeds = |pipeline: &StableDiffusion, request: &Request| -> Vec<f32> {
        let conditioning = pipeline.condition(request).expect("a valid request");
        conditioning
            .states
            .context
            .into_data()
            .try_to_vec()
            .expect("f32")
    };
    let plain = embeds(&pipeline(0), &text_only());
    let merged = embeds(&open(options().lora(&path, 0.5)), &text_only());
    let difference = largest(plain.iter().zip(&merged).map(|(a, b)| (a - b).abs()));
    assert!(difference > 1e-3, "it acts: {difference}");
    let apart = open(options().lora_apart(&path));
    assert_eq!(embeds(&apart, &text_only()), plain);
    let half = text_only().lora(LoraRequest::new(0).strength(0.5));
    let found = embeds(&apart, &half);
    let difference = largest(found.iter().zip(&merged).map(|(a, b)| (a - b).abs()));
    assert!(difference < 1e-5, "merged or apart: {difference}");
    assert_eq!(embeds(&apart, &text_only()), plain, "after use");
    let placed = request(&["book"])
        .mode(Mode::TextOnly)
        .lora(LoraRequest::new(0).concept(0));
    assert_eq!(embeds(&apart, &placed), plain, "text has no place");
}

#[test]
fn learnt_words_for_both_encoders() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("<thing>.safetensors");
    let [first, second] =
        ["text_encoder", "text_encoder_2"].map(|which| text_config(which).encoder.hidden_size);
    let vectors = |width: usize| (vec![2, width], numbers(2 * width, width));
    let tensors = [("clip_l", first), ("clip_g", second)].map(|(key, width)| {
        let (shape, values) = vectors(width);
        (key.to_owned(), shape, values)
    });
    write(&path, &tensors);
    let pipeline = crate::tiny::open(1, options().embedding(&path));
    let request = request(&["<thing>"]);
    let mut request = request;
    request.prompts = vec!["a <thing> in the cafe".into()];
    let conditioning = pipeline.condition(&request).expect("a valid request");
    assert_eq!(conditioning.located[0][0].tokens, ["<thing>", "<thing>_1"]);
    latents(&pipeline, &request);
    let ids = |tokenizer: &conceptrol_core::models::tokenizer::ClipTokenizer| {
        tokenizer
            .tokens("<thing>")
            .iter()
            .map(|token| token.id as usize)
            .collect::<Vec<_>>()
    };
    let parts = pipeline.text_parts();
    let vocabulary = text_config("text_encoder").vocab_size;
    assert_eq!(ids(parts.tokenizer()), [vocabulary, vocabulary + 1]);
    let vocabulary = text_config("text_encoder_2").vocab_size;
    assert_eq!(
        ids(parts.tokenizer_2().expect("two")),
        [vocabulary, vocabulary + 1]
    );

    let again = options().embedding(&path).embedding(&path);
    let error = StableDiffusion::open(folder_of_model(), again)
        .expect_err("refused")
        .to_string();
    assert!(error.contains("is a token already"), "{error}");
    write(&path, &[("<other>".to_owned(), vec![7], numbers(7, 0))]);
    let error = StableDiffusion::open(folder_of_model(), options().embedding(&path));
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("are 7 wide"), "{error}");
}

fn folder_of_model() -> PathBuf {
    folder().join("model")
}

/// The published models have a name for every module in every naming, no two the same.
#[test]
fn full_size_names_both_ways() {
    for config in [UNetConfig::sd15(), UNetConfig::sdxl()] {
        let modules = original_modules(&config);
        let sgm = |module: &str| original_name(&modules, module);
        let target: LoraTarget = unet_target(&config, &Device::flex());
        for naming in NAMINGS
            .iter()
            .filter(|naming| naming.is_for(Part::Denoiser))
        {
            let own: std::collections::BTreeSet<_> = target
                .modules()
                .map(|module| naming.spell(module))
                .collect();
            assert_eq!(own.len(), target.modules().count(), "{}", naming.prefix);
            let original = target.modules().map(|module| {
                naming.spell(&sgm(module).unwrap_or_else(|| panic!("no name for {module}")))
            });
            let original: std::collections::BTreeSet<_> = original.collect();
            assert_eq!(original.len(), own.len(), "{}", naming.prefix);
        }
    }
    let modules = original_modules(&UNetConfig::sd15());
    let sgm = |module: &str| original_name(&modules, module);
    for (own, original) in [
        (
            "down_blocks.0.resnets.0.conv1",
            "input_blocks.1.0.in_layers.2",
        ),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        (
            "down_blocks.3.resnets.1.conv2",
            "input_blocks.11.0.out_layers.3",
        ),
        (
            "mid_block.resnets.1.time_emb_proj",
            "middle_block.2.emb_layers.1",
        ),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"),
        ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
        (
            "up_blocks.3.attentions.2.proj_out",
            "output_blocks.11.1.proj_out",
        ),
    ] {
        assert_eq!(sgm(own).as_deref(), Some(original));
    }
}
