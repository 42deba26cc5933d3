//! What is added to the weights of a model.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use burn::tensor::{Device, FloatDType, Tensor};

use super::factors::Factors;
use crate::models::weights::{Checkpoint, WeightError};
use crate::seam::LowRank;

/// The changes of a model's weights by the names of its modules, of any number of files.
#[derive(Debug, Clone, Default)]
pub struct Deltas(BTreeMap<String, Vec<Delta>>);

/// What one file adds to one weight. Its factors are read when they are needed.
#[derive(Debug, Clone)]
pub struct Delta {
    pub(super) file: Checkpoint,
    pub(super) factors: Factors,
    /// The rows of the stored layer that are this weight's, in its order; all if `None`.
    pub(super) rows: Option<Vec<Range<usize>>>,
    /// Factor on what is stored.
    pub(super) scale: f64,
}

impl Deltas {
    /// Adds one change of a module.
    pub(super) fn push(&mut self, module: &str, delta: Delta) {
        self.0.entry(module.to_owned()).or_default().push(delta);
    }

    /// Adds all changes of another file.
    pub fn append(&mut self, other: &Self) {
        for (module, deltas) in &other.0 {
            let own = self.0.entry(module.clone()).or_default();
            own.extend(deltas.iter().cloned());
        }
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of modules that are changed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The modules with what changes them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Delta])> {
        (self.0.iter()).map(|(module, deltas)| (module.as_str(), deltas.as_slice()))
    }

    /// All changes with another strength.
    #[must_use]
    pub fn scaled(&self, strength: f64) -> Self {
        let mut scaled = self.clone();
        let deltas = scaled.0.values_mut().flatten();
        deltas.for_each(|delta| delta.scale *= strength);
        scaled
    }

    /// All changes kept apart, on `device` as `dtype`.
    ///
    /// # Errors
    ///
    /// [`WeightError`] if a file cannot be read any more.
    pub fn apart(
        &self,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<HashMap<String, Vec<LowRank>>, WeightError> {
        let all = |(module, deltas): (&str, &[Delta])| {
            let deltas = deltas.iter().map(|delta| delta.apart(device, dtype));
            Ok((
                module.to_owned(),
                deltas.collect::<Result<_, WeightError>>()?,
            ))
        };
        self.iter().map(all).collect()
    }

    /// What changes a weight, by its full name: `conv_in.weight`.
    pub fn of_weight(&self, name: &str) -> &[Delta] {
        let module = name.strip_suffix(".weight");
        let deltas = module.and_then(|module| self.0.get(module));
        deltas.map_or(&[], Vec::as_slice)
    }
}

impl Delta {
    /// The weight with the change.
    ///
    /// # Errors
    ///
    /// [`WeightError`] if the file cannot be read any more.
    pub fn add_to<const D: usize>(&self, weight: Tensor<D>) -> Result<Tensor<D>, WeightError> {
        let change = self.dense(&weight.device())?.reshape(weight.dims());
        Ok(weight + change)
    }

    /// The change of the weight in f32, `[out, in * kernel]`.
    ///
    /// # Errors
    ///
    /// [`WeightError`] if the file cannot be read any more.
    pub fn dense(&self, device: &Device) -> Result<Tensor<2>, WeightError> {
        // of a fused layer only the rows of this one are multiplied
        let pair = match (&self.rows, &self.factors) {
            (Some(_), Factors::Product(_)) => self.factors.pair(&self.file, device)?,
            _ => None,
        };
        let own = match pair {
            Some([up, down]) => self.own_rows(up).matmul(down),
            None => self.own_rows(self.factors.dense(&self.file, device)?),
        };
        Ok(own.mul_scalar(self.scale))
    }

    /// The change as small matrices, where these are smaller than the whole, and whole where not: a `LoKr` with a full factor,
    /// a Tucker form, a `LoHa` of high rank.
    ///
    /// # Errors
    ///
    /// [`WeightError`] if the file cannot be read any more.
    pub fn apart(&self, device: &Device, dtype: FloatDType) -> Result<LowRank, WeightError> {
        let pair = match self.is_small() {
            true => self.factors.pair(&self.file, device)?,
            false => None,
        };
        let (down, up) = match pair {
            Some([up, down]) => (Some(down.cast(dtype)), up),
            None => (None, self.factors.dense(&self.file, device)?),
        };
        let up = self.own_rows(up).mul_scalar(self.scale).cast(dtype);
        Ok(LowRank { down, up })
    }

    /// Whether it is the product of two matrices with fewer elements than it.
    fn is_small(&self) -> bool {
        let small = || {
            let rank = self.factors.pair_rank(&self.file)?;
            let [outputs, inputs] = self.factors.dims(&self.file, 1)?;
            let pair = rank.checked_mul(outputs.checked_add(inputs)?)?;
            Some(pair < outputs.checked_mul(inputs)?)
        };
        small().unwrap_or(false)
    }

    fn own_rows(&self, stored: Tensor<2>) -> Tensor<2> {
        match &self.rows {
            None => stored,
            Some(rows) => {
                let part = |rows: &Range<usize>| stored.clone().slice_dim(0, rows.clone());
                Tensor::cat(rows.iter().map(part).collect(), 0)
            }
        }
    }
}
