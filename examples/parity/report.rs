//! Comparing tensors and counting.

use burn::tensor::Tensor;
use conceptrol_examples::say;

use crate::case::{Array, Arrays, Case, array};

/// Prints one line a tensor and counts.
#[derive(Debug)]
pub(crate) struct Report {
    case: String,
    noise_floor: serde_json::Value,
    factor: f64,
    pub passed: usize,
    pub failed_count: usize,
}

impl Report {
    /// Every tolerance is multiplied by `factor`.
    pub(crate) fn new(factor: f64) -> Self {
        Self {
            case: String::new(),
            noise_floor: serde_json::Value::Null,
            factor,
            passed: 0,
            failed_count: 0,
        }
    }

    pub(crate) fn begin(&mut self, case: &Case) {
        self.case.clone_from(&case.name);
        self.noise_floor = case.json["noise_floor"].clone();
    }

    /// Compares a tensor with the tolerance of the case; exactly if it names none.
    pub(crate) fn tensor<const D: usize>(
        &mut self,
        name: &str,
        actual: Tensor<D>,
        expected: &Array,
    ) {
        self.array(name, &array(actual), expected);
    }

    /// Compares an array with the tolerance of the case; exactly if it names none.
    pub(crate) fn array(&mut self, name: &str, actual: &Array, expected: &Array) {
        let tolerance = self.tolerance(name);
        self.within(name, actual, expected, tolerance);
    }

    /// The case's tolerance of a tensor; 0 if it names none.
    pub(crate) fn tolerance(&self, name: &str) -> f64 {
        let tolerance = self.noise_floor[name]["suggested_atol"].as_f64();
        tolerance.unwrap_or(0.0)
    }

    /// Compares values with the array of that name, if there is one; as many as it has take its shape.
    pub(crate) fn values(&mut self, name: &str, values: Vec<f32>, expected: &Arrays) {
        let Some(wanted) = expected.get(name) else {
            return;
        };
        let shape = if values.len() == wanted.values.len() {
            wanted.shape.clone()
        } else {
            vec![values.len()]
        };
        self.array(name, &Array { shape, values }, wanted);
    }

    /// Compares an array with a given tolerance.
    pub(crate) fn within(&mut self, name: &str, actual: &Array, expected: &Array, tolerance: f64) {
        if actual.shape != expected.shape {
            self.line(name, "-", "-", "-", false);
            say!("  shape {:?}, expected {:?}", actual.shape, expected.shape);
            return;
        }
        let tolerance = tolerance * self.factor;
        let (mut max_abs, mut max_rel) = (0.0_f64, 0.0_f64);
        for (a, b) in actual.values.iter().zip(&expected.values) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let abs = if a.is_finite() && b.is_finite() {
                (a - b).abs()
            } else {
                f64::INFINITY
            };
            max_abs = max_abs.max(abs);
            max_rel = max_rel.max(abs / b.abs().max(1e-12));
        }
        let ok = max_abs <= tolerance;
        self.line(
            name,
            &format!("{max_abs:.2e}"),
            &format!("{max_rel:.2e}"),
            &format!("{tolerance:.2e}"),
            ok,
        );
    }

    /// Compares each element with a tolerance of its own: `relative` of it and `absolute`. What is not finite is the same.
    pub(crate) fn each(
        &mut self,
        name: &str,
        actual: &Array,
        expected: &Array,
        relative: f64,
        absolute: f64,
    ) {
        let off = |(a, b): (&f32, &f32)| {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let same = a == b || (a.is_nan() && b.is_nan());
            let over = (a - b).abs() - relative * b.abs();
            if same {
                0.0
            } else if over.is_nan() {
                f64::INFINITY
            } else {
                over
            }
        };
        let pairs = actual.values.iter().zip(&expected.values);
        let worst = pairs.map(off).fold(0.0, f64::max);
        let ok = actual.shape == expected.shape && worst <= absolute;
        let shown = |number: f64| format!("{number:.2e}");
        self.line(name, &shown(worst), "-", &shown(absolute), ok);
    }

    /// Something that is the same or not.
    pub(crate) fn exact(&mut self, name: &str, same: bool, detail: impl FnOnce() -> String) {
        self.line(
            name,
            if same { "0" } else { "-" },
            if same { "0" } else { "-" },
            "exact",
            same,
        );
        if !same {
            say!("  {}", detail());
        }
    }

    /// A case, or a part of one, that cannot be run here. It is not counted.
    pub(crate) fn skipped(&self, reason: &str) {
        say!("SKIP {}: {reason}", self.case);
    }

    /// A case that ended in an error.
    pub(crate) fn failed(&mut self, error: &str) {
        self.line("-", "-", "-", "-", false);
        say!("  {error}");
    }

    fn line(&mut self, name: &str, max_abs: &str, max_rel: &str, tolerance: &str, ok: bool) {
        say!(
            "{} {name} {max_abs} {max_rel} {tolerance} {}",
            self.case,
            if ok { "ok" } else { "FAIL" }
        );
        if ok {
            self.passed += 1;
        } else {
            self.failed_count += 1;
        }
    }
}
