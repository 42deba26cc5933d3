//! Kontext: which folder it is, and the size of its pictures.

use std::fs;

use conceptrol_core::{
    message::chain,
    pipeline::{Family, ImageSize, Mode},
};
use conceptrol_flux::{
    Flux,
    kontext::{MAX_AREA, output_size},
    latents::PIXELS_PER_TOKEN,
    omini::{ConditionSize, Placement},
    pipeline::Kind,
};

use crate::gates::kontext;
use crate::tiny::{bare, copy, difference, latents, lora, open, reference, request};

fn of_class(class: &str) -> Result<Flux, String> {
    let folder = copy();
    let index = format!(r#"{{"_class_name": "{class}"}}"#);
    fs::write(folder.path().join("model_index.json"), index).expect("written");
    Flux::open(folder.path(), bare()).map_err(|error| chain(&error))
}

#[test]
fn the_class_of_a_folder_says_what_it_is() {
    let kind = |class| of_class(class).expect("opens").kind();
    assert_eq!(kind("FluxKontextPipeline"), Kind::Kontext);
    for class in ["FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"] {
        assert_eq!(kind(class), Kind::TextToImage);
    }
    assert_eq!(kontext().adapters(), 1);
    assert_eq!(open(bare()).adapters(), 0);
}

#[test]
fn other_pipelines_of_flux_are_refused_by_name() {
    for class in [
        "Flux2Pipeline",
        "FluxControlPipeline",
        "FluxControlNetPipeline",
        "FluxPriorReduxPipeline",
        "FluxKontextInpaintPipeline",
        "Fluxion",
    ] {
        let message = of_class(class).expect_err("refused");
        let named = format!("a {class}, expected FluxPipeline or ");
        assert!(message.contains(&named), "{message}");
    }
}

#[test]
fn its_pictures_have_the_aspect_of_the_reference() {
    let flux = kontext();
    let mut asked = request();
    assert_eq!(
        flux.size(&asked),
        ImageSize::new(48, 64),
        "what is asked for"
    );
    asked.extra.max_area = Some(MAX_AREA);
    let larger = output_size(ImageSize::new(48, 64), MAX_AREA, PIXELS_PER_TOKEN);
    assert_eq!(flux.size(&asked), larger);
    asked.size = None;
    let first = output_size(ImageSize::new(90, 40), MAX_AREA, PIXELS_PER_TOKEN);
    assert_eq!(flux.size(&asked), first);
    asked.extra.max_area = None;
    assert_eq!(flux.size(&asked), first);
    asked.concepts.clear();
    assert_eq!(flux.size(&asked), ImageSize::square(1024));
    // what its autoencoder was trained with, as that is less than 512
    assert_eq!(open(bare()).size(&asked), ImageSize::square(32));
}

#[test]
fn references_are_read_as_they_are_or_at_a_preferred_size() {
    let flux = kontext();
    let size = |size| {
        let read = flux.encode_condition(&reference(75, 49), size, None);
        read.expect("encoded").grid
    };
    assert_eq!(
        (
            size(ConditionSize::Own).height,
            size(ConditionSize::Own).width
        ),
        (3, 4)
    );
    let small = flux.encode_condition(&reference(75, 9), ConditionSize::Own, None);
    let message = chain(&small.expect_err("no token fits"));
    assert!(message.contains("75x9"), "{message}");
}

#[test]
fn where_references_lie_matters() {
    let at = |placement: Option<Placement>| {
        let mut options = bare();
        options.extra = options.extra.kind(Kind::Kontext);
        options.extra.placement = placement;
        latents(&open(options), &request().mode(Mode::Adapter))
    };
    let own = at(None);
    assert_eq!(at(Some(Placement::Canvas)), own);
    assert!(difference(&at(Some(Placement::Planes)), &own) > 1e-6);
    assert!(difference(&at(Some(Placement::Diagonal)), &own) > 1e-6);
}

#[test]
fn it_has_no_second_reader_beside_the_latents() {
    let mut options = bare().adapter(lora());
    options.extra = options.extra.kind(Kind::Kontext);
    let error = Flux::open(crate::tiny::model(), options).expect_err("refused");
    assert!(
        chain(&error).contains("second reader of pictures"),
        "{}",
        chain(&error)
    );
}
