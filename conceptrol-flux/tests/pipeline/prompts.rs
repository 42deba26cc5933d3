//! Prompts, words, and pictures of a prompt.

use conceptrol_core::{
    Occurrence,
    message::chain,
    pipeline::{ConceptRequest, Pipeline, PipelineError, Words},
};
use conceptrol_flux::pipeline::Request;

use crate::tiny::{PROMPT, flux, generate, pictures, reference, request};

const OTHER: &str = "in the library hangs a t-shirt, a man";

#[test]
fn two_prompts_are_each_as_alone() {
    let flux = flux();
    let both = request().prompt(OTHER).images_per_prompt(2);
    let together = pictures(&flux, &both);
    assert_eq!(together.len(), 4);
    let mut at = 0;
    for prompt in [PROMPT, OTHER] {
        for _ in 0..2 {
            let mut alone = request().seed(3 + at as u64);
            alone.prompts = vec![prompt.into()];
            let alone = pictures(&flux, &alone);
            assert!(alone[0] == together[at], "picture {at}, of {prompt:?}");
            at += 1;
        }
    }
    let generation = generate(&flux, &both);
    assert_eq!(generation.seeds, [3, 4, 5, 6]);
    let words = |prompt: usize, concept: usize| {
        let located = &generation.located[prompt][concept];
        assert_eq!(located.prompt, prompt);
        located.spans[0].range()
    };
    assert_ne!(words(0, 0), words(1, 0), "each prompt has its own words");
    assert_ne!(words(0, 1), words(1, 1));
}

#[test]
fn words_can_be_given_as_bytes_or_tokens() {
    let flux = flux();
    let named = generate(&flux, &request());
    let expected = crate::tiny::numbers(&named);
    let with = |words: Vec<Words>| {
        let mut request = request();
        for (concept, words) in request.concepts.iter_mut().zip(words) {
            concept.words = words;
            concept.name = format!("the picture of {}", concept.name);
        }
        let generation = generate(&flux, &request);
        let spans = generation.located[0]
            .iter()
            .map(|located| located.spans.clone());
        (spans.collect::<Vec<_>>(), crate::tiny::numbers(&generation))
    };
    let spans = named.located[0].iter().map(|located| located.spans.clone());
    let expected = (spans.collect::<Vec<_>>(), expected);
    let bytes = ["t-shirt", "library"].map(|words| {
        let start = PROMPT.find(words).expect("in the prompt");
        Words::Bytes(start..start + words.len())
    });
    assert_eq!(with(bytes.to_vec()), expected);
    let tokens = named.located[0]
        .iter()
        .map(|located| located.spans[0].range());
    assert_eq!(with(tokens.map(Words::Tokens).collect()), expected);
    let elsewhere = vec![Words::Tokens(0..2), Words::Tokens(2..3)];
    assert_ne!(with(elsewhere), expected);
}

#[test]
fn words_that_have_no_place_are_refused() {
    let flux = flux();
    let refuse = |change: &dyn Fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        let error = flux.check_request(&request).expect_err("refused");
        assert_eq!(
            chain(&error),
            chain(&flux.condition(&request).expect_err("refused"))
        );
        error
    };
    let message = |change: &dyn Fn(&mut Request)| chain(&refuse(change));
    let beyond = message(&|request| {
        let far = format!("{}in the library with a t-shirt", "very ".repeat(40));
        request.prompts = vec![far];
        request.concepts.truncate(1);
    });
    assert!(beyond.contains("beyond the text window"), "{beyond}");
    let absent = refuse(&|request| request.concepts[0].name = "statue".into());
    assert!(matches!(absent, PipelineError::Concept { .. }), "{absent}");
    let text = chain(&absent);
    assert!(
        text.starts_with("concept `statue`: `statue` is not in the prompt"),
        "{text}"
    );
    let seldom = message(&|request| {
        request.concepts[0].words = Words::Named(Occurrence::Nth(1));
    });
    assert!(seldom.contains("has 1"), "{seldom}");
    let twice = message(&|request| request.concepts[1].name = "shirt in the library".into());
    assert!(twice.contains("overlap"), "{twice}");
    let no_bytes = message(&|request| request.concepts[0].words = Words::Bytes(900..910));
    assert!(no_bytes.contains("bytes 900..910"), "{no_bytes}");
    #[expect(clippy::reversed_empty_ranges, reason = "what a caller could write")]
    let reversed = message(&|request| request.concepts[0].words = Words::Tokens(4..2));
    assert!(reversed.contains("4..2 is empty"), "{reversed}");
    let outside = message(&|request| request.concepts[0].words = Words::Tokens(30..40));
    assert!(outside.contains("beyond the text window"), "{outside}");
    let nowhere = message(&|request| request.concepts[0].words = Words::Everywhere);
    assert!(nowhere.contains("`t-shirt` has no words"), "{nowhere}");
    // a concept must be in every prompt
    let missing = message(&|request| request.prompts.push("a man in a library".into()));
    assert!(missing.starts_with("concept `t-shirt`:"), "{missing}");
}

#[test]
fn every_occurrence_can_count() {
    let flux = flux();
    let prompt = "a dog and a dog";
    let ask = |words: Occurrence| {
        let concept = ConceptRequest::new("dog", reference(40, 40));
        let mut request = request();
        request.prompts = vec![prompt.into()];
        request.concepts = vec![concept.words(Words::Named(words))];
        generate(&flux, &request)
    };
    let [first, second, all] = [Occurrence::Nth(0), Occurrence::Nth(1), Occurrence::All].map(ask);
    let spans = |generation: &conceptrol_core::pipeline::Generation| {
        let spans = &generation.located[0][0].spans;
        spans.iter().map(|span| span.range()).collect::<Vec<_>>()
    };
    assert_eq!(spans(&all), [spans(&first), spans(&second)].concat());
    assert_ne!(
        crate::tiny::numbers(&first),
        crate::tiny::numbers(&second),
        "it matters which dog"
    );
}

#[test]
fn what_the_encoder_does_not_see_is_told() {
    let flux = flux();
    let long = format!("{PROMPT}{}", ", best quality".repeat(20));
    let mut request = request();
    request.prompts = vec![PROMPT.into(), long];
    let generation = generate(&flux, &request);
    assert!(generation.truncated[0].is_none());
    let truncated = generation.truncated[1].as_ref().expect("too long");
    assert!(truncated.text.ends_with("best quality"), "{truncated}");
}
