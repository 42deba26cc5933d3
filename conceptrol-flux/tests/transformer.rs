//! The plain transformer against diffusers, and adapter files that do not fit it.

mod common;

use std::time::Duration;

use burn::tensor::{Device, FloatDType, Tensor};
use common::{Case, fixtures};
use conceptrol_core::mask::ConceptMaskSource;
use conceptrol_core::models::lora::{LoraError, LoraFile, LoraTargets};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_core::pipeline::Fidelity;
use conceptrol_core::processors::{ConceptrolLayer, JointConditionLayer};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Grid, Session, SiteSelector, TokenLayout, message::chain,
};
use conceptrol_flux::latents::{grid_positions, text_positions};
use conceptrol_flux::load::transformer_target;
use conceptrol_flux::mmdit::{FluxInput, FluxTransformer, Rotary};
use conceptrol_flux::pipeline::concept_block;
use conceptrol_flux::{FluxConfig, attention_sites};

fn positions(ids: Tensor<2>) -> Vec<[f64; 3]> {
    let ids = ids.into_data().try_to_vec::<f32>().expect("f32");
    ids.chunks_exact(3)
        .map(|id| [id[0].into(), id[1].into(), id[2].into()])
        .collect()
}

fn run(case: &Case, model: &FluxTransformer) -> Tensor<3> {
    let latents: Tensor<3> = case.input("hidden_states");
    let text: Tensor<3> = case.input("encoder_hidden_states");
    let mut sequence = positions(case.input("txt_ids"));
    sequence.extend(positions(case.input("img_ids")));
    let config = model.config();
    let rotary = Rotary::new(
        &sequence,
        config.axes_dims_rope,
        &case.device,
        FloatDType::F32,
    );
    let layout = TokenLayout::joint(text.dims()[1], Grid::new(1, latents.dims()[1]), []);
    let number = |name: &str| case.input::<1>(name).into_scalar::<f32>();

    let plan = AttentionPlan::plain(&attention_sites(config));
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).expect("session");
    let input = FluxInput {
        latents,
        text,
        pooled: case.input("pooled_projections"),
        condition: None,
        sigma: number("timestep"),
        guidance: if config.guidance_embeds {
            number("guidance")
        } else {
            0.0
        },
        rotary: &rotary,
        layout: &layout,
    };
    model.forward(input, &mut session).expect("forward")
}

fn check(name: &str) {
    let Some(case) = Case::find(name) else { return };
    let folder = case.file("model");
    let config = FluxConfig::from_file(folder.join("config.json")).expect("config");
    let path = folder.join("diffusion_pytorch_model.safetensors");
    let weights = Weights::open(path, &case.device, FloatDType::F32).expect("weights");
    let model = FluxTransformer::new(&config, &weights);
    let streamed = FluxTransformer::streamed(&config, &weights);
    weights.finish().expect("every tensor is used");

    case.check("out", run(&case, &model));
    case.check("out", run(&case, &streamed));
    assert_eq!(model.waited(), Duration::ZERO);
    assert!(
        streamed.waited() > Duration::ZERO,
        "the first block at least"
    );
}

#[test]
fn dev_equals_the_reference() {
    check("comp_flux_dev");
}

#[test]
fn schnell_equals_the_reference() {
    check("comp_flux_schnell");
}

#[test]
fn an_adapter_for_another_model_is_refused() {
    let device = Device::flex();
    let targets = LoraTargets::new(vec![transformer_target(&FluxConfig::dev(), &device)]);
    let lora = fixtures().join("models/flux_dev_subject_lora/lora.safetensors");
    let file = Checkpoint::open(lora).expect("a file");
    let read = |file: &Checkpoint| {
        let lora = LoraFile::of(file.clone());
        lora.and_then(|lora| lora.read(&targets, 1.0))
            .expect_err("refused")
    };
    let error = read(&file);
    assert!(matches!(error, LoraError::Shape { .. }), "{error}");
    let other = file.rename(|name| Some(name.replace("transformer_blocks", "down_blocks")));
    let error = read(&other);
    assert!(matches!(error, LoraError::Unknown { .. }), "{error}");
    let halves = file.rename(|name| (!name.contains("lora_B")).then(|| name.to_owned()));
    assert!(matches!(read(&halves), LoraError::Incomplete { .. }));
    let model = fixtures().join("models/flux_dev/transformer");
    let model = Checkpoint::open(model).expect("a file");
    assert!(matches!(read(&model), LoraError::NoLayers { .. }));
}

/// A session that is made by hand can name words that the text does not have.
#[test]
fn words_beyond_the_text_are_refused() {
    let device = Device::flex();
    let folder = fixtures().join("models/flux_dev/transformer");
    let config = FluxConfig::from_file(folder.join("config.json")).expect("config");
    let weights = Weights::open(folder, &device, FloatDType::F32).expect("weights");
    let model = FluxTransformer::new(&config, &weights);

    let (text_len, grid) = (32, Grid::new(2, 2));
    let mut positions = text_positions(text_len);
    positions.extend([grid_positions(grid), grid_positions(grid)].concat());
    let rotary = Rotary::new(&positions, config.axes_dims_rope, &device, FloatDType::F32);
    let tokens = Tensor::zeros([1, grid.cells(), config.in_channels], &device);
    let input = FluxInput {
        latents: tokens.clone(),
        text: Tensor::zeros([1, text_len, config.joint_attention_dim], &device),
        pooled: Tensor::zeros([1, config.pooled_projection_dim], &device),
        condition: Some(tokens),
        sigma: 1.0,
        guidance: 3.5,
        rotary: &rotary,
        layout: &TokenLayout::joint(text_len, grid, [grid]),
    };
    let sites = attention_sites(&config);
    let block = concept_block(&config, Fidelity::Paper);
    assert!(block.describe().contains("transformer_blocks.2.attn"));
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::joint(), ConceptrolLayer::new(block))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()
        .expect("a plan");
    let beyond = Concept::new("library", [vec![31..33]]);
    let mut session = Session::new(&plan, BatchLayout::unguided(1), [beyond]).expect("a session");
    let error = model.forward(input, &mut session).expect_err("refused");
    let message = chain(&error);
    assert!(
        message.contains("`library` ends at token 33, the text has 32"),
        "{message}"
    );
}
