//! Every Markdown file of the repository: its links lead somewhere, the paths it names are there, and every page is in the book.

mod common;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use common::{files, top};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What a page says that can be false.
#[derive(Debug, Default)]
struct Page {
    links: Vec<String>,
    /// Texts in backticks.
    code: Vec<String>,
    /// Of its headings, as GitHub and mdBook name them.
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a page");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut same: HashMap<String, usize> = HashMap::new();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().expect("a heading ends after it began"));
                    let before = same.entry(anchor.clone()).or_default();
                    page.anchors.insert(match *before {
                        0 => anchor,
                        n => format!("{anchor}-{n}"),
                    });
                    *before += 1;
                }
                Event::Text(text) => heading.iter_mut().for_each(|heading| *heading += &text),
                Event::Code(text) => {
                    heading.iter_mut().for_each(|heading| *heading += &text);
                    page.code.push(text.into_string());
                }
                _ => {}
            }
        }
        page
    }

    /// The links of the page at `path` that lead nowhere, or out of `home`.
    fn broken_links(&self, path: &Path, home: &Path) -> Vec<String> {
        let broken = |link: &&String| {
            if link.contains("://") || link.starts_with("mailto:") {
                return false; // not without a network
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match target {
                "" => path.to_owned(),
                target => path.parent().expect("a file").join(target),
            };
            let Ok(target) = target.canonicalize() else {
                return true;
            };
            let has_anchor = anchor.is_empty() || Self::read(&target).anchors.contains(anchor);
            !target.starts_with(home) || !has_anchor
        };
        self.links.iter().filter(broken).cloned().collect()
    }

    /// Paths named in the text of the page at `path` that are not there: `../x` from the page, `docs/x` from one of the
    /// `roots` that has that folder.
    fn absent_paths(&self, path: &Path, roots: &[PathBuf]) -> Vec<String> {
        let absent = |code: &&String| {
            let Some((first, _)) = code.split_once('/') else {
                return false;
            };
            if code.contains([' ', '*', '{', '<', '(']) || first == "target" {
                return false;
            }
            let root = match first {
                "." | ".." => path.parent(),
                first => roots
                    .iter()
                    .map(PathBuf::as_path)
                    .find(|root| root.join(first).is_dir()),
            };
            root.is_some_and(|root| !first.is_empty() && !root.join(code).exists())
        };
        self.code.iter().filter(absent).cloned().collect()
    }
}

/// `## What it *is*` is found at `#what-it-is`.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let lower = heading.trim().to_lowercase();
    lower
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// All pages below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    files(folder, ".md")
}

#[test]
fn links_lead_somewhere() {
    let (top, docs) = (top(), top().join("docs"));
    let mut broken = Vec::new();
    let pages = pages(&top);
    assert!(pages.len() > 10, "the pages are found: {pages:?}");
    for path in pages {
        // a page of the book has nothing but the book around it when it is read
        let home = if path.starts_with(&docs) { &docs } else { &top };
        for link in Page::read(&path).broken_links(&path, home) {
            broken.push(format!("{}: {link}", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn paths_in_the_text_are_there() {
    let roots = [top(), top().join("conceptrol-core/src")];
    let mut absent = Vec::new();
    for path in pages(&roots[0]) {
        for named in Page::read(&path).absent_paths(&path, &roots) {
            absent.push(format!("{}: {named}", path.display()));
        }
    }
    assert!(absent.is_empty(), "{}", absent.join("\n"));
}

#[test]
fn every_page_is_in_the_book() {
    let docs = top().join("docs");
    let summary = Page::read(&docs.join("SUMMARY.md"));
    let listed: BTreeSet<PathBuf> = summary.links.iter().map(|link| docs.join(link)).collect();
    assert_eq!(listed.len(), summary.links.len(), "no page twice");
    let is_page = |path: &PathBuf| !path.ends_with("SUMMARY.md");
    let there: BTreeSet<PathBuf> = pages(&docs).into_iter().filter(is_page).collect();
    assert_eq!(listed, there);
}

#[test]
fn what_is_wrong_in_a_page_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().canonicalize().expect("it is there");
    let page = home.join("inner/page.md");
    fs::create_dir(home.join("inner")).expect("a folder");
    let text = "# `Two` words, twice\n\n# Two words twice\n\n[a](#two-words-twice-1) [b](page.md#two-words-twice) \
        [c](#three) [d](absent.md) ![e](../absent.svg) [f](../..) [g](https://host.example/x) [h]\n\n[h]: gone.md\n\n\
        ```\n[in code](nowhere.md)\n```\n\n`inner/page.md` `inner/gone.rs` `inner/{a,b}` `elsewhere/gone.rs` `../inner` `../gone`\n";
    fs::write(&page, text).expect("a page");
    let read = Page::read(&page);
    assert_eq!(
        read.broken_links(&page, &home),
        ["#three", "absent.md", "../absent.svg", "../..", "gone.md"]
    );
    assert_eq!(
        read.absent_paths(&page, &[home]),
        ["inner/gone.rs", "../gone"]
    );
}
