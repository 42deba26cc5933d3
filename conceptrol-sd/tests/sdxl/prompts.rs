//! Prompts beyond the window of the text encoders, and with weights, against short and plain ones put together by hand.

use burn::tensor::Tensor;
use conceptrol_core::{
    message::chain,
    models::tokenizer::EncodedPrompt,
    pipeline::{
        ConceptRequest, Conditioning, Family, Fidelity, Pipeline, PipelineError, Silent,
        WeightedWords, Words,
    },
};
use conceptrol_sd::{
    StableDiffusion,
    pipeline::{Encoded, Reading, Request, Weighting},
};

use crate::{
    common::largest,
    tiny::{PROMPT, picture, pipeline, request},
};

/// Tokens of a chunk with its start and end.
const WINDOW: usize = 77;

fn with(prompts: &[&str], reading: Reading) -> Request {
    let mut request = request(&[]).negative_prompt("a book");
    request.prompts = prompts.iter().map(ToString::to_string).collect();
    request.extra.reading = reading;
    request
}

fn conditioned(pipeline: &StableDiffusion, request: &Request) -> Conditioning<Encoded> {
    pipeline.condition(request).expect("a valid request")
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.clone().into_data().try_to_vec().expect("f32")
}

/// A prompt of several chunks, with a statue in the last of them only.
fn long_prompt() -> String {
    let mut prompt = "the book in the cafe, best quality, high quality, ".repeat(16);
    prompt.push_str("a stone statue");
    prompt
}

fn read(pipeline: &StableDiffusion, prompt: &str, reading: Reading) -> EncodedPrompt {
    let mut extra = request(&[]).extra;
    extra.reading = reading;
    pipeline.tokenize(prompt, &extra).expect("a prompt")
}

/// The text of each chunk.
fn chunks<'a>(prompt: &'a str, read: &EncodedPrompt) -> Vec<&'a str> {
    let count = read.ids.len() / WINDOW;
    let bytes: Vec<_> = (0..count)
        .map(|chunk| {
            let tokens = read.tokens.tokens().iter().enumerate();
            let within: Vec<_> = tokens
                .filter(|(index, _)| {
                    let span = conceptrol_core::TokenSpan::new(index + 1..index + 2);
                    let place = read.tokens.in_sequence(span.expect("a token"))[0].start();
                    place / WINDOW == chunk
                })
                .map(|(_, token)| token.bytes.clone())
                .collect();
            within[0].start..within[within.len() - 1].end
        })
        .collect();
    bytes.into_iter().map(|bytes| &prompt[bytes]).collect()
}

#[test]
fn a_long_prompt_is_its_chunks_one_after_the_other() {
    let pipeline = pipeline(0);
    let prompt = long_prompt();
    let whole = read(&pipeline, &prompt, Reading::long());
    let parts = chunks(&prompt, &whole);
    assert!(parts.len() > 2 && whole.truncated.is_none());
    let long = conditioned(&pipeline, &with(&[&prompt], Reading::long()));
    let short = conditioned(&pipeline, &with(&parts, Reading::default()));
    assert!(short.truncated.iter().all(Option::is_none), "each fits");

    let [_, _, width] = short.states.prompt.context.dims();
    assert_eq!(
        long.states.prompt.context.dims(),
        [1, parts.len() * WINDOW, width]
    );
    assert_eq!(
        values(&long.states.prompt.context),
        values(&short.states.prompt.context)
    );
    let pooled = short
        .states
        .prompt
        .pooled
        .as_ref()
        .expect("SDXL")
        .clone()
        .narrow(0, 0, 1);
    assert_eq!(
        values(long.states.prompt.pooled.as_ref().expect("SDXL")),
        values(&pooled)
    );

    // the negative prompt has one chunk of words, and then chunks without
    let negative = &long.states.negative.as_ref().expect("guided").context;
    let alone = conditioned(&pipeline, &with(&["a book", ""], Reading::default()));
    let [words, none] =
        [0, 1].map(|row| values(&alone.states.prompt.context.clone().narrow(0, row, 1)));
    let expected: Vec<f32> = [words]
        .into_iter()
        .chain(vec![none; parts.len() - 1])
        .flatten()
        .collect();
    assert_eq!(values(negative), expected);
}

