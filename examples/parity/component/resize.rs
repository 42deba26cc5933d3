//! Pillow's bicubic resize, to the bit.

use conceptrol_core::models::image::{Filter, open, resize};

use crate::{Outcome, case::Case, report::Report};

pub(crate) fn run(case: &Case, report: &mut Report) -> Outcome {
    let resized = resize(&open(&case.file("image")?)?, 512, 512, Filter::Bicubic);
    let expected = open(&case.file("expected")?)?;
    let differing = resized
        .as_raw()
        .iter()
        .zip(expected.as_raw())
        .filter(|(a, b)| a != b)
        .count();
    let same = resized.dimensions() == expected.dimensions() && differing == 0;
    report.exact("resized", same, || format!("{differing} values differ"));
    Ok(())
}
