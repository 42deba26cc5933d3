//! Where weights live, and how their files are read, does not change the picture.

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use conceptrol_core::{models::weights::Files, pipeline::Residency};

use crate::tiny::{flux, latents, lora, open, options, request};

#[test]
fn residency_does_not_change_the_picture() {
    let run = |residency| {
        let flux = open(options().residency(residency).lora(lora(), 0.5));
        // Twice: nothing is left behind by the first generation.
        let [first, second] = [(); 2].map(|()| latents(&flux, &request()));
        assert_eq!(first, second, "{residency:?}");
        first
    };
    let expected = run(Residency::Memory);
    assert_eq!(run(Residency::WhileUsed), expected);
    assert_eq!(run(Residency::Disk), expected);
}

#[test]
fn mapped_files_give_the_same_picture() {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    fn in_memory(path: &Path) -> io::Result<Bytes> {
        OPENED.fetch_add(1, Ordering::Relaxed);
        fs::read(path).map(Bytes::from)
    }
    let mapped = open(options().files(Files::Mapped(in_memory)));
    assert_eq!(OPENED.load(Ordering::Relaxed), 0, "opening maps nothing");
    assert_eq!(latents(&mapped, &request()), latents(&flux(), &request()));
    let opened = OPENED.load(Ordering::Relaxed);
    assert_eq!(
        opened, 4,
        "two text encoders, the transformer, the autoencoder"
    );
    latents(&mapped, &request());
    assert_eq!(
        OPENED.load(Ordering::Relaxed),
        opened,
        "they stay in memory"
    );
}
