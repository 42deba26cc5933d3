//! Weights and inputs of different precision.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionPlan, BatchLayout, Session};
use conceptrol_sd::unet::{AddedConditions, UNet2DConditionModel};

use crate::golden::Case;

fn run(weights: FloatDType, inputs: DType) -> Tensor<4> {
    let device = Device::flex();
    let config = Case::read("sdxl").unet_config();
    let model = UNet2DConditionModel::new(&config, &Weights::random(1, &device, weights));
    let plan = AttentionPlan::plain(&model.attention_sites());
    let mut session = Session::new(&plan, BatchLayout::unguided(1), []).unwrap();
    let added = AddedConditions {
        text_embeds: Tensor::ones([1, 12], (&device, inputs)),
        time_ids: vec![vec![64.0; 6]],
    };
    let latents = Tensor::ones([1, 4, 8, 8], (&device, inputs));
    let context = Tensor::ones([1, 5, 20], (&device, inputs));
    let out = model.forward(latents, 500.0, context, Some(added), &mut session);
    out.unwrap()
}

#[test]
fn half_precision_weights_take_single_precision_inputs() {
    let exact = run(FloatDType::F32, DType::F32);
    // Half a dozen levels of rounding at 11 and at 8 significant bits.
    for (dtype, bound) in [(FloatDType::F16, 0.02), (FloatDType::BF16, 0.15)] {
        let half = run(dtype, DType::F32);
        assert_eq!(half.dtype(), DType::F32);
        let scale = exact.clone().abs().max().into_scalar::<f32>();
        let worst = (half - exact.clone()).abs().max().into_scalar::<f32>();
        println!("{dtype:?}: largest deviation {worst:.2e} of {scale:.2e}");
        assert!(worst < bound * scale, "{dtype:?}: {worst} of {scale}");
    }
    assert_eq!(run(FloatDType::F32, DType::F16).dtype(), DType::F16);
}
