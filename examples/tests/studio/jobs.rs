//! Jobs: their order, their end, and that what is computed does not depend on who else asks.

use axum::http::StatusCode;
use conceptrol_core::{
    StepWindow,
    burn::tensor::Device,
    models::image::{decode, open},
    pipeline::{ConceptRequest, LoadOptions, Mode, Pipeline, Request, Silent},
};
use conceptrol_sd::StableDiffusion;
use futures_util::{StreamExt, future::join};
use serde_json::{Value, json};

use crate::studio::{ASSETS, Studio, id, lines};

/// More steps than a test waits for.
const LONG: usize = 200;

#[test]
fn positions_are_told_and_the_queue_is_bounded() {
    let studio = Studio::idle(&[]);
    let mut jobs = Vec::new();
    for before in 0..16 {
        let mut job = studio
            .order(&studio.small(2, before))
            .into_body()
            .into_data_stream();
        let line = studio.until(&mut job, |_| true);
        assert_eq!(line, json!({"state": "queued", "before": before}));
        jobs.push(job);
    }
    let (status, body) = studio.read(studio.order(&studio.small(2, 99)));
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(lines(&body)[0]["field"], Value::Null);
    // a page that goes makes room, and everybody behind it moves up
    drop(jobs.remove(3));
    let line = studio.until(&mut jobs[14], |_| true);
    assert_eq!(line, json!({"state": "queued", "before": 14}));
    assert_eq!(studio.order(&studio.small(2, 99)).status(), StatusCode::OK);
}

#[test]
fn jobs_are_carried_out_in_their_order() {
    let studio = Studio::new();
    let mut first = studio
        .order(&studio.small(LONG, 1))
        .into_body()
        .into_data_stream();
    studio.until(&mut first, |line| {
        line["state"] == "denoising" && line["done"] != 0
    });
    let mut second = studio
        .order(&studio.small(2, 2))
        .into_body()
        .into_data_stream();
    let mut third = studio
        .order(&studio.small(2, 3))
        .into_body()
        .into_data_stream();
    assert_eq!(studio.until(&mut second, |_| true)["before"], 1);
    assert_eq!(studio.until(&mut third, |_| true)["before"], 2);
    drop(first);
    let moved = studio.until(&mut third, |line| line["before"] != 2);
    assert_eq!(moved["before"], 1, "{moved}");
    studio.until(&mut second, |line| line["state"] == "done");
    studio.until(&mut third, |line| line["state"] == "done");
}

#[test]
fn a_page_that_goes_frees_its_job() {
    let studio = Studio::new();
    let long = studio.small(LONG, 5);
    let mut job = studio.order(&long).into_body().into_data_stream();
    let line = studio.until(&mut job, |line| {
        line["state"] == "denoising" && line["done"] != 0
    });
    assert_eq!(line["total"], 2 * LONG);
    drop(job);
    let done = studio.carry_out(&studio.small(2, 6));
    assert_eq!(done["state"], "done", "{done}");
    // nothing of the first was finished: its pictures would be there at once
    let mut again = studio.order(&long).into_body().into_data_stream();
    assert_ne!(studio.until(&mut again, |_| true)["state"], "done");
}

#[test]
fn progress_counts_all_steps_and_shows_previews() {
    let studio = Studio::new();
    let (_, body) = studio.read(studio.order(&studio.small(6, 1)));
    let lines = lines(&body);
    let steps: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["done"].as_u64())
        .collect();
    assert!(steps.is_sorted() && steps.last() == Some(&12), "{steps:?}");
    let previews: Vec<&Value> = lines
        .iter()
        .map(|line| &line["preview"])
        .filter(|preview| preview.is_object())
        .collect();
    let begins = |preview: &&Value| {
        preview["picture"]
            .as_str()
            .is_some_and(|url| url.starts_with("data:image/png;base64,"))
    };
    assert!(
        !previews.is_empty() && previews.iter().all(begins),
        "{}",
        previews.len()
    );
    assert_eq!(lines.last().expect("a line")["state"], "done");
}

