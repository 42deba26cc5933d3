//! Starting from a picture: the same rules for every scheduler, and every family.

use std::ops::ControlFlow;

use burn::tensor::{DType, Device, Tensor};
use conceptrol_core::{
    Grid, StepWindow,
    image::{Rgb, RgbImage},
    models::image::MaskImage,
    models::scheduler::{SchedulerConfig, SchedulerKind},
    pipeline::{
        ConceptPlace, Family, ImageSize, Mode, Observer, Pipeline, Repaint, Request, Silent, Stage,
        Start, StepReport,
    },
};

use crate::{bits, generate, request, toy};

const STEPS: usize = 8;

fn photo() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| {
        Rgb([3 * x as u8, 5 * y as u8, (x * y) as u8])
    })
}

fn mask(inside: impl Fn(usize, usize) -> bool) -> MaskImage {
    let pixels = (0..48).flat_map(|y| (0..64).map(move |x| (x, y)));
    MaskImage {
        grid: Grid::new(48, 64),
        values: pixels
            .map(|(x, y)| f32::from(u8::from(inside(x, y))))
            .collect(),
        warning: None,
    }
}

fn start(strength: f64) -> Start {
    Start::new(photo()).strength(strength)
}

fn from_picture(start: Start) -> Request {
    request().steps(STEPS).start(start)
}

/// The bits of the latents of the picture itself.
fn of_picture(request: &Request) -> Vec<Vec<u8>> {
    let conditioning = toy().condition(request).expect("a picture");
    let picture = conditioning.start.and_then(|start| start.picture);
    let picture = picture.expect("latents").into_data();
    let each = picture.as_bytes().len() / request.images();
    picture
        .as_bytes()
        .chunks(each)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Every scheduler of diffusion, in a configuration each of them reads.
fn schedulers() -> impl Iterator<Item = SchedulerConfig> {
    let config = r#"{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "clip_sample": false, "skip_prk_steps": true}"#;
    let config = SchedulerConfig::from_json(config).expect("valid");
    let kinds = SchedulerKind::ALL.into_iter();
    kinds
        .filter(|kind| !kind.is_flow_matching())
        .map(move |kind| config.clone().with_kind(kind))
}

/// What an observer is told.
#[derive(Debug, Default)]
struct Seen {
    timesteps: Vec<f64>,
    places: Vec<(usize, usize)>,
    done: Vec<(usize, usize)>,
    stages: Vec<Stage>,
}

impl Observer for Seen {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        self.timesteps.push(report.step.timestep);
        self.places.push((report.step.index, report.step.total));
        self.done.push((report.done, report.total));
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, stage: Stage) {
        self.stages.push(stage);
    }
}

#[test]
fn strength_zero_is_the_picture_as_the_autoencoder_gives_it_back() {
    let toy = toy();
    for start in [start(0.0), start(0.0).repaint(mask(|x, _| x < 32))] {
        let request = from_picture(start);
        let mut seen = Seen::default();
        let generation = toy.generate(&request, &mut seen).expect("a picture");
        assert_eq!(bits(&generation), of_picture(&request));
        assert!(seen.timesteps.is_empty(), "no step is run");
        let pictures = toy.pictures(generation.latents, &request, &mut Silent);
        assert_eq!(generation.images, pictures.expect("decoded"));
    }
}

#[test]
fn every_scheduler_begins_at_a_step_as_the_naive_rule_says() {
    let toy = toy();
    for config in schedulers() {
        let kind = config.kind().expect("known");
        let request = from_picture(start(0.55)).scheduler(config.clone());
        // 8 x 0.55 = 4.4: the last 4 of 8 steps
        let mut whole = request.clone();
        whole.start = None;
        let whole = toy.scheduler(&whole).expect("a schedule");
        let all = whole.timesteps();
        let mut seen = Seen::default();
        toy.generate(&request, &mut seen).expect("a picture");
        // PNDM does its first step twice; where it begins there is such a step, but not in the whole schedule
        let again = usize::from(kind == SchedulerKind::Pndm);
        let calls = seen.timesteps.len();
        let tail = &all[all.len() - (calls - again)..];
        let mut run = seen.timesteps.clone();
        if again == 1 {
            run.remove(1);
        }
        assert_eq!(run, tail, "{kind}");
        seen.places.dedup();
        let places = (4..8 + again).map(|step| (step, 8 + again));
        assert!(
            seen.places.iter().copied().eq(places),
            "{kind}: {:?}",
            seen.places
        );
        let last = (4 + again, 4 + again);
        assert!(
            seen.done.is_sorted() && seen.done.last() == Some(&last),
            "{kind}: {:?}",
            seen.done
        );
        let (done, total) = (0, 4 + again);
        assert!(
            seen.stages.contains(&Stage::Denoising { done, total }),
            "{kind}"
        );

        let conditioning = toy.condition(&request).expect("a picture");
        let scheduler = toy.scheduler(&request).expect("a schedule");
        let picture = conditioning
            .start
            .as_ref()
            .and_then(|start| start.picture.clone());
        let (picture, noise) = (picture.expect("latents"), conditioning.latents.clone());
        let naive = whole.add_noise(picture, noise, all.len() - tail.len());
        let first = conditioning.first_latents(&*scheduler);
        assert_eq!(first.into_data(), naive.into_data(), "{kind}");
    }
}

