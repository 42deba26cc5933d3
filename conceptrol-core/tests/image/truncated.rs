//! Pictures whose files end too early, in every format.

use std::fs;
use std::path::{Path, PathBuf};

use conceptrol_core::message::chain;
use conceptrol_core::models::image::{ImageError, decode, open, open_mask};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// Pictures of all formats: baseline and progressive JPEG, PNG of several colour types, both kinds of WebP.
const FILES: [&str; 9] = [
    "rgb.jpg",
    "progressive.jpg",
    "cmyk.jpg",
    "gray.jpg",
    "rotated.jpg",
    "source.png",
    "palette_alpha.png",
    "alpha.webp",
    "lossless.webp",
];

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for name in FILES {
        let whole = fs::read(fixtures().join(name)).unwrap();
        decode(&whole).unwrap();
        for len in 0..whole.len() {
            assert!(
                decode(&whole[..len]).is_err(),
                "{name} cut to {len} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn a_file_whose_rest_was_never_written_is_an_error() {
    // as downloads that reserve the whole length leave it
    for name in FILES {
        let mut bytes = fs::read(fixtures().join(name)).unwrap();
        let half = bytes.len() / 2;
        bytes[half..].fill(0);
        // nothing in WebP but its picture data tells that from a picture
        if !name.ends_with(".webp") {
            assert!(decode(&bytes).is_err(), "{name}");
        }
    }
}

#[test]
fn the_error_says_so_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let whole = fs::read(fixtures().join(name)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        for error in [open(&path).unwrap_err(), open_mask(&path).unwrap_err()] {
            let text = chain(&error);
            assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
            assert!(text.contains("cut short"), "{text}");
            assert!(
                matches!(error, ImageError::File { source, .. } if matches!(*source, ImageError::Decode(_)))
            );
        }
    }
}

#[test]
fn what_follows_the_end_does_not_matter() {
    for name in FILES {
        let whole = fs::read(fixtures().join(name)).unwrap();
        let mut longer = whole.clone();
        longer.extend(b"\0\xff\xd8 trailing bytes of a camera");
        assert_eq!(decode(&longer).unwrap(), decode(&whole).unwrap(), "{name}");
    }
}