#[test]
fn two_at_once_give_the_pictures_of_one_after_the_other() {
    let bytes = |studio: &Studio, done: &Value| {
        ["adapter", "conceptrol"].map(|method| {
            let (_, png) = studio.get(&format!("/api/results/{}/picture.png", id(done, method)));
            decode(&png).expect("a picture")
        })
    };
    let apart = Studio::new();
    let one = bytes(&apart, &apart.carry_out(&apart.small(3, 1)));
    let two = bytes(&apart, &apart.carry_out(&apart.small(3, 2)));
    assert_ne!(one, two);

    let together = Studio::new();
    let whole = |order: &Value| {
        let stream = together.order(order).into_body().into_data_stream();
        stream
            .map(|chunk| chunk.expect("bytes"))
            .collect::<Vec<_>>()
    };
    let (first, second) = (whole(&together.small(3, 1)), whole(&together.small(3, 2)));
    let (first, second) = together.wait(join(first, second));
    let last = |chunks: Vec<axum::body::Bytes>| lines(&chunks.concat()).pop().expect("a line");
    assert!(one == bytes(&together, &last(first)) && two == bytes(&together, &last(second)));

    // and those of the library, which watches no masks
    let assets = format!("{ASSETS}/tiny-sd");
    let adapter = format!("{assets}/ip-adapter.safetensors");
    let options =
        LoadOptions::new(Device::flex()).adapter((adapter, format!("{assets}/image_encoder")));
    let pipeline = StableDiffusion::open(&assets, options).expect("the embedded model");
    let reference = open(format!("{assets}/references/purple_elephant.png")).expect("a picture");
    let request = Request::new("an elephant and a car on the grass")
        .concept(ConceptRequest::new("elephant", reference))
        .window(StepWindow::after_warmup(0.2).expect("a fraction"))
        .steps(3)
        .guidance_scale(7.5)
        .seed(1);
    for (mode, picture) in [Mode::Adapter, Mode::Conceptrol].into_iter().zip(one) {
        let generation = pipeline
            .generate(&request.clone().mode(mode), &mut Silent)
            .expect("a picture");
        assert!(generation.images[0] == picture, "{mode:?}");
    }
}

#[test]
fn what_is_computed_is_reused() {
    let studio = Studio::new();
    let order = studio.small(3, 1);
    let done = studio.carry_out(&order);
    assert!(
        done["pictures"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|made| made["reused"] == false)
    );
    // another strength of Conceptrol, beside the plain adapter's picture as it was
    let mut other = order.clone();
    other["settings"]["scale"] = json!(0.5);
    other["methods"] = json!(["conceptrol"]);
    let (_, body) = studio.read(studio.order(&other));
    let steps: Vec<u64> = lines(&body)
        .iter()
        .filter_map(|line| line["total"].as_u64())
        .collect();
    assert!(
        steps.iter().all(|total| *total == 3),
        "one picture is computed: {steps:?}"
    );
    // what was seen comes at once, whoever is being served
    let mut busy = studio
        .order(&studio.small(LONG, 9))
        .into_body()
        .into_data_stream();
    studio.until(&mut busy, |line| line["state"] == "denoising");
    let (_, body) = studio.read(studio.order(&order));
    let [only] = &lines(&body)[..] else {
        panic!("it waited");
    };
    assert!(
        only["pictures"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|made| made["reused"] == true)
    );
}

