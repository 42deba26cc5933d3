//! Rust on pages is compiled, or it is a part of an example.

use std::{collections::BTreeSet, fs};

use crate::{
    block::blocks,
    common::{files, top},
};

/// Without white space, which may be broken in other places.
fn dense(code: &str) -> String {
    code.split_whitespace().collect()
}

#[test]
fn pages_with_rust_are_compiled() {
    let top = top();
    let mut compiled = BTreeSet::new();
    for source in files(&top, "lib.rs") {
        let text = fs::read_to_string(&source).expect("a source");
        let folder = source.parent().expect("a folder");
        for page in text.split('"').filter(|literal| literal.ends_with(".md")) {
            compiled.insert(folder.join(page).canonicalize().expect("a page"));
        }
    }
    let needs = |info: &str| !info.contains("ignore");
    let uncompiled: BTreeSet<String> = (blocks().into_iter())
        .filter(|block| block.is_rust() && needs(&block.info) && !compiled.contains(&block.page))
        .map(|block| block.place)
        .collect();
    assert!(uncompiled.is_empty(), "not in a doctest: {uncompiled:?}");
    // what has no language would be compiled, too
    let bare = |info: &str| info.is_empty();
    let bare: Vec<String> = (blocks().into_iter())
        .filter(|block| compiled.contains(&block.page) && bare(&block.info))
        .map(|block| block.place)
        .collect();
    assert!(bare.is_empty(), "say what it is: {bare:?}");
}

#[test]
fn other_rust_is_in_the_example_it_names() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for block in blocks() {
        if !block.is_rust() || !block.info.contains("ignore") {
            continue;
        }
        let (first, code) = block.text.split_once('\n').unwrap_or_default();
        let path = first.strip_prefix("// ").map(|path| top().join(path));
        let Some(source) = path.and_then(|path| fs::read_to_string(path).ok()) else {
            wrong.push(format!("{}: its first line names no file", block.place));
            continue;
        };
        let source = dense(&source);
        let absent = |part: &&str| !source.contains(&dense(part));
        if let Some(part) = code.split("// ...").find(absent) {
            wrong.push(format!("{}: not there:\n{part}", block.place));
        }
        found += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 3, "excerpts are found");
}