#[test]
fn a_prompt_that_fits_is_read_the_same_either_way() {
    let pipeline = pipeline(0);
    let [plain, long, weighted] = [
        Reading::default(),
        Reading::long(),
        Reading::long().weighted(Weighting::KeepMean),
    ]
    .map(|reading| {
        values(
            &conditioned(&pipeline, &with(&[PROMPT], reading))
                .states
                .context,
        )
    });
    assert!(plain == long && plain == weighted);
}

#[test]
fn words_are_found_in_every_chunk_and_across() {
    let pipeline = pipeline(1);
    let prompt = long_prompt();
    let whole = read(&pipeline, &prompt, Reading::long());
    let parts = chunks(&prompt, &whole);
    // from the last word of the first chunk to the first word of the second
    let second = parts[1].as_ptr() as usize - prompt.as_ptr() as usize;
    let across = {
        let last = parts[0].rsplit(' ').next().expect("a word");
        let next = parts[1].split(' ').next().expect("a word");
        parts[0].len() - last.len()..second + next.len()
    };
    let ask = |words: &str, reading| {
        let mut request = with(&[&prompt], reading).concept(ConceptRequest::new(words, picture(0)));
        request.mask_source = self::request(&[]).mask_source;
        request
    };
    let statue = prompt.len() - "statue".len()..prompt.len();
    for (bytes, ranges) in [(statue, 1), (across, 2)] {
        let words = &prompt[bytes.clone()];
        let mut request = ask("statue", Reading::long());
        request.concepts[0].words = Words::Bytes(bytes);
        let generation = pipeline.generate(&request, &mut Silent).expect("a picture");
        let located = &generation.located[0][0];
        assert_eq!(located.spans.len(), ranges, "{words}: {:?}", located.spans);
        let spans = located.spans.iter();
        let found = spans.flat_map(|span| &whole.ids[span.range()]);
        let wanted = pipeline.phrase(words).expect("words");
        assert!(found.eq(wanted.iter().map(|token| &token.id)), "{words}");
        assert!(generation.masks[0].is_some() && generation.truncated[0].is_none());
    }
    let statue = ask("statue", Reading::long());
    let conditioning = conditioned(&pipeline, &statue);
    let first = conditioning.concepts[0].spans[0][0].start;
    assert!(
        first > (parts.len() - 1) * WINDOW,
        "{first} is in the last chunk"
    );

    let beyond = ask("statue", Reading::default());
    let error = pipeline.check_request(&beyond).expect_err("not seen");
    assert!(
        chain(&error).contains("beyond the text window"),
        "{}",
        chain(&error)
    );
    let authors = statue.fidelity(Fidelity::Authors);
    let error = pipeline.check_request(&authors).expect_err("theirs cuts");
    assert!(
        matches!(error, PipelineError::Unsupported { .. }),
        "{error}"
    );
}