#[test]
fn masks_of_every_step_and_site_are_there() {
    let studio = Studio::new();
    let mut order = studio.small(3, 1);
    order["methods"] = json!(["conceptrol"]);
    let made = id(&studio.carry_out(&order), "conceptrol");
    let (_, about) = studio.get(&format!("/api/results/{made}"));
    let about: Value = serde_json::from_slice(&about).expect("JSON");
    let masks = &about["masks"];
    let sites = masks["sites"].as_array().expect("a list");
    assert_eq!((sites.len(), &masks["steps"]), (7, &json!(3)));
    let block = usize::try_from(masks["block"].as_u64().expect("a number")).expect("small");
    assert!(
        sites[block]["name"]
            .as_str()
            .expect("text")
            .starts_with("up_blocks.2.attentions.0")
    );
    let mask = |query: &str| studio.get(&format!("/api/results/{made}/mask.png?{query}"));
    let mut seen = std::collections::BTreeSet::new();
    for site in 0..sites.len() {
        for step in 0..3 {
            let (status, png) = mask(&format!("site={site}&step={step}"));
            assert_eq!(status, StatusCode::OK);
            seen.insert(decode(&png).expect("a picture").into_raw());
        }
    }
    assert_eq!(seen.len(), 21, "they differ");
    assert_eq!(
        mask("").1,
        mask(&format!("site={block}&step=2")).1,
        "the concept block's last is shown at first"
    );
    assert_eq!(mask("site=7&step=0").0, StatusCode::NOT_FOUND);
    assert_eq!(mask("site=x").0, StatusCode::BAD_REQUEST);
}

#[test]
fn words_can_be_watched_without_a_reference_and_pictures_made_without_words() {
    let studio = Studio::new();
    let mut order = studio.small(2, 1);
    order["methods"] = json!(["text"]);
    order["settings"]["reference"] = Value::Null;
    let watched = id(&studio.carry_out(&order), "text");
    assert_eq!(
        studio.get(&format!("/api/results/{watched}/mask.png")).0,
        StatusCode::OK
    );
    order["settings"]["concept"] = Value::Null;
    let plain = id(&studio.carry_out(&order), "text");
    assert_eq!(
        studio.get(&format!("/api/results/{plain}/mask.png")).0,
        StatusCode::NOT_FOUND
    );
    let picture = |id: &str| {
        decode(&studio.get(&format!("/api/results/{id}/picture.png")).1).expect("a picture")
    };
    assert!(
        picture(&watched) == picture(&plain),
        "watching changes no bit"
    );
}

#[test]
fn what_a_model_refuses_stands_beside_its_field() {
    let studio = Studio::new();
    let mut order = studio.small(2, 1);
    order["settings"]["prompt"] = format!("{} elephant", "very ".repeat(90)).into();
    order["settings"]["concept"] = json!({"start": 451, "end": 459});
    let said = studio.carry_out(&order);
    assert_eq!(
        (&said["state"], &said["field"]),
        (&json!("failed"), &json!("concept")),
        "{said}"
    );
    let mut order = studio.small(2, 1);
    order["settings"]["width"] = json!(72);
    let said = studio.carry_out(&order);
    assert!(
        said["state"] == "done" || said["field"] == "width",
        "{said}"
    );
}

#[test]
fn flux_is_served_as_well() {
    let fixtures = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../conceptrol-flux/tests/fixtures/models"
    );
    let mut studio = Studio::idle(&["--models", fixtures]);
    studio.work();
    let mut order = studio.small(2, 1);
    let settings = &mut order["settings"];
    settings["model"] = "flux_dev".into();
    settings["adapter"] = "flux_dev_subject_lora/lora.safetensors".into();
    settings["prompt"] = "a man in the library".into();
    settings["concept"] = json!({"start": 2, "end": 5});
    settings["warmup"] = json!(0.0);
    settings["guidance"] = json!(3.5);
    settings["width"] = json!(64);
    settings["height"] = json!(48);
    let done = studio.carry_out(&order);
    let made = id(&done, "conceptrol");
    let picture = |file: &str| {
        decode(&studio.get(&format!("/api/results/{made}/{file}")).1).expect("a picture")
    };
    assert_eq!(picture("picture.png").dimensions(), (64, 48));
    assert_eq!(picture("mask.png?site=0&step=1").dimensions(), (64, 48));
    // an adapter of another family
    order["settings"]["adapter"] = "ip-adapter (embedded)".into();
    let said = studio.carry_out(&order);
    assert_eq!(
        (&said["state"], &said["field"]),
        (&json!("failed"), &json!("adapter")),
        "{said}"
    );
    assert!(
        !said["message"].as_str().expect("text").contains("/assets"),
        "{said}"
    );
}
