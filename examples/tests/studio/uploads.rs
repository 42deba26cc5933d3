//! Pictures that come in.

use std::io::Cursor;

use axum::http::StatusCode;
use conceptrol_core::models::image::{decode, encode_png};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::{
    server::EMBEDDED,
    studio::{Studio, id},
};

fn png() -> Vec<u8> {
    encode_png(&RgbImage::from_pixel(8, 6, Rgb([200, 10, 10])), &[]).expect("a picture")
}

#[test]
fn pictures_are_taken_and_named_by_their_bytes() {
    let studio = Studio::idle(&[]);
    let (status, taken) = studio.upload("..%2F..%2Fcat.png", png());
    assert_eq!(status, StatusCode::OK, "{taken}");
    assert_eq!(
        (&taken["name"], &taken["width"], &taken["height"]),
        (&json!("cat.png"), &json!(8), &json!(6))
    );
    assert_eq!(taken["restored"], Value::Null);
    let (_, again) = studio.upload("other.png", png());
    assert_eq!(taken["id"], again["id"]);
    let (status, body) = studio.get(&format!(
        "/api/pictures/{}",
        taken["id"].as_str().expect("text")
    ));
    assert_eq!((status, &*body), (StatusCode::OK, &*png()));

    let mut jpeg = Cursor::new(Vec::new());
    RgbImage::new(8, 8)
        .write_to(&mut jpeg, ImageFormat::Jpeg)
        .expect("a picture");
    assert_eq!(
        studio.upload("cat.png", jpeg.into_inner()).0,
        StatusCode::OK,
        "bytes tell, not the name"
    );
}

#[test]
fn what_is_no_picture_is_refused_beside_the_reference() {
    let studio = Studio::idle(&[]);
    let cut = png()[..40].to_vec();
    // a header that claims 30000 x 30000 pixels, with a checksum that is right
    let mut bomb = png();
    bomb[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let sum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&sum.to_be_bytes());
    let cases = [
        (b"hello".to_vec(), "not a PNG"),
        (Vec::new(), "not a PNG"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            "not a PNG",
        ),
        (b"GIF89a\x01\0\x01\0\0\0\0".to_vec(), "not a PNG"),
        (cut, ""),
        (bomb, "too large"),
    ];
    for (bytes, expected) in cases {
        let (status, said) = studio.upload("x.png", bytes);
        assert_eq!(
            (status, &said["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("reference"))
        );
        assert!(
            said["message"].as_str().expect("text").contains(expected),
            "{said}"
        );
    }
    let (status, said) = studio.upload("x.png", vec![0; (16 << 20) + 1]);
    assert_eq!(
        (status, &said["field"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("reference"))
    );
}

/// The checksum of PNG's chunks, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| {
        if sum & 1 == 1 {
            sum >> 1 ^ 0xEDB8_8320
        } else {
            sum >> 1
        }
    };
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), step)
    })
}

#[test]
fn a_picture_that_was_made_here_brings_its_settings_back() {
    let studio = Studio::new();
    let mut order = studio.small(2, 77);
    order["settings"]["prompt"] = "a car, an elephant and another elephant on the grass".into();
    order["settings"]["concept"] = json!({"start": 31, "end": 39}); // the second elephant
    order["settings"]["scale"] = json!(0.65);
    order["settings"]["warmup"] = json!(0.5);
    order["settings"]["guidance"] = json!(3.25);
    order["settings"]["negative_prompt"] = "rain, snow".into();
    let done = studio.carry_out(&order);
    for (method, file) in [
        ("conceptrol", "picture.png"),
        ("adapter", "picture.png"),
        ("conceptrol", "mask.png"),
        ("conceptrol", "sheet.png"),
    ] {
        let (status, png) = studio.get(&format!("/api/results/{}/{file}", id(&done, method)));
        assert_eq!(status, StatusCode::OK);
        let (_, taken) = studio.upload("made.png", png);
        let mut restored = taken["restored"].clone();
        assert_eq!(restored["notes"], json!([]), "{restored}");
        let mut wanted = order["settings"].clone();
        // what was left to the model is said
        wanted["adapter"] = "ip-adapter (embedded)".into();
        wanted["scheduler"] = "DPMSolverMultistepScheduler".into();
        wanted["width"] = json!(64);
        wanted["height"] = json!(64);
        for beside in ["notes", "reference_name"] {
            restored.as_object_mut().expect("an object").remove(beside);
        }
        assert_eq!(restored, wanted, "{method} {file}");
    }
}

