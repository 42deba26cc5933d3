//! Pictures as masks: alpha where it says anything, else brightness; and what is told about odd ones.

use std::path::PathBuf;

use burn::tensor::Device;
use conceptrol_core::Grid;
use conceptrol_core::message::chain;
use conceptrol_core::models::image::{MaskWarning, decode_mask, open_mask};
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

const SIDE: u32 = 6;

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .into()
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A picture that is `on` in its left half and `off` in its right one.
fn halves<P: image::Pixel>(on: P, off: P) -> ImageBuffer<P, Vec<P::Subpixel>> {
    ImageBuffer::from_fn(SIDE, SIDE, |x, _| if x < SIDE / 2 { on } else { off })
}

fn left() -> Vec<f32> {
    (0..SIDE * SIDE)
        .map(|i| if i % SIDE < SIDE / 2 { 1.0 } else { 0.0 })
        .collect()
}

fn values(bytes: &[u8]) -> Vec<f32> {
    let mask = decode_mask(bytes).unwrap();
    assert_eq!(mask.warning, None);
    mask.values
}

#[test]
fn the_same_mask_in_every_colour_type() {
    let (white, black) = ([255_u8; 3], [0_u8; 3]);
    let deep = u16::MAX;
    let pictures: [DynamicImage; 10] = [
        halves(Luma([255_u8]), Luma([0])).into(),
        halves(Luma([deep]), Luma([0])).into(),
        halves(Rgb(white), Rgb(black)).into(),
        halves(Rgb([deep; 3]), Rgb([0; 3])).into(),
        // alpha over one colour, and over colours that say the opposite
        halves(LumaA([255_u8, 255]), LumaA([255, 0])).into(),
        halves(LumaA([0, deep]), LumaA([deep, 0])).into(),
        halves(Rgba([255, 255, 255, 255_u8]), Rgba([255, 255, 255, 0])).into(),
        halves(Rgba([0, 0, 0, deep]), Rgba([deep, deep, deep, 0])).into(),
        // an alpha that is opaque everywhere says nothing
        halves(Rgba([255, 255, 255, 255_u8]), Rgba([0, 0, 0, 255])).into(),
        halves(LumaA([deep, deep]), LumaA([0, deep])).into(),
    ];
    for picture in pictures {
        let color = picture.color();
        assert_eq!(values(&png(picture)), left(), "{color:?}");
    }
}

#[test]
fn palettes_may_have_transparent_entries() {
    let encode = |transparency: Option<&[u8]>| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, SIDE, SIDE);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(vec![0, 0, 0, 255, 255, 255]);
        if let Some(transparency) = transparency {
            encoder.set_trns(transparency.to_vec());
        }
        let indices: Vec<u8> = left().iter().map(|value| *value as u8).collect();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&indices).unwrap();
        writer.finish().unwrap();
        bytes
    };
    assert_eq!(values(&encode(None)), left());
    let inverse: Vec<f32> = left().iter().map(|value| 1.0 - value).collect();
    assert_eq!(values(&encode(Some(&[255, 0]))), inverse);
}

#[test]
fn steps_between_are_kept() {
    let ramp = ImageBuffer::from_fn(256, 1, |x, _| {
        Luma([x as u16 * 257 + 3 * u16::from(x < 255)])
    });
    for (x, value) in values(&png(ramp)).into_iter().enumerate() {
        let exact = (x as f64 * 257.0 + if x < 255 { 3.0 } else { 0.0 }) / 65_535.0;
        assert!((f64::from(value) - exact).abs() < 1e-7, "{x}: {value}");
    }
}

#[test]
fn masks_that_say_nothing_are_told() {
    let warning = |picture: DynamicImage| {
        let mask = decode_mask(&png(picture)).unwrap();
        mask.warning.expect("a warning")
    };
    let labels = warning(halves(Luma([1_u8]), Luma([0])).into());
    assert_eq!(
        labels,
        MaskWarning::Dark {
            largest: 1.0 / 255.0
        }
    );
    assert!(labels.to_string().contains("below 2/255"), "{labels}");
    assert!(matches!(
        warning(halves(Luma([2_u16]), Luma([1])).into()),
        MaskWarning::Dark { .. }
    ));
    for value in [0_u8, 1, 128, 255] {
        let even = warning(halves(Luma([value]), Luma([value])).into());
        assert!(matches!(even, MaskWarning::Even { .. }), "{even}");
        assert!(even.to_string().contains("are equal"), "{even}");
    }
    let clear = warning(halves(Rgba([255, 0, 0, 9_u8]), Rgba([0, 0, 0, 9])).into());
    assert_eq!(clear, MaskWarning::Even { value: 9.0 / 255.0 });
    assert_eq!(
        decode_mask(&png(halves(Luma([2_u8]), Luma([0]))))
            .unwrap()
            .warning,
        None
    );
}

#[test]
fn a_mask_lies_on_the_grid_of_its_pixels() {
    let picture = ImageBuffer::from_fn(5, 3, |x, y| Luma([(x * 10 + y) as u8]));
    let mask = decode_mask(&png(picture)).unwrap();
    assert_eq!(mask.grid, Grid::new(3, 5));
    let concept = mask.to_concept_mask(&Device::flex());
    assert_eq!(concept.grid(), Grid::new(3, 5));
    let values: Vec<f32> = concept.values().to_data().try_to_vec().unwrap();
    assert_eq!(values[7], 21.0 / 255.0);
}

#[test]
fn what_is_no_picture_is_named() {
    let path = PathBuf::from("/nonexistent/mask.png");
    let text = chain(&open_mask(&path).unwrap_err());
    assert!(text.starts_with("/nonexistent/mask.png: "), "{text}");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let text = decode_mask(pointer).unwrap_err().to_string();
    assert_eq!(text, "a git-lfs pointer, not a picture");
}
