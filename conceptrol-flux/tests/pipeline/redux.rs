//! Pictures in the text stream: strengths, sums, zeros for text, mixing.

use conceptrol_core::{
    message::chain,
    pipeline::{ConceptRequest, Mode, Pipeline, Words},
};
use conceptrol_flux::{
    Flux,
    pipeline::{ReduxOptions, ReduxPictures, ReduxText, Request},
};

use crate::tiny::{bare, difference, latents, model, open, redux, reference, request};

const NEGATIVE: &str = "a man in the library";

fn flux() -> Flux {
    open(bare().adapter(redux()))
}

fn plain() -> Request {
    request().mode(Mode::Adapter)
}

fn with(request: Request, options: ReduxOptions) -> Request {
    let mut request = request;
    request.extra.redux = options;
    request
}

fn summed() -> ReduxOptions {
    ReduxOptions::default().pictures(ReduxPictures::Summed)
}

#[test]
fn a_file_is_read_with_the_encoder_beside_it_or_another() {
    let folder = redux();
    let file = folder.join("image_embedder/diffusion_pytorch_model.safetensors");
    let expected = latents(&flux(), &plain());
    let given = open(bare().adapter((file.clone(), folder.join("image_encoder"))));
    assert_eq!(latents(&given, &plain()), expected);
    let root = tempfile::tempdir().expect("a folder");
    let alone = root.path().join("flux1-redux-dev.safetensors");
    std::fs::copy(&file, &alone).expect("copied");
    let error = Flux::open(model(), bare().adapter(alone.clone())).expect_err("no encoder");
    assert!(chain(&error).contains("image_encoder"), "{}", chain(&error));
    for part in ["image_encoder", "feature_extractor"] {
        std::fs::create_dir(root.path().join(part)).expect("a folder");
        for file in std::fs::read_dir(folder.join(part)).expect("a folder") {
            let file = file.expect("a file");
            let to = root.path().join(part).join(file.file_name());
            std::fs::copy(file.path(), to).expect("copied");
        }
    }
    assert_eq!(latents(&open(bare().adapter(alone)), &plain()), expected);
}

#[test]
fn one_picture_is_its_own_sum() {
    let flux = flux();
    let mut one = plain();
    one.concepts.truncate(1);
    let beside = ReduxOptions::default()
        .prompt_embeds_scales([0.7])
        .pooled_prompt_embeds_scales([0.5]);
    let summed = beside.clone().pictures(ReduxPictures::Summed);
    let found = latents(&flux, &with(one.clone(), summed));
    assert_eq!(found, latents(&flux, &with(one.clone(), beside)));
    assert!(difference(&found, &latents(&flux, &one)) > 1e-3);
}

#[test]
fn sums_take_each_picture_with_its_factor() {
    let flux = flux();
    let halves = |scales: [f32; 2]| {
        let options = summed()
            .prompt_embeds_scales(scales)
            .pooled_prompt_embeds_scales(scales);
        latents(&flux, &with(plain(), options))
    };
    // all of the first picture, nothing of the second
    let mut one = plain();
    one.concepts.truncate(1);
    let first = latents(&flux, &one);
    assert!(difference(&halves([1.0, 0.0]), &first) < 1e-6);
    assert!(difference(&halves([0.5, 0.5]), &first) > 1e-3);
    // the prompt of the request stands for further ones
    let again = summed().further_prompt(crate::tiny::PROMPT);
    let own = latents(&flux, &with(plain(), summed()));
    assert!(difference(&latents(&flux, &with(plain(), again)), &own) < 1e-6);
    let other = summed().further_prompt("a cat");
    assert!(difference(&latents(&flux, &with(plain(), other)), &own) > 1e-3);
}

#[test]
fn zeros_can_stand_for_text() {
    let flux = flux();
    let mut request = with(plain(), ReduxOptions::default().text(ReduxText::Zeros));
    request.prompts = vec![String::new()];
    for concept in &mut request.concepts {
        concept.words = Words::Everywhere;
    }
    let states = flux.condition(&request).expect("conditioned").states;
    let text = states.text().clone().slice_dim(1, 0..32);
    assert_eq!(text.abs().max().into_scalar::<f32>(), 0.0);
    assert_eq!(
        states.pooled().clone().abs().max().into_scalar::<f32>(),
        0.0
    );
    assert_eq!(states.text().dims(), [1, 32 + 2 * 16, 32]);
    let zeros = latents(&flux, &request);
    request.extra.redux = ReduxOptions::default();
    assert!(difference(&zeros, &latents(&flux, &request)) > 1e-3);
}

/// The unconditional half sees its text alone, as in two calls of their own.
#[test]
fn mixing_takes_the_negative_prompt_without_pictures() {
    let flux = flux();
    let with_pictures = latents(&flux, &plain().steps(1));
    let mut other = plain().steps(1).mode(Mode::TextOnly);
    other.concepts.clear();
    other.prompts = vec![NEGATIVE.into()];
    let negative = latents(&flux, &other);
    let mixed = plain()
        .steps(1)
        .true_cfg_scale(2.5)
        .negative_prompt(NEGATIVE);
    let expected: Vec<f32> = (negative.iter().zip(&with_pictures))
        .map(|(u, c)| u + 2.5 * (c - u))
        .collect();
    let off = difference(&latents(&flux, &mixed), &expected);
    assert!(off < 1e-5, "{off}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let flux = flux();
    let refuse = |request: &Request| chain(&flux.check_request(request).expect_err("refused"));
    let several = ReduxOptions::default().prompt_embeds_scales([0.5, 0.5]);
    assert_eq!(
        refuse(&with(plain(), several)),
        "the scale of prompt embeddings is 2 numbers, it must be one: the strength of each of several pictures is \
         its concept's scale"
    );
    assert!(refuse(&with(plain(), summed().prompt_embeds_scales([1.0; 3]))).contains("3 numbers"));
    assert!(refuse(&with(plain(), summed().prompt_embeds_scales([f32::NAN]))).contains("finite"));
    let prompts = summed().further_prompt("a").further_prompt("b");
    assert!(refuse(&with(plain(), prompts)).contains("the number of further prompts is 2"));
    assert_eq!(
        refuse(&with(request(), summed())),
        "a sum of pictures has no tokens that keep to the words of one of them"
    );
    let mut scaled = with(plain(), summed());
    scaled.concepts[0].scale = 0.5;
    assert!(refuse(&scaled).contains("the scale of a concept is 0.5"));
    let zeros = ReduxOptions::default().text(ReduxText::Zeros);
    assert!(refuse(&with(plain(), zeros.clone())).contains("the prompt is"));
    let none = with(request().mode(Mode::TextOnly), zeros);
    assert!(refuse(&none).contains("picture that is read by a Redux"));
    let omini = crate::tiny::flux();
    let error = omini.check_request(&with(plain(), summed()));
    assert!(chain(&error.expect_err("refused")).contains("picture that is read by a Redux"));
    let more = plain().concept(ConceptRequest::new("man", reference(20, 20)).adapter(1));
    assert!(refuse(&more).contains("the adapter of a concept is 1"));
}