#[test]
fn weights_do_what_they_say() {
    let pipeline = pipeline(0);
    let (weighted, plain) = ("a (statue:1.4) and [the book]", "a statue and the book");
    let states = |prompt: &str, reading| {
        let context = conditioned(&pipeline, &with(&[prompt], reading))
            .states
            .prompt;
        (
            values(&context.context),
            context.context.dims(),
            values(&context.pooled.expect("SDXL")),
        )
    };
    let (z, [_, tokens, width], pooled) = states(plain, Reading::default());
    let (e, ..) = states("", Reading::default());
    let mut weights = vec![1.0_f32; tokens];
    let read = read(
        &pipeline,
        weighted,
        Reading::default().weighted(Weighting::FromEmpty),
    );
    for (index, token) in read.tokens.tokens().iter().enumerate() {
        weights[index + 1] = match token.bytes.start {
            3..9 => 1.4,
            19..27 => 1.0 / 1.1,
            _ => 1.0,
        };
        let (from, to) = (token.bytes.start, token.bytes.end);
        assert!(
            !weighted[from..to].contains(['(', '[', ':']),
            "{from}..{to}"
        );
    }
    assert!(weights.contains(&1.4) && weights.iter().any(|weight| *weight < 1.0));
    let at = |index: usize| weights[index / width];

    let (found, _, unweighted) =
        states(weighted, Reading::default().weighted(Weighting::FromEmpty));
    let expected = z
        .iter()
        .zip(&e)
        .enumerate()
        .map(|(i, (z, e))| e + at(i) * (z - e));
    assert!(largest(found.iter().zip(expected).map(|(a, b)| (a - b).abs())) < 1e-5);
    assert_eq!(unweighted, pooled);

    // each encoder by itself: the first is as wide as its configuration says, the second has the rest
    let (found, ..) = states(weighted, Reading::default().weighted(Weighting::KeepMean));
    let text =
        std::fs::read_to_string(crate::tiny::folder().join("model/text_encoder/config.json"));
    let config: serde_json::Value = serde_json::from_str(&text.expect("a file")).expect("JSON");
    let first = usize::try_from(config["hidden_size"].as_u64().expect("a number")).expect("small");
    for columns in [0..first, first..width] {
        let ours = |i: &usize| columns.contains(&(i % width));
        let mean = |of: &dyn Fn(usize) -> f32| {
            let all: Vec<f64> = (0..z.len())
                .filter(ours)
                .map(|i| f64::from(of(i)))
                .collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        let scale = mean(&|i| z[i]) / mean(&|i| z[i] * at(i));
        let difference = |i: usize| (f64::from(found[i]) - f64::from(z[i] * at(i)) * scale).abs();
        let most = (0..z.len())
            .filter(ours)
            .map(difference)
            .fold(0.0, f64::max);
        assert!(
            most < 1e-3 * scale.abs().max(1.0),
            "{most} at scale {scale}"
        );
    }
    assert_ne!(
        states(weighted, Reading::default()).0,
        found,
        "off by default"
    );
    let bad = with(
        &["a (statue:1.2.3)"],
        Reading::default().weighted(Weighting::FromEmpty),
    );
    let error = pipeline
        .check_request(&bad)
        .expect_err("no number")
        .to_string();
    assert!(error.contains("a weight in the prompt"), "{error}");
}

#[test]
fn words_of_a_concept_may_count_differently() {
    let pipeline = pipeline(1);
    let of = |words: Vec<WeightedWords>| {
        let concept = ConceptRequest::new("the statue", picture(0)).words(Words::Weighted(words));
        let mut asked = with(&[PROMPT], Reading::default()).concept(concept);
        asked.mask_source = request(&[]).mask_source;
        asked
    };
    let parts = |statue, cafe| {
        vec![
            WeightedWords::new("statue", statue),
            WeightedWords::new("cafe", cafe),
        ]
    };
    let conditioning = conditioned(&pipeline, &of(parts(3.0, 1.0)));
    let located = &conditioning.located[0][0];
    assert_eq!(located.spans.len(), 2);
    assert_eq!(located.weights, [3.0, 1.0]);
    let masks = |request: &Request| {
        let generation = pipeline.generate(request, &mut Silent).expect("a picture");
        values(generation.masks[0].as_ref().expect("read").values())
    };
    let [heavy, even, alone] = [
        masks(&of(parts(30.0, 10.0))),
        masks(&of(parts(1.0, 1.0))),
        masks(&of(vec![WeightedWords::new("statue", 0.1)])),
    ];
    let ratio = masks(&of(parts(3.0, 1.0)));
    assert!(largest(heavy.iter().zip(&ratio).map(|(a, b)| (a - b).abs())) < 1e-5);
    assert!(heavy != even && heavy != alone);
    let mut named = of(Vec::new());
    named.concepts[0] = ConceptRequest::new("statue", picture(0));
    assert_eq!(masks(&named), alone);

    for (words, expected) in [
        (Vec::new(), "at least one"),
        (parts(0.0, 1.0), "finite numbers above 0"),
        (parts(f32::NAN, 1.0), "finite numbers above 0"),
        (
            vec![
                WeightedWords::new("the book", 1.0),
                WeightedWords::new("book", 1.0),
            ],
            "each word once",
        ),
        (vec![WeightedWords::new("dog", 1.0)], "is not in the prompt"),
    ] {
        let error = pipeline.check_request(&of(words)).expect_err("refused");
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}
