//! torch's random numbers.

use conceptrol_core::models::noise::Generator;

use crate::{
    Outcome,
    case::{Array, Case},
    report::Report,
};

/// torch's own AVX-512, AVX2 and default kernels differ by up to 1.4e-6.
const TOLERANCE: f64 = 2e-6;

pub(crate) fn run(case: &Case, report: &mut Report) -> Outcome {
    let expected = case.expected()?;
    let whole = |value: &serde_json::Value| value.as_u64().ok_or("not a whole number");
    let list = |name: &str| {
        case.params()[name]
            .as_array()
            .cloned()
            .ok_or(format!("no list `{name}`"))
    };
    for seed in list("seeds")? {
        let seed = whole(&seed)?;
        for count in list("sizes")? {
            let count = usize::try_from(whole(&count)?)?;
            let drawn = Generator::new(seed).randn(&[count]);
            compare(
                report,
                &expected,
                &format!("randn.seed{seed}.n{count}"),
                drawn,
            );
        }
        let mut generator = Generator::new(seed);
        for (index, count) in list("sequence")?.iter().enumerate() {
            let count = usize::try_from(whole(count)?)?;
            let drawn = generator.randn(&[count]);
            compare(
                report,
                &expected,
                &format!("sequence.seed{seed}.{index}.n{count}"),
                drawn,
            );
        }
        let name = format!("latents_1x4x16x16.seed{seed}");
        compare(
            report,
            &expected,
            &name,
            Generator::new(seed).randn(&[1, 4, 16, 16]),
        );
    }
    Ok(())
}

fn compare(report: &mut Report, expected: &crate::case::Arrays, name: &str, values: Vec<f32>) {
    let Some(expected) = expected.get(name) else {
        return;
    };
    let exact = values.len() < 16;
    let actual = Array {
        shape: expected.shape.clone(),
        values,
    };
    report.within(name, &actual, expected, if exact { 0.0 } else { TOLERANCE });
}