#[test]
fn what_other_tools_wrote_is_restored_as_far_as_it_goes() {
    let studio = Studio::idle(&[]);
    let restored = |text: &str| {
        let file = encode_png(&RgbImage::new(8, 8), &[("parameters", text)]).expect("a picture");
        studio.upload("x.png", file).1["restored"].clone()
    };
    let elephant = studio.elephant();
    // as `personalize` writes it
    let text = format!(
        "an elephant and a car on the grass\nNegative prompt: \nSteps: 50, Sampler: ddim, CFG scale: 7.5, Seed: 18446744073709551615, \
         Method: conceptrol, Size: 64x64, Condition scale: 1, Window: 0.2 to 1, Concept: elephant purple elephant.png \
         sha256:{elephant} scale 1, Fidelity: Paper, Model: /somewhere/assets/tiny-sd, Adapter: \
         /somewhere/assets/tiny-sd/ip-adapter.safetensors, LoRA: ink.safetensors 0.5, Type: f32, Backend: flex, Version: conceptrol 0.1.0"
    );
    let said = restored(&text);
    assert_eq!(
        (&said["model"], &said["adapter"]),
        (&json!(EMBEDDED), &json!("ip-adapter (embedded)"))
    );
    assert_eq!(
        (&said["seed"], &said["reference"]),
        (&json!("18446744073709551615"), &json!(elephant))
    );
    assert_eq!(said["concept"], json!({"start": 3, "end": 11}));
    assert_eq!(said["notes"], json!(["Not restored: LoRA."]));
    // another program's, whose model is not here
    let said = restored(
        "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model: ../secret/v1",
    );
    assert_eq!(
        (&said["steps"], &said["width"], &said["height"]),
        (&json!(20), &json!(512), &json!(768))
    );
    assert_eq!(
        (&said["model"], &said["concept"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        said["notes"].to_string().contains("`v1` is not here"),
        "{said}"
    );
    // a reference that is not here, a phrase that is not in the prompt
    let said = restored("a cat\nSteps: 2, Seed: 1, Concept: cat my cat.png sha256:00 scale 1");
    assert!(
        said["notes"].to_string().contains("`my cat.png` again"),
        "{said}"
    );
    let said = restored("a cat\nSteps: 2, Seed: 1, Concept: dog dog.png sha256:00 scale 1");
    assert!(
        said["notes"].to_string().contains("not in the prompt"),
        "{said}"
    );
    assert_eq!(restored("just some text"), Value::Null);
}

#[test]
fn schedulers_are_restored_and_the_models_own_is_its_own_by_any_name() {
    let studio = Studio::new();
    let picture = |scheduler: Value| {
        let mut order = studio.small(3, 4);
        order["methods"] = json!(["conceptrol"]);
        order["settings"]["scheduler"] = scheduler;
        let done = studio.carry_out(&order);
        studio
            .get(&format!(
                "/api/results/{}/picture.png",
                id(&done, "conceptrol")
            ))
            .1
    };
    let pixels = |png: &[u8]| decode(png).expect("a picture").into_raw();
    let (own, named, other) = (
        picture(Value::Null),
        picture("DPMSolverMultistepScheduler".into()),
        picture("euler".into()),
    );
    assert!(pixels(&own) == pixels(&named) && pixels(&own) != pixels(&other));
    let restored = studio.upload("euler.png", other).1["restored"].clone();
    assert_eq!(restored["scheduler"], "euler");
    let text = "a cat\nSteps: 2, Sampler: Restart++, Seed: 1";
    let file = encode_png(&RgbImage::new(8, 8), &[("parameters", text)]).expect("a picture");
    let restored = studio.upload("x.png", file).1["restored"].clone();
    assert_eq!(
        restored["notes"],
        json!(["The sampler `Restart++` is not known."])
    );
}
