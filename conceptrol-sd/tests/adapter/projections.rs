use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_sd::adapter::{
    AdapterKind, ImageFeature, ImageProjection, IpAdapterLayout, IpAdapterWeights,
};

use crate::case::Case;
use crate::sites::tiny;

fn load(case: &Case, file: &str) -> IpAdapterWeights {
    IpAdapterWeights::load(case.path(file), &tiny(), 16, &case.device, FloatDType::F32).unwrap()
}

#[test]
fn every_kind_of_adapter() {
    let case = Case::own();
    let encoder = case.encoder("image_encoder");
    let pixels: Tensor<4> = case.load("inputs.safetensors", "pixels");
    for (name, tokens) in [("base", 4), ("plus", 3), ("full", 10)] {
        let adapter = load(&case, &format!("{name}.safetensors"));
        adapter.kind().check_encoder(encoder.config()).unwrap();
        assert_eq!(adapter.kind().num_tokens(encoder.config()), tokens);
        let projection = adapter.image_proj();
        case.check(
            name,
            projection.image_tokens(&encoder, pixels.clone()).unwrap(),
        );
        case.check(
            &format!("{name}_unconditional"),
            projection.unconditional_tokens(&encoder).unwrap(),
        );
    }
}

#[test]
fn a_pickle_holds_the_same_adapter() {
    let case = Case::own();
    let (flat, nested) = (load(&case, "base.safetensors"), load(&case, "base.bin"));
    assert_eq!(flat.kind(), nested.kind());
    assert_eq!(flat.kind().feature(), ImageFeature::Embeds);
    for (flat, nested) in flat.layers().iter().zip(nested.layers()) {
        assert_eq!(flat.name(), nested.name());
    }
    let embeds = Tensor::<2>::ones([1, 10], &case.device);
    let tokens = |adapter: &IpAdapterWeights| match adapter.image_proj() {
        ImageProjection::Base(projection) => projection.forward(embeds.clone()).into_data(),
        other => panic!("not a base adapter: {other:?}"),
    };
    assert_eq!(tokens(&flat), tokens(&nested));
}

#[test]
#[ignore = "needs CONCEPTROL_FIXTURES"]
fn projections_of_the_authors() {
    let case = Case::public("comp_image_proj");
    let projection = |folder: &str| {
        let file =
            Checkpoint::open(case.path(&format!("../models/{folder}/ip_adapter.safetensors")))
                .unwrap();
        let kind = IpAdapterLayout::of(&file).unwrap().kind;
        let weights = Weights::from_checkpoint(file, &case.device, FloatDType::F32);
        let projection = ImageProjection::new(&kind, &weights.at("image_proj"));
        weights.at("image_proj").finish().unwrap();
        (kind, projection)
    };
    let embeds: Tensor<2> = case.load("inputs.safetensors", "image_embeds");
    let states: Tensor<3> = case.load("inputs.safetensors", "penultimate");
    let (kind, base) = projection("ip-adapter_sd15");
    assert_eq!(
        kind,
        AdapterKind::Base {
            embedding_dim: 24,
            tokens: 4,
            output_dim: 48
        }
    );
    if let ImageProjection::Base(base) = base {
        case.check("base_sd15", base.forward(embeds.clone()));
        case.check(
            "base_sd15_zero",
            base.forward(Tensor::zeros([1, 24], &case.device)),
        );
    }
    for (folder, name) in [
        ("ip-adapter-plus_sd15", "plus_sd15"),
        ("ip-adapter-plus_sdxl", "plus_sdxl"),
    ] {
        match projection(folder).1 {
            ImageProjection::Plus(plus) => case.check(name, plus.forward(states.clone())),
            other => panic!("not a plus adapter: {other:?}"),
        }
    }
}
