//! Pictures against Pillow 13 and transformers 4.48: `fixtures/images` holds `source.png` and what Pillow made of it,
//! `<file>.rgb.png` = `Image.open(file).convert("RGB")`, and the input CLIP's processor made (`clip_32.safetensors`).

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use conceptrol_core::Grid;
use conceptrol_core::message::chain;
use conceptrol_core::models::image::{
    ClipImageConfig, Filter, ImageError, RgbImage, clip_preprocess, clip_tensor, decode,
    encode_png, from_array, image_to_tensor, open, open_mask, resize, save_png, tensor_to_images,
    to_array,
};
use proptest::prelude::*;

/// Decoders of JPEG may differ by the rounding of the inverse transform and by how they interpolate halved colour planes.
const JPEG_STEP: u8 = 6;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

fn picture(name: &str) -> RgbImage {
    open(fixtures().join(name)).unwrap()
}

fn small_clip() -> ClipImageConfig {
    ClipImageConfig {
        size: 32,
        crop_size: 32,
        ..ClipImageConfig::default()
    }
}

#[test]
fn resizes_equal_those_of_pillow() {
    let source = picture("source.png");
    let mut count = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(rest) = name.strip_prefix("resize_") else {
            continue;
        };
        let filter = match rest.split('_').next().unwrap() {
            "bicubic" => Filter::Bicubic,
            "bilinear" => Filter::Bilinear,
            _ => Filter::Lanczos,
        };
        let expected = picture(&name);
        let resized = resize(&source, expected.width(), expected.height(), filter);
        assert!(resized == expected, "{name} differs");
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn colours_equal_those_of_pillow() {
    let mut count = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(original) = name.strip_suffix(".rgb.png") else {
            continue;
        };
        let (found, expected) = (picture(original), picture(&name));
        assert_eq!(found.dimensions(), expected.dimensions(), "{original}");
        let worst = found
            .iter()
            .zip(expected.iter())
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap();
        let allowed = if original.ends_with(".jpg") {
            JPEG_STEP
        } else {
            0
        };
        println!("{original} {worst}");
        assert!(worst <= allowed, "{original} differs by {worst}");
        count += 1;
    }
    assert!(count > 12);
}

