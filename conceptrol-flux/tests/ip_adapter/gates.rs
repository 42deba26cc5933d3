//! A gate of ones is the plain adapter, one of zeros is none, and each of two concepts acts in its own region.

use burn::tensor::{FloatDType, Tensor};
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{BatchLayout, Concept, Session, SiteId, TokenLayout};
use conceptrol_flux::latents::{grid_positions, text_positions};
use conceptrol_flux::mmdit::{BlockContext, DoubleBlock, Reading, Rotary, Streams};

use crate::tiny::{GRID, STRENGTH, Tiny, numbers, transformer_folder};

const KINDS: [&str; 2] = ["xlabs", "instantx"];
const CELLS: usize = GRID.cells();

#[test]
fn ones_are_the_plain_adapter_to_the_bit() {
    for kind in KINDS {
        let tiny = Tiny::open(kind);
        for text_rows in [true, false] {
            let run = |mask| numbers(tiny.run(vec![tiny.concept(0, mask)], text_rows, STRENGTH));
            assert_eq!(run(Some(vec![1.0; CELLS])), run(None), "{kind}");
        }
    }
}

#[test]
fn zeros_and_a_strength_of_zero_are_no_adapter_to_the_bit() {
    for kind in KINDS {
        let tiny = Tiny::open(kind);
        let off = numbers(tiny.run(Vec::new(), false, STRENGTH));
        let run = |mask, text_rows, strength| {
            numbers(tiny.run(vec![tiny.concept(0, mask)], text_rows, strength))
        };
        let zeros = || Some(vec![0.0; CELLS]);
        assert_eq!(
            run(zeros(), false, STRENGTH),
            off,
            "{kind}: a gate of zeros"
        );
        assert_eq!(run(None, true, 0.0), off, "{kind}: a strength of 0");
        assert_ne!(run(None, false, STRENGTH), off, "{kind}: it acts at all");
        // the official adapter lets text look at the picture, which no gate of latents stops
        let text = run(zeros(), true, STRENGTH);
        assert_eq!(text == off, kind == "xlabs", "{kind}: text rows");
    }
}

/// The latents and text that leave the first double block.
fn block(tiny: &Tiny, concepts: Vec<Concept>) -> (Vec<f32>, Vec<f32>) {
    let (device, dtype) = (&tiny.case.device, FloatDType::F32);
    let w = Weights::open(transformer_folder(), device, dtype).expect("weights");
    let w = w.at("transformer_blocks").at(0);
    let block = DoubleBlock::new(&tiny.config, &w, SiteId::new(0));
    let width = tiny.config.inner_dim();
    let wave = |tokens: usize| {
        let values: Vec<f32> = (0..tokens * width)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        Tensor::<1>::from_floats(values.as_slice(), device).reshape([1, tokens, width])
    };
    let gated = concepts.iter().any(|concept| concept.mask.is_some());
    let plan = tiny.plan(gated, true);
    let mut session = Session::new(&plan, BatchLayout::unguided(1), concepts).expect("a session");
    let mut positions = text_positions(5);
    positions.extend(grid_positions(GRID));
    let context = BlockContext {
        vector: wave(1).reshape([1, width]),
        condition_vector: None,
        reading: Reading::default(),
        rotary: &Rotary::new(&positions, tiny.config.axes_dims_rope, device, dtype),
        layout: &TokenLayout::joint(5, GRID, []),
    };
    let streams = Streams {
        text: wave(5),
        latents: wave(CELLS),
        condition: None,
    };
    let out = block
        .forward(streams, &context, &mut session)
        .expect("a block");
    (numbers(out.latents), numbers(out.text))
}

#[test]
fn disjoint_gates_keep_concepts_apart_to_the_bit() {
    for kind in KINDS {
        let tiny = Tiny::open(kind);
        let left = |cell: usize| cell % GRID.width < 2;
        let mask = |inside: &dyn Fn(usize) -> bool| -> Option<Vec<f32>> {
            Some(
                (0..CELLS)
                    .map(|cell| f32::from(u8::from(inside(cell))))
                    .collect(),
            )
        };
        let first = || tiny.concept(0, mask(&left));
        let second = || tiny.concept(1, mask(&|cell| !left(cell)));
        let (off, text) = block(&tiny, Vec::new());
        let (together, same_text) = block(&tiny, vec![first(), second()]);
        let (only_first, _) = block(&tiny, vec![first()]);
        let (only_second, _) = block(&tiny, vec![second()]);
        assert_eq!(
            text, same_text,
            "{kind}: text does not see pictures in a double block"
        );
        let width = off.len() / CELLS;
        for cell in 0..CELLS {
            let row = |latents: &[f32]| latents[cell * width..(cell + 1) * width].to_vec();
            let (own, other) = match left(cell) {
                true => (&only_first, &only_second),
                false => (&only_second, &only_first),
            };
            assert_eq!(
                row(&together),
                row(own),
                "{kind}: cell {cell} is its concept's alone"
            );
            assert_eq!(
                row(other),
                row(&off),
                "{kind}: the other does nothing at cell {cell}"
            );
            assert_ne!(row(own), row(&off), "{kind}: cell {cell}");
        }
    }
}
