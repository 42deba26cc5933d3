//! Blocks of code on pages.

use std::{fs, path::Path, path::PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::common::{files, top};

/// A block of code.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Where it is, for a person.
    pub(crate) place: String,
    pub(crate) page: PathBuf,
    /// `rust,no_run`, `sh`, ...; empty for an indented block.
    pub(crate) info: String,
    pub(crate) text: String,
    /// Whether it comes right after another block.
    pub(crate) follows: bool,
}

impl Block {
    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.info.split(',').next() == Some("rust")
    }
}

/// The blocks of every page that people read: READMEs, the book, and what lies beside them.
pub(crate) fn blocks() -> Vec<Block> {
    let top = top();
    let all: Vec<Block> = (files(&top, ".md").iter())
        .flat_map(|page| {
            let text = fs::read_to_string(page).expect("a page");
            let name = page.strip_prefix(&top).expect("below the top");
            parse(&text, page, name)
        })
        .collect();
    assert!(all.len() > 30, "the blocks are found: {}", all.len());
    all
}

fn parse(text: &str, page: &Path, name: &Path) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut follows = false;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                open = true;
                let line = 1 + text[..range.start].matches('\n').count();
                blocks.push(Block {
                    place: format!("{}:{line}", name.display()),
                    page: page.to_owned(),
                    info: match kind {
                        CodeBlockKind::Fenced(info) => info.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    },
                    text: String::new(),
                    follows,
                });
            }
            Event::End(TagEnd::CodeBlock) => {
                open = false;
                follows = true;
            }
            Event::Text(text) if open => {
                blocks.last_mut().expect("it is open").text += &text;
            }
            _ => follows = false,
        }
    }
    blocks
}

#[test]
fn blocks_are_told_apart() {
    let text = "a\n\n```sh\nls\n```\n\n```text\nb\n```\n\nc\n\n    indented\n\n```rust,ignore\nfn f() {}\n```\n";
    let page = Path::new("page.md");
    let found = parse(text, page, page);
    let shown: Vec<_> = (found.iter())
        .map(|block| (&*block.place, &*block.info, &*block.text, block.follows))
        .collect();
    assert_eq!(
        shown,
        [
            ("page.md:3", "sh", "ls\n", false),
            ("page.md:7", "text", "b\n", true),
            ("page.md:13", "", "indented\n", false),
            ("page.md:15", "rust,ignore", "fn f() {}\n", true),
        ]
    );
    assert!(found[3].is_rust() && !found[0].is_rust());
}
