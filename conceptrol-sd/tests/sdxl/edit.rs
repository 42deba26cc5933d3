//! Editing a picture by an instruction, and keeping the edit to a concept.

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Grid, MaskRole,
    mask::ConceptMask,
    pipeline::{ConceptGate, ConceptRequest, Family, ImageSize, Mode, Pipeline, Silent},
};
use conceptrol_sd::pipeline::{EditRequest, Request};

use crate::{
    batch::check,
    made::{controlled, editor, net, net_config, open_editor, work},
    tiny::{PROMPT, latents, options, picture, request},
};

fn edit(edit: EditRequest) -> Request {
    let mut request = request(&[]).mode(Mode::TextOnly).negative_prompt("blurry");
    request.extra.edit = Some(edit);
    request
}

fn plain() -> EditRequest {
    EditRequest::new(picture(1))
}

/// A concept with this number everywhere as its place.
fn place(value: f32) -> ConceptRequest {
    let mask = Tensor::full([1, 64], value, &Device::flex());
    let mask = ConceptMask::new(mask, Grid::new(8, 8)).expect("64 cells");
    (ConceptRequest::words_only("book").mask(mask)).mask_role(MaskRole::Instead)
}

#[test]
fn a_gate_of_ones_is_no_gate() {
    let work = work();
    let pipeline = editor(work.path());
    let on = latents(&pipeline, &edit(plain()));
    let gated = |gate, value| {
        let request = edit(plain().gate(gate)).concept(place(value));
        latents(&pipeline, &request)
    };
    assert_eq!(gated(ConceptGate::inside(0), 1.0), on);
    assert_eq!(gated(ConceptGate::outside(0), 0.0), on);
    // off: an instruction that is the negative prompt
    let mut off = edit(plain());
    off.prompts = vec!["blurry".into()];
    let off = latents(&pipeline, &off);
    assert_eq!(gated(ConceptGate::inside(0), 0.0), off);
    assert_eq!(gated(ConceptGate::outside(0), 1.0), off);
    assert_ne!(on, off);
}

/// A mask is read in the step it gates.
#[test]
fn a_gate_follows_attention() {
    let work = work();
    let pipeline = editor(work.path());
    let of = |gate: Option<ConceptGate>| {
        let mut asked = plain();
        asked.gate = gate;
        let request = edit(asked).concept(ConceptRequest::words_only("book"));
        let places = request.places().len();
        // without a gate the concept is no place, and has no reference
        match places {
            0 => latents(&pipeline, &edit(plain()).steps(1)),
            _ => latents(&pipeline, &request.steps(1)),
        }
    };
    let [on, inside, outside] = [
        None,
        Some(ConceptGate::inside(0)),
        Some(ConceptGate::outside(0)),
    ]
    .map(of);
    assert!(on != inside && on != outside && inside != outside);
}

/// The conditional row comes first: its mask is that of the prompt with the picture, with guidance and without.
#[test]
fn masks_are_read_from_the_row_of_the_prompt() {
    let work = work();
    let pipeline = editor(work.path());
    let mask = |guidance: f64| {
        let request = request(&["statue"]).steps(1).guidance_scale(guidance);
        let mut request = request.negative_prompt("a statue, blurry");
        request.extra.edit = Some(plain());
        let generation = pipeline.generate(&request, &mut Silent);
        let mask = generation.expect("a valid request").masks.remove(0);
        let values = mask.expect("published").values().to_data();
        values.try_to_vec::<f32>().expect("f32")
    };
    assert_eq!(mask(6.0), mask(1.0));
}

#[test]
fn guidance_by_the_picture() {
    let work = work();
    let pipeline = editor(work.path());
    let of = |scale| latents(&pipeline, &edit(plain().image_guidance(scale)));
    assert_ne!(of(1.0), of(2.0));
    // as in diffusers there is none below 1, neither by the picture nor by the prompt
    assert_eq!(
        of(0.9),
        latents(&pipeline, &edit(plain()).guidance_scale(1.0))
    );
    let frame = pipeline.guidance(&edit(plain())).layout(1);
    assert_eq!(frame.rows(), 3);
}

#[test]
fn an_edited_picture_does_not_see_others() {
    let work = work();
    let pipeline = editor(work.path());
    check(&pipeline, |request| {
        request.extra.edit = Some(plain().gate(ConceptGate::inside(1)));
    });
}

/// A net sees the three rows, and latents without the picture.
#[test]
fn edits_can_be_controlled() {
    let work = work();
    let net = net(work.path(), 1, &net_config(""));
    let pipeline = open_editor(work.path(), options().controlnet(net));
    let mut request = edit(plain());
    let without = latents(&pipeline, &request);
    let control = conceptrol_sd::pipeline::ControlRequest::new(0, picture(2));
    request.extra.controls = vec![control.clone().scale(0.0)];
    assert_eq!(latents(&pipeline, &request), without);
    request.extra.controls = vec![control];
    assert_ne!(latents(&pipeline, &request), without);
}

#[test]
fn the_result_has_the_size_of_the_picture() {
    let work = work();
    let pipeline = editor(work.path());
    let mut request = edit(EditRequest::new(image::RgbImage::new(61, 47)));
    request.size = None;
    assert_eq!(pipeline.size(&request), ImageSize::new(40, 56));
    let generation = pipeline.generate(&request, &mut Silent).expect("an edit");
    assert_eq!(generation.images[0].dimensions(), (56, 40));
    assert_eq!(pipeline.profile().defaults.steps, 100, "diffusers' default");
}

#[test]
fn a_model_that_edits_is_not_a_plain_one() {
    let work = work();
    let editor = editor(work.path());
    let refused = |pipeline: &conceptrol_sd::StableDiffusion, request: &Request| {
        let error = pipeline.check_request(request).expect_err("refused");
        conceptrol_core::message::chain(&error)
    };
    let message = refused(&editor, &request(&[]).mode(Mode::TextOnly));
    assert!(
        message.contains("the picture to edit is absent"),
        "{message}"
    );
    let plain_model = controlled(&[]);
    let message = refused(&plain_model, &edit(plain()));
    assert!(message.contains("picture to edit"), "{message}");
    for (name, changed) in [
        ("finite", edit(plain().image_guidance(f64::NAN))),
        ("pixels", edit(EditRequest::new(image::RgbImage::new(0, 4)))),
        (
            "guidance",
            edit(plain().gate(ConceptGate::inside(0)))
                .concept(place(1.0))
                .guidance_scale(1.0),
        ),
        ("below the 0", edit(plain().gate(ConceptGate::inside(0)))),
    ] {
        let message = refused(&editor, &changed);
        assert!(message.contains(name), "{name}: {message}");
    }
    assert!(PROMPT.contains("book"), "the concept of these tests");
}
