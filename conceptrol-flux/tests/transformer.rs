//! The plain transformer against diffusers.

mod common;

use burn::tensor::{FloatDType, Tensor};
use common::Case;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionPlan, BatchLayout, Grid, Session, TokenLayout};
use conceptrol_flux::mmdit::{FluxInput, FluxTransformer, Rotary};
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
}

#[test]
fn dev_equals_the_reference() {
    check("comp_flux_dev");
}

#[test]
fn schnell_equals_the_reference() {
    check("comp_flux_schnell");
}
