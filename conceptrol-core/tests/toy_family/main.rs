//! A third family: `model.rs` is its denoiser, `toy.rs` all that it writes to have Conceptrol, in less than 200 lines.

mod model;
mod start;
mod toy;

use std::{ops::ControlFlow, thread};

use burn::tensor::{Device, Tensor};
use conceptrol_core::{
    Cancel, Grid, MaskRole, SiteSelector, StepWindow,
    image::{Rgb, RgbImage},
    mask::ConceptMask,
    message::chain,
    noun_phrases,
    pipeline::{
        ConceptRequest, Family, Generation, ImageSize, Mode, Pipeline, PipelineError, Request,
        Silent, Stage, StepReport, localize,
    },
    processors::CaptureLayer,
};
use toy::Toy;

const GRID: Grid = Grid::new(6, 8);

fn toy() -> Toy {
    Toy::open(&Device::flex())
}

fn request() -> Request {
    let picture = RgbImage::from_fn(20, 30, |x, y| Rgb([250 - x as u8, 9 * y as u8, 40]));
    Request::new("a cat on the beach")
        .concept(ConceptRequest::new("cat", picture))
        .size(ImageSize::new(48, 64))
        .steps(3)
        .seed(5)
}

fn generate(toy: &Toy, request: &Request) -> Generation {
    toy.generate(request, &mut Silent).expect("a picture")
}

/// The bits of each picture's latents.
fn bits(generation: &Generation) -> Vec<Vec<u8>> {
    let latents = generation.latents.clone().into_data();
    let each = latents.as_bytes().len() / generation.images.len();
    latents
        .as_bytes()
        .chunks(each)
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn conceptrol_adapter_and_text_give_three_pictures() {
    let toy = toy();
    let of = |mode| generate(&toy, &request().mode(mode));
    let [conceptrol, plain, text] = [Mode::Conceptrol, Mode::Adapter, Mode::TextOnly].map(of);
    assert_eq!(conceptrol.images[0].dimensions(), (64, 48));
    assert_ne!(conceptrol.images, plain.images);
    assert_ne!(conceptrol.images, text.images);
    assert_ne!(plain.images, text.images);
    let mask = conceptrol.masks[0].as_ref().expect("published");
    assert_eq!(mask.grid(), GRID);
    assert!(plain.masks[0].is_none() && text.masks[0].is_none());
    assert_eq!(conceptrol.located[0][0].tokens, ["cat"]);
    assert_eq!(
        toy.plan(&request()).expect("a plan").to_string(),
        "2 sites\n\
         1 self-attention   Sdpa\n\
         1 cross-attention  Conceptrol(block.attn2, Max) > IpAdapter(scale 1) > Sdpa"
    );
}

#[test]
fn a_gate_of_zeros_is_text_only() {
    let toy = toy();
    let nowhere = Tensor::zeros([1, GRID.cells()], &Device::flex());
    let nowhere = ConceptMask::new(nowhere, GRID).expect("as many cells");
    let text = bits(&generate(&toy, &request().mode(Mode::TextOnly)));
    for role in [MaskRole::Instead, MaskRole::Within] {
        let mut gated = request();
        gated.concepts[0] = gated.concepts[0]
            .clone()
            .mask(nowhere.clone())
            .mask_role(role);
        assert_eq!(bits(&generate(&toy, &gated)), text, "{role:?}");
    }
}

#[test]
fn a_batch_is_its_pictures_one_by_one() {
    let toy = toy();
    let other = "the beach and a cat";
    let together = bits(&generate(
        &toy,
        &request().prompt(other).images_per_prompt(2),
    ));
    for (index, together) in together.into_iter().enumerate() {
        let mut alone = request().seed(5 + index as u64);
        if index >= 2 {
            alone.prompts = vec![other.into()];
        }
        assert_eq!(bits(&generate(&toy, &alone)), [together], "picture {index}");
    }
}

#[test]
fn guidance_follows_prompts_and_avoids_negative_ones() {
    let toy = toy();
    let plain = bits(&generate(&toy, &request()));
    assert_ne!(
        bits(&generate(&toy, &request().negative_prompt("dog"))),
        plain
    );
    assert_eq!(bits(&generate(&toy, &request().negative_prompt(""))), plain);
    let unguided = request().guidance_scale(1.0);
    assert_ne!(bits(&generate(&toy, &unguided)), plain);
}

#[test]
fn maps_can_be_captured_around_it() {
    let toy = toy();
    let plan = toy.plan_around(&request(), SiteSelector::cross(), CaptureLayer::new());
    let plan = plan.expect("a plan");
    let generation = toy
        .generate_with(&plan, &request(), &mut Silent)
        .expect("a picture");
    assert_eq!(generation.captures.iter().count(), 3, "one a step");
    assert_eq!(bits(&generation), bits(&generate(&toy, &request())));
}

#[test]
fn two_evaluations_of_a_step_count_once() {
    let toy = toy();
    let scheduler = |name: &str| {
        let own = &toy.profile().scheduler;
        own.with_name(name).expect("a scheduler")
    };
    for name in ["heun", "kdpm2", "kdpm2_ancestral"] {
        let request = request().scheduler(scheduler(name));
        let mut seen = Vec::new();
        let outcome = toy.generate(&request, &mut |report: &StepReport<'_>| {
            seen.push((report.step.index, report.done, report.finishes_step));
            assert_eq!((report.step.total, report.total), (3, 3));
            ControlFlow::Continue(())
        });
        outcome.expect("a picture");
        let expected = [
            (0, 0, false),
            (0, 1, true),
            (1, 1, false),
            (1, 2, true),
            (2, 3, true),
        ];
        assert_eq!(seen, expected, "{name}");

        // a window of the first step of three holds both of its evaluations
        let window = StepWindow::new(0.0, 1.0 / 3.0).expect("a window");
        let layer = CaptureLayer::within(window);
        let plan = toy.plan_around(&request, SiteSelector::cross(), layer);
        let generation = toy.generate_with(&plan.expect("a plan"), &request, &mut Silent);
        assert_eq!(generation.expect("a picture").captures.iter().count(), 2);
    }
}

