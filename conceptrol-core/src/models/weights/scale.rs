//! Weights stored as small floats and a factor: the scaled fp8 of `ComfyUI`.
//!
//! Beside `layer.weight` in fp8 lies `layer.scale_weight` (or `layer.weight_scale`), one number or one a row, and the weight
//! is their product. What concerns activations only (`scale_input`, `input_scale`) and the marks `scaled_fp8` and
//! `comfy_quant` hold nothing that is needed.

use std::sync::Arc;

use serde_json::Value;

use super::{
    convert,
    entry::{Entries, Entry},
    error::WeightError,
};

/// What the factor is called in place of `weight`.
const FACTORS: [&str; 2] = ["scale_weight", "weight_scale"];
/// What stands beside a weight and is about activations.
const ACTIVATIONS: [&str; 2] = ["scale_input", "input_scale"];
/// Marks a file.
const FILE_MARK: &str = "scaled_fp8";
/// Marks a weight, with the name of its format.
const WEIGHT_MARK: &str = "comfy_quant";
/// Longer than any mark.
const LONGEST_MARK: usize = 4096;

/// Gives weights their factors, and takes these and the marks out of the list.
pub(super) fn fold(entries: &mut Entries) -> Result<(), WeightError> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let marks = |name: &&String| {
        let last = last(name);
        last == FILE_MARK || last == WEIGHT_MARK
    };
    // most files have none
    let marks: Vec<String> = entries.keys().filter(marks).cloned().collect();
    let factors: Vec<String> = (entries.keys())
        .filter(|name| FACTORS.contains(&last(name).as_str()))
        .cloned()
        .collect();
    for name in marks {
        if last(&name) == WEIGHT_MARK {
            check_format(&name, &entries[&name])?;
        }
        entries.remove(&name);
    }
    for name in factors {
        let scope = scope(&name);
        let weight = format!("{scope}weight");
        let Some(shape) = entries.get(&weight).map(|entry| entry.shape.clone()) else {
            continue; // left over, which is said of it in the end
        };
        let factor = entries.remove(&name).expect("it was listed");
        let rows = shape.first().copied().unwrap_or(1);
        let count: usize = factor.shape.iter().product();
        if !factor.dtype.is_float() || (count != 1 && (count != rows || factor.shape[0] != rows)) {
            return Err(refuse(
                &factor,
                format!(
                    "{name} is {:?} {}: a factor for {weight} {shape:?} is one number or one a row",
                    factor.shape, factor.dtype
                ),
            ));
        }
        if let Some(entry) = entries.get_mut(&weight) {
            entry.scale = Some(Arc::new(factor));
        }
        for activation in ACTIVATIONS {
            entries.remove(&format!("{scope}{activation}"));
        }
    }
    Ok(())
}

/// The name up to its last segment, with the dot.
fn scope(name: &str) -> &str {
    &name[..name.rfind('.').map_or(0, |dot| dot + 1)]
}

/// That the weight is stored as this module reads it.
fn check_format(name: &str, mark: &Entry) -> Result<(), WeightError> {
    let [part] = &mark.parts[..] else {
        return Ok(());
    };
    if part.len > LONGEST_MARK {
        return Err(refuse(mark, format!("{name} has {} bytes", part.len)));
    }
    let text = part.file.read_vec(part.offset, part.len)?;
    let format = serde_json::from_slice::<Value>(&text).ok();
    let format = format.as_ref().and_then(|mark| mark["format"].as_str());
    match format {
        Some("float8_e4m3fn" | "float8_e5m2") => Ok(()),
        Some(format) => Err(refuse(
            mark,
            format!("{name} has the format {format}; float8_e4m3fn and float8_e5m2 are read"),
        )),
        None => Err(refuse(mark, format!("{name} names no format"))),
    }
}

fn refuse(entry: &Entry, reason: String) -> WeightError {
    WeightError::Malformed {
        path: (entry.parts.first())
            .map_or_else(Default::default, |part| part.file.path().to_owned()),
        reason,
    }
}

/// Factors on what is stored: one, or one a row.
pub(super) struct Scale {
    factors: Vec<f32>,
    /// Elements of a row.
    row: usize,
}

impl Scale {
    /// Reads the factors of a tensor, if it has any.
    pub(super) fn of(entry: &Entry) -> Result<Option<Self>, WeightError> {
        let Some(scale) = &entry.scale else {
            return Ok(None);
        };
        let data = convert::read_f32(scale)?;
        let elements: usize = entry.shape.iter().product();
        Ok(Some(Self {
            row: elements / data.len().max(1),
            factors: data,
        }))
    }

    /// Multiplies the elements from index `first` on.
    pub(super) fn apply(&self, mut first: usize, mut values: &mut [f32]) {
        while !values.is_empty() && self.row > 0 {
            let (row, at) = (first / self.row, first % self.row);
            let (run, rest) = values.split_at_mut(values.len().min(self.row - at));
            let factor = self.factors[row];
            run.iter_mut().for_each(|value| *value *= factor);
            first += run.len();
            values = rest;
        }
    }
}