#[test]
fn windows_count_the_steps_of_the_whole_schedule() {
    let toy = toy();
    let with = |from: f64, to: f64| {
        let window = StepWindow::new(from, to).expect("a window");
        bits(&generate(&toy, &from_picture(start(0.5)).window(window)))
    };
    // steps 4 to 7 of 8 are run
    let always = with(0.0, 1.0);
    assert_eq!(with(0.5, 1.0), always, "it acts in all that is run");
    let text = bits(&generate(
        &toy,
        &from_picture(start(0.5)).mode(Mode::TextOnly),
    ));
    assert_eq!(with(0.0, 0.5), text, "it is over before");
    let late = with(0.75, 1.0);
    assert!(late != always && late != text, "it acts in the last two");
}

#[test]
fn a_mask_of_zeros_leaves_the_picture_and_one_of_ones_nothing() {
    let toy = toy();
    for config in schedulers() {
        let kind = config.kind().expect("known");
        for strength in [1.0, 0.6] {
            let request =
                from_picture(start(strength).repaint(mask(|_, _| false))).scheduler(config.clone());
            assert_eq!(
                bits(&generate(&toy, &request)),
                of_picture(&request),
                "{kind} at {strength}"
            );
        }
        let noise = Tensor::full([1, 4, 6, 8], 0.3, (&Device::flex(), DType::F32));
        let draws = toy
            .scheduler(&request().scheduler(config.clone()))
            .expect("a schedule")
            .draws_noise();
        if draws {
            continue; // the picture's own draws come before those of the steps
        }
        let plain = request()
            .steps(STEPS)
            .scheduler(config.clone())
            .latents(noise.clone());
        let all = plain.clone().start(start(1.0).repaint(mask(|_, _| true)));
        assert_eq!(
            bits(&generate(&toy, &all)),
            bits(&generate(&toy, &plain)),
            "{kind}"
        );
    }
}

#[test]
fn what_is_kept_is_the_picture_and_what_is_repainted_is_not() {
    let toy = toy();
    let left = from_picture(start(0.9).repaint(mask(|x, _| x < 32)));
    let generation = generate(&toy, &left);
    let made: Vec<f32> = generation.latents.into_data().try_to_vec().expect("f32");
    let conditioning = toy.condition(&left).expect("a picture");
    let picture = conditioning
        .start
        .and_then(|start| start.picture)
        .expect("latents");
    let picture: Vec<f32> = picture.into_data().try_to_vec().expect("f32");
    for (at, (made, picture)) in made.iter().zip(&picture).enumerate() {
        assert_eq!(made == picture, at % 8 >= 4, "cell {at}");
    }
}

#[test]
fn a_batch_from_a_picture_is_its_pictures_one_by_one() {
    let toy = toy();
    for config in schedulers() {
        let start = start(0.7).repaint(mask(|x, y| (x + y) % 24 < 12));
        let request = from_picture(start).scheduler(config.clone());
        let together = bits(&generate(&toy, &request.clone().images_per_prompt(2)));
        for (index, together) in (0..).zip(together) {
            let alone = request.clone().seed(5 + index);
            assert_eq!(
                bits(&generate(&toy, &alone)),
                [together],
                "{:?} {index}",
                config.kind()
            );
        }
    }
}

#[test]
fn the_picture_says_the_size_unless_the_request_does() {
    let toy = toy();
    let wide = Start::new(RgbImage::new(70, 41));
    let mut request = from_picture(wide);
    request.size = None;
    assert_eq!(generate(&toy, &request).images[0].dimensions(), (64, 40));
    let request = request.size(ImageSize::new(16, 24));
    assert_eq!(generate(&toy, &request).images[0].dimensions(), (24, 16));
}

