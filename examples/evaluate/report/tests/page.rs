//! The page as a file: it is whole, alone and the same every time.

use std::{collections::BTreeMap, fs, path::Path};

use super::invented::{self, METHODS};
use crate::{
    report::{report, run::ReportError},
    rows::{Attention, Overhead, Picture},
};

/// Names and contents of all files.
fn written(rows: &Path) -> BTreeMap<String, Vec<u8>> {
    let out = tempfile::tempdir().expect("a folder");
    report(&[rows.to_owned()], out.path()).expect("a report");
    let files = fs::read_dir(out.path()).expect("a folder");
    let contents = files.map(|file| {
        let file = file.expect("a file");
        let name = file.file_name().to_string_lossy().into_owned();
        (name, fs::read(file.path()).expect("written"))
    });
    contents.collect()
}

/// Panics where an element is not closed in its place.
fn check_balance(page: &str) {
    const VOID: [&str; 5] = ["meta", "img", "wbr", "br", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').expect("every tag ends");
        let name = inside.split_whitespace().next().unwrap_or(inside);
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "in <{inside}>"),
            None if VOID.contains(&name) || inside.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} are open at the end");
}

#[test]
fn the_page_is_alone_and_the_same_every_time() {
    let rows = tempfile::tempdir().expect("a folder");
    invented::everything(rows.path());
    let files = written(rows.path());
    assert_eq!(files, written(rows.path()), "the same rows, other bytes");

    let page = String::from_utf8(files["report.html"].clone()).expect("text");
    check_balance(&page);
    for outside in [
        "http:", "https:", "//", "<script", "<link", "@import", "url(",
    ] {
        let within = page
            .split("base64,")
            .map(|part| match part.split_once('"') {
                Some((picture, rest)) if !picture.contains(' ') => rest,
                _ => part,
            });
        assert!(
            within.into_iter().all(|part| !part.contains(outside)),
            "{outside}"
        );
    }
    for attribute in ["src=\"", "href=\""] {
        for address in page.split(attribute).skip(1) {
            assert!(address.starts_with("data:image/png;base64,") || address.starts_with('#'));
        }
    }
    assert!(
        page.contains("prefers-color-scheme: dark") && page.contains("color-scheme: light dark")
    );
    assert!(page.contains("width=device-width"));
    // texts from outside are texts
    assert!(
        page.contains("an apple &amp; a &lt;b&gt;house&lt;/b&gt;") && !page.contains("<b>house")
    );
    assert!(page.contains("<img") && page.contains("alt=\"concept block: "));
    for command in [
        "blocks", "masks", "sweep", "concepts", "adapters", "baseline", "training", "overhead",
    ] {
        assert!(
            page.contains(&format!("<section id=\"{command}\">")),
            "{command}"
        );
        assert!(files.contains_key(&format!("{command}.csv")), "{command}");
    }
}

#[test]
fn little_is_reported_as_well() {
    let folder = |write: &dyn Fn(&Path)| {
        let rows = tempfile::tempdir().expect("a folder");
        write(rows.path());
        written(rows.path())
    };
    // a setup without rows, a unit alone, pictures that are not there, a site that finds nothing
    let files = folder(&|rows| invented::write::<Picture>(rows, "masks", &[]));
    assert!(String::from_utf8_lossy(&files["report.html"]).contains("no rows yet"));
    let files = folder(&|rows| invented::write(rows, "masks", &invented::pictures(1, &METHODS)));
    let page = String::from_utf8_lossy(&files["report.html"]).into_owned();
    assert!(page.contains("no file") && !page.contains("NaN"));
    check_balance(&page);
    folder(&|rows| invented::write(rows, "sweep", &invented::pictures(1, &METHODS)));
    folder(&|rows| invented::write(rows, "adapters", &invented::pictures(2, &METHODS[..1])));
    folder(&|rows| {
        let mut row: Attention = invented::attention(1).remove(0);
        for areas in row.auc.values_mut().chain(row.auc_of_objects.values_mut()) {
            areas.fill(None);
        }
        invented::write(rows, "blocks", &[row]);
    });
    folder(&|rows| {
        let mut row: Overhead = invented::overhead().remove(0);
        row.seconds.clear();
        invented::write(rows, "overhead", &[row]);
    });
}

#[test]
fn folders_without_rows_are_an_error() {
    let rows = tempfile::tempdir().expect("a folder");
    let out = rows.path().join("out");
    let error = report(&[rows.path().to_owned()], &out).expect_err("there are none");
    assert!(matches!(error, ReportError::NoRows { .. }), "{error}");
    assert!(!out.exists(), "nothing is written");
    let missing = report(&[rows.path().join("missing")], &out);
    assert!(matches!(missing, Err(ReportError::Rows(_))));
}

/// `cargo test --release --workspace --example evaluate -- --ignored look`, to look at a page after a change to its style.
#[test]
#[ignore = "leaves files in target/evaluate-look"]
fn look() {
    let rows = tempfile::tempdir().expect("a folder");
    invented::everything(rows.path());
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/evaluate-look");
    let report = report(&[rows.path().to_owned()], &out).expect("a report");
    fs::write(out.join("terminal.txt"), report.to_string()).expect("written");
}