#[test]
fn clip_sees_what_its_processor_makes() {
    let bytes = fs::read(fixtures().join("clip_32.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for name in file.names() {
        let data = file.tensor(name).unwrap().data().to_vec();
        let expected: Vec<f32> = data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let found = clip_preprocess(&picture(&format!("{name}.png")), &small_clip()).unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn brightness_equals_that_of_pillow() {
    let mask = open_mask(fixtures().join("source.png")).unwrap();
    let expected = picture("source.luma.png");
    assert_eq!(mask.grid, Grid::new(23, 37));
    let array = to_array(&expected);
    assert_eq!(from_array(array.view()).as_ref(), Some(&expected));
    assert_eq!(from_array(array.slice(ndarray::s![.., .., ..2])), None);
    for (value, pixel) in mask.values.iter().zip(expected.pixels()) {
        assert_eq!((value * 255.0).round() as u8, pixel.0[0]);
    }
}

#[test]
fn an_extremely_long_picture_is_its_middle() {
    let mut long = RgbImage::from_pixel(1, 4000, image::Rgb([0; 3]));
    long.put_pixel(0, 1999, image::Rgb([255; 3]));
    long.put_pixel(0, 2000, image::Rgb([255; 3]));
    let input = clip_preprocess(&long, &ClipImageConfig::default()).unwrap();
    assert_eq!(input.len(), 3 * 224 * 224);
    let white = (1.0 - 0.481_454_66) / 0.268_629_54;
    assert!((input[112 * 224 + 7] - white).abs() < 1e-5);
}

#[test]
fn siglip_sees_all_of_a_picture() {
    let source = picture("source.png");
    let found = clip_preprocess(&source, &ClipImageConfig::siglip(20)).unwrap();
    let square = resize(&source, 20, 20, Filter::Bicubic);
    let sample = |channel: usize, index: usize| square.as_raw()[3 * index + channel];
    for (index, value) in found.iter().enumerate() {
        let expected = f32::from(sample(index / 400, index % 400)) / 127.5 - 1.0;
        assert!(
            (value - expected).abs() < 1e-6,
            "{index}: {value}, {expected}"
        );
    }
}

#[test]
fn unusable_files_are_refused() {
    let error = |bytes: &[u8]| decode(bytes).unwrap_err();
    assert!(matches!(error(b""), ImageError::UnknownFormat));
    assert!(matches!(error(b"GIF89a"), ImageError::UnknownFormat));
    let whole = fs::read(fixtures().join("source.png")).unwrap();
    assert!(matches!(
        error(&whole[..whole.len() / 2]),
        ImageError::Decode(_)
    ));
    // A header that promises 60000 x 60000 pixels; the checksum of the header chunk is adapted.
    let mut bomb = whole.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let check = crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&check.to_be_bytes());
    let refused = error(&bomb);
    assert!(
        matches!(refused, ImageError::TooLarge { width: 60_000, .. }),
        "{refused}"
    );
    bomb[16..20].fill(0);
    let check = crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&check.to_be_bytes());
    assert!(matches!(
        error(&bomb),
        ImageError::Decode(_) | ImageError::Empty { .. }
    ));
    let missing = chain(&open("/nonexistent/cat.png").unwrap_err());
    assert!(missing.starts_with("/nonexistent/cat.png: "), "{missing}");
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[test]
fn senseless_configurations_are_refused() {
    let source = picture("source.png");
    let field = |config: ClipImageConfig| match clip_preprocess(&source, &config).unwrap_err() {
        ImageError::Config { field, .. } => field,
        other => panic!("{other}"),
    };
    let default = ClipImageConfig::default;
    assert_eq!(
        field(ClipImageConfig {
            size: 0,
            ..default()
        }),
        "size"
    );
    assert_eq!(
        field(ClipImageConfig {
            crop_size: 225,
            ..default()
        }),
        "crop_size"
    );
    assert_eq!(
        field(ClipImageConfig {
            resample: 0,
            ..default()
        }),
        "resample"
    );
    assert_eq!(
        field(ClipImageConfig {
            image_std: [1.0, 0.0, 1.0],
            ..default()
        }),
        "image_std"
    );
    assert!(clip_preprocess(&RgbImage::new(0, 4), &default()).is_err());
}

#[test]
fn samples_survive_the_way_to_a_tensor_and_back() {
    let device = Device::flex();
    let source = picture("source.png");
    let tensor = image_to_tensor(&source, &device);
    assert_eq!(tensor.dims(), [1, 3, 23, 37]);
    assert_eq!(tensor_to_images(tensor), [source]);
    // Half steps go to the even neighbour, everything else is clipped.
    let values = [
        -7.0_f32,
        7.0,
        f32::NAN,
        1.0 / 255.0 - 1.0,
        0.0,
        3.0 / 255.0 - 1.0,
    ];
    let data = TensorData::new([values, values, values].concat(), [1, 3, 2, 3]);
    let out = tensor_to_images(Tensor::from_data(data, &device));
    let red: Vec<u8> = out[0].pixels().map(|p| p.0[0]).collect();
    assert_eq!(red[..3], [0, 255, 0]);
    let pair = clip_tensor(
        &[picture("source.png"), picture("tall.png")],
        &small_clip(),
        &device,
    )
    .unwrap();
    assert_eq!(pair.dims(), [2, 3, 32, 32]);
}

#[test]
fn a_saved_picture_knows_how_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/cat.png");
    let source = picture("source.png");
    let texts = [("parameters", "a cat\nseed 42"), ("prompt", "кошка")];
    save_png(&path, &source, &texts).unwrap();
    save_png(&path, &source, &texts).unwrap();
    assert_eq!(open(&path).unwrap(), source);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap()))
        .read_info()
        .unwrap();
    let info = reader.info();
    assert_eq!(info.uncompressed_latin1_text[0].text, "a cat\nseed 42");
    assert_eq!(info.utf8_text[0].get_text().unwrap(), "кошка");

    assert!(matches!(
        encode_png(&RgbImage::new(0, 3), &[]),
        Err(ImageError::Empty { .. })
    ));
    assert!(matches!(
        encode_png(&source, &[("", "x")]),
        Err(ImageError::Encode(_))
    ));
    let blocked = folder.path().join("new/cat.png/below.png");
    assert!(matches!(
        save_png(&blocked, &source, &[]),
        Err(ImageError::File { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged files never panic.
    #[test]
    fn damage_is_an_error(
        name in prop::sample::select(vec!["alpha.png", "palette.png", "cmyk.jpg", "progressive.jpg", "lossless.webp"]),
        edits in prop::collection::vec((0usize..4096, any::<u8>()), 1..8),
        keep in 0usize..4096,
    ) {
        let mut bytes = fs::read(fixtures().join(name)).unwrap();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(keep.max(16));
        let _ = decode(&bytes);
    }

    /// A window is a part of the whole.
    #[test]
    fn a_window_is_a_part_of_the_whole(w in 1u32..40, h in 1u32..40, cut in 0u32..8) {
use conceptrol_core::models::image::{Window, resize_window};
        let source = picture("source.png");
        let whole = resize(&source, w, h, Filter::Bicubic);
        let window = Window { left: cut.min(w - 1), top: cut.min(h - 1), width: 1, height: h - cut.min(h - 1) };
        let part = resize_window(&source, (w, h), window, Filter::Bicubic);
        for (x, y, pixel) in part.enumerate_pixels() {
            prop_assert_eq!(pixel, whole.get_pixel(x + window.left, y + window.top));
        }
    }
}
