//! What the torch twin of `fixtures/ip_adapter/generate.py` makes of the same files.

use conceptrol_core::{Concept, ReferenceTokens};

use crate::tiny::{STRENGTH, Tiny, numbers};

fn check(kind: &str, text_rows: bool) {
    let tiny = Tiny::open(kind);
    let name = |case: &str| {
        let suffix = if text_rows { "" } else { ".no_text_rows" };
        format!("{kind}.{case}{suffix}")
    };
    let embeds = tiny.encoder.embed(tiny.case.input("pixels"));
    tiny.case
        .check(&format!("{kind}.embeds"), embeds.expect("pixels"));
    tiny.case.check(&format!("{kind}.tokens"), tiny.tokens());

    let check = |case: &str, concepts| {
        let found = tiny.run(concepts, text_rows, STRENGTH);
        tiny.case.check(&name(case), found);
    };
    check("off", Vec::new());
    check("one", vec![tiny.concept(0, None)]);
    let both = tiny.tokens().narrow(0, 0, 2);
    let [pictures, tokens, width] = both.dims();
    let both = both.reshape([1, pictures * tokens, width]);
    let both = ReferenceTokens::new(both.clone(), both);
    let both = Concept::new("both", []).reference(both);
    check("one_of_two_pictures", vec![both]);
    let gates = numbers(tiny.case.input::<2>("gates"));
    let (first, second) = gates.split_at(gates.len() / 2);
    let concepts = vec![
        tiny.concept(0, Some(first.to_vec())),
        tiny.concept(1, Some(second.to_vec())),
    ];
    check("two_concepts", concepts);
}

#[test]
fn xlabs() {
    check("xlabs", true);
}

#[test]
fn instantx() {
    check("instantx", true);
}

#[test]
fn instantx_without_text_rows() {
    check("instantx", false);
}