#[test]
fn phrases_are_localised_without_changing_the_picture() {
    let toy = toy();
    let phrases = noun_phrases(&request().prompts[0]);
    let texts: Vec<_> = phrases.iter().map(|phrase| phrase.text.as_str()).collect();
    assert_eq!(texts, ["cat", "beach"]);
    let (found, generation) = localize(&toy, &request(), &phrases, &mut Silent).expect("maps");
    let text = generate(&toy, &request().mode(Mode::TextOnly));
    assert_eq!(bits(&generation), bits(&text));
    let maps: Vec<Vec<f32>> = found
        .iter()
        .map(|place| {
            assert_eq!(place.map.grid(), GRID);
            place
                .map
                .values()
                .clone()
                .into_data()
                .try_to_vec()
                .expect("f32")
        })
        .collect();
    assert_ne!(maps[0], maps[1]);

    // the mean over the steps of what a capture at the block sees
    let plan = toy.plan_around(
        &request().mode(Mode::TextOnly),
        SiteSelector::cross(),
        CaptureLayer::new(),
    );
    let request = request().mode(Mode::TextOnly);
    let seen = toy
        .generate_with(&plan.expect("a plan"), &request, &mut Silent)
        .expect("a picture")
        .captures;
    let mut mean = vec![0.0_f32; GRID.cells()];
    for capture in seen.iter().filter(|capture| capture.concept == 0) {
        let map: Vec<f32> = (capture.map.values().clone().into_data())
            .try_to_vec()
            .expect("f32");
        for (mean, value) in mean.iter_mut().zip(map) {
            *mean += value / 3.0;
        }
    }
    let off = mean.iter().zip(&maps[0]).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) < 1e-6);
}

#[test]
fn it_stops_and_begins_again() {
    let toy = toy();
    let expected = bits(&generate(&toy, &request()));
    let cancel = Cancel::new();
    let cancelled = request().cancel(cancel.clone());
    let outcome = toy.generate(&cancelled, &mut |report: &StepReport<'_>| {
        if report.step.index == 1 {
            let cancel = cancel.clone();
            thread::spawn(move || cancel.cancel())
                .join()
                .expect("cancelled");
        }
        ControlFlow::Continue(())
    });
    let stage = Stage::Denoising { done: 2, total: 3 };
    match outcome.expect_err("cancelled") {
        PipelineError::Cancelled { stage: at } => assert_eq!(at, stage),
        other => panic!("{other}"),
    }
    assert_eq!(
        bits(&generate(&toy, &request().cancel(Cancel::new()))),
        expected
    );
}

#[test]
fn two_threads_share_it() {
    let toy = toy();
    let requests = [request(), request().mode(Mode::Adapter).seed(9).steps(5)];
    let alone = requests
        .each_ref()
        .map(|request| bits(&generate(&toy, request)));
    let together = thread::scope(|scope| {
        let toy = &toy;
        let running = requests
            .each_ref()
            .map(|request| scope.spawn(move || bits(&generate(toy, request))));
        running.map(|thread| thread.join().expect("a picture"))
    });
    assert_eq!(together, alone);
}

#[test]
fn bad_requests_are_found_before_anything_is_computed() {
    let toy = toy();
    let refuse = |change: &dyn Fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        let error = toy.check_request(&request).expect_err("refused");
        chain(&error)
    };
    let beyond = refuse(&|r| r.prompts = vec![format!("{} cat", "very ".repeat(20))]);
    assert!(
        beyond.contains("beyond the text window of tokens 1..11"),
        "{beyond}"
    );
    let missing = refuse(&|r| r.concepts[0].name = "dog".into());
    assert!(
        missing.starts_with("concept `dog`: `dog` is not in the prompt"),
        "{missing}"
    );
    assert_eq!(
        refuse(&|r| r.size = Some(ImageSize::new(60, 64))),
        "the height is 60, it must be a multiple of 8 between 8 and 16384"
    );
    assert_eq!(
        refuse(&|r| r.concepts[0].adapter = 1),
        "the adapter of a concept is 1, it must be below the 1 that are loaded"
    );
    let three = Some(vec![String::new(); 3]);
    assert_eq!(
        refuse(&|r| r.negative_prompts = three.clone()),
        "the number of negative prompts is 3, it must be 1"
    );
    let two = |r: &mut Request| {
        r.prompts.push("a cat".into());
        r.negative_prompts = three.clone();
    };
    assert_eq!(
        refuse(&two),
        "the number of negative prompts is 3, it must be 1 or 2"
    );
}