#[test]
fn a_region_with_padding_is_put_back_into_its_picture() {
    let toy = toy();
    let region = mask(|x, y| (40..44).contains(&x) && (20..26).contains(&y));
    let request = from_picture(start(1.0).repaint(Repaint::from(region).padding(4)));
    let made = generate(&toy, &request).images.remove(0);
    assert_eq!(made.dimensions(), (64, 48));
    let photo = photo();
    for (x, y, pixel) in photo.enumerate_pixels() {
        let inside = (40..44).contains(&x) && (20..26).contains(&y);
        assert!(inside || pixel == made.get_pixel(x, y), "{x}, {y}");
    }
    assert_ne!(made, photo, "something was repainted");
}

#[test]
fn a_concept_says_the_region_itself() {
    let toy = toy();
    let place = ConceptPlace::of("cat").threshold(0.8).grow(0);
    let request = from_picture(start(1.0).repaint(place.clone()));
    let found = generate(&toy, &request).region.expect("a region");
    assert_eq!(found.grid, Grid::new(48, 64));
    let marked = |mask: &MaskImage| mask.values.iter().filter(|value| **value == 1.0).count();
    assert!(
        marked(&found) > 0 && marked(&found) < 48 * 64,
        "{}",
        marked(&found)
    );
    // the same as with that mask drawn: looking draws nothing
    let drawn = from_picture(start(1.0).repaint(found.clone()));
    assert_eq!(
        bits(&generate(&toy, &request)),
        bits(&generate(&toy, &drawn))
    );
    // and as the map says
    let map = toy.look_for(&request, &photo(), &place).expect("a map");
    let strong = map
        .values
        .iter()
        .map(|value| f32::from(u8::from(*value >= 0.8)));
    assert!(found.values.iter().copied().eq(strong));
    // other words in another prompt
    let place = ConceptPlace::of("tree")
        .prompt("a house and a tree")
        .grow(3);
    let other = generate(&toy, &from_picture(start(1.0).repaint(place)))
        .region
        .expect("a region");
    assert_ne!(other, found);
}

#[test]
fn what_cannot_be_started_from_is_said_before_the_first_step() {
    let toy = toy();
    let message = |request: &Request| {
        let refused = toy.check_request(request).expect_err("refused").to_string();
        let mut seen = Seen::default();
        assert_eq!(
            toy.generate(request, &mut seen)
                .expect_err("refused")
                .to_string(),
            refused
        );
        assert!(
            seen.stages.is_empty(),
            "{refused}: before anything is encoded"
        );
        refused
    };
    for (strength, expected) in [
        (1.5, "the strength is 1.5, it must be between 0 and 1"),
        (-0.1, "the strength is -0.1, it must be between 0 and 1"),
        (f64::NAN, "the strength is NaN, it must be between 0 and 1"),
        (
            0.1,
            "the strength is 0.1, it must be 0, or enough for one of 8 steps, from 0.125",
        ),
    ] {
        assert_eq!(message(&from_picture(start(strength))), expected);
    }
    let other = MaskImage {
        grid: Grid::new(24, 64),
        ..mask(|_, _| true)
    };
    assert_eq!(
        message(&from_picture(start(1.0).repaint(other))),
        "the size of the mask is width 64, height 24, it must be the picture's: width 64, height 48"
    );
    let mut few = mask(|_, _| true);
    few.values.truncate(5);
    assert!(message(&from_picture(start(1.0).repaint(few))).contains("is 5, it must be 3072"));
    let mut beyond = mask(|_, _| true);
    beyond.values[7] = f32::NAN;
    assert!(
        message(&from_picture(start(1.0).repaint(beyond))).contains("a value of the mask is NaN")
    );
    let nothing = Repaint::from(mask(|_, _| false)).padding(8);
    assert!(
        message(&from_picture(start(1.0).repaint(nothing))).contains("region to cut out is empty")
    );
    let empty = from_picture(Start::new(RgbImage::new(0, 3)));
    assert!(message(&empty).contains("the picture to start from is 0x3"));
    let mut small = from_picture(Start::new(RgbImage::new(64, 7)));
    small.size = None;
    assert!(message(&small).contains("the height is 0"));
    let mut begun = from_picture(start(0.5));
    begun.scheduler_options = begun.scheduler_options.begin_at(1);
    assert!(message(&begun).contains("the strength says where a picture begins"));
    for (place, expected) in [
        (ConceptPlace::of("dog"), "dog"),
        (ConceptPlace::of("cat").prompt("a tree"), "cat"),
        (
            ConceptPlace::of("cat").threshold(0.0),
            "the threshold of a region is 0",
        ),
        (
            ConceptPlace::of("cat").threshold(f32::NAN),
            "the threshold of a region is NaN",
        ),
    ] {
        assert!(
            message(&from_picture(start(1.0).repaint(place))).contains(expected),
            "{expected}"
        );
    }
    assert!(
        toy.encode_picture(Tensor::zeros([1, 3, 8, 8], &Device::flex()), None, None)
            .is_ok()
    );
}
