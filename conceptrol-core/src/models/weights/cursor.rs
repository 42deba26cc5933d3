use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use burn::{
    module::{Param, ParamId},
    tensor::{DType, Device, FloatDType, Shape, Tensor},
};

use super::{
    checkpoint::{Checkpoint, axes},
    compact::Keep,
    dtype::StoredDType,
    entry::TensorInfo,
    error::WeightError,
    ledger::Ledger,
    random,
    spares::Spares,
};
use crate::{
    cancel::Cancel,
    kernel::CompactMatrix,
    models::lora::{Delta, Deltas},
};

/// A place in a tree of named weights, from which model constructors take what they need.
///
/// Taking never fails: a tensor that is missing or has another shape is noted and replaced by a placeholder that
/// holds no memory, and [`finish`](Self::finish) reports all of them at once. Clones and children share one account,
/// so it does not matter which of them finishes, and a block may be read again and again.
///
/// ```
/// use burn::tensor::Device;
/// use conceptrol_core::models::{nn::Linear, weights::Weights};
///
/// let weights = Weights::names(&Device::flex());
/// let _linear = Linear::new(&weights.at("blocks").at(0).at("to_q"), 8, 4, true);
/// let names: Vec<_> = weights.finish()?.into_iter().map(|tensor| tensor.to_string()).collect();
/// assert_eq!(names, ["blocks.0.to_q.weight [4, 8] f32", "blocks.0.to_q.bias [4] f32"]);
/// # Ok::<(), conceptrol_core::models::weights::WeightError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Weights {
    shared: Arc<Shared>,
    path: String,
    device: Device,
    dtype: FloatDType,
    /// False while a model is only compared with the file.
    reads: bool,
    /// True where 16-bit tensors are not widened.
    keeps_half: bool,
    /// Switches reading off, too.
    cancel: Option<Cancel>,
    /// What the weights of linear layers take in memory.
    keep: Keep,
    /// What is added to weights as they are read.
    deltas: Option<Arc<Deltas>>,
    /// Where memory comes from.
    spares: Option<Arc<Spares>>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
enum Source {
    Checkpoint(Checkpoint),
    Random(u64),
    Names,
}

impl Weights {
    /// Opens `path` as [`Checkpoint::open`] does; tensors are cast to `dtype` as they are taken.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::open`].
    pub fn open(
        path: impl AsRef<Path>,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Self, WeightError> {
        Ok(Self::from_checkpoint(
            Checkpoint::open(path)?,
            device,
            dtype,
        ))
    }

    /// Takes from a checkpoint that is open already, perhaps with its keys mapped.
    pub fn from_checkpoint(checkpoint: Checkpoint, device: &Device, dtype: FloatDType) -> Self {
        Self::new(Source::Checkpoint(checkpoint), device, dtype)
    }

    /// Invents every tensor: small numbers that depend on `seed` and the name, biases 0, norms 1.
    pub fn random(seed: u64, device: &Device, dtype: FloatDType) -> Self {
        Self::new(Source::Random(seed), device, dtype)
    }

    /// Gives placeholders only, to learn from [`finish`](Self::finish) which tensors a model has.
    pub fn names(device: &Device) -> Self {
        Self::new(Source::Names, device, FloatDType::F32)
    }

    fn new(source: Source, device: &Device, dtype: FloatDType) -> Self {
        Self {
            shared: Arc::new(Shared {
                source,
                ledger: Mutex::default(),
            }),
            path: String::new(),
            device: device.clone(),
            dtype,
            reads: true,
            keeps_half: false,
            cancel: None,
            keep: Keep::default(),
            deltas: None,
            spares: None,
        }
    }

    /// The child scope `name`, which may hold dots itself.
    #[must_use]
    pub fn at(&self, name: impl fmt::Display) -> Self {
        let mut child = self.clone();
        child.path = self.full(name);
        child
    }

    /// Full dotted name of this scope; empty at the root.
    pub fn path(&self) -> String {
        self.path.clone()
    }

    /// The device tensors are put on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type tensors are cast to.
    pub fn dtype(&self) -> FloatDType {
        self.dtype
    }

    /// The same scope, casting to `dtype` from here on (norms that must stay in f32, say).
    #[must_use]
    pub fn with_dtype(&self, dtype: FloatDType) -> Self {
        Self {
            dtype,
            ..self.clone()
        }
    }

    /// The same scope, leaving 16-bit tensors as they are stored where they would be widened to f32, on devices that can
    /// hold them: half the memory for weights that are used once in a while and cast, exactly, when they are.
    #[must_use]
    pub fn keep_half(&self) -> Self {
        Self {
            keeps_half: true,
            ..self.clone()
        }
    }

    /// The same scope, with other memory for the weights of linear layers from here on.
    #[must_use]
    pub fn keeping(&self, keep: Keep) -> Self {
        Self {
            keep,
            ..self.clone()
        }
    }

    /// The same scope where weights are rounded no further than the file has them: for small layers that the rest hangs on.
    #[must_use]
    pub fn not_rounded(&self) -> Self {
        self.keeping(match self.keep {
            Keep::Computed => Keep::Computed,
            _ => Keep::Stored,
        })
    }

    /// The same scope with low-rank files merged: each weight they change is read, changed in f32 and cast, one after the
    /// other, so that no second copy of the model exists. Names are those of the whole model, below the root.
    #[must_use]
    pub fn merging(&self, deltas: Arc<Deltas>) -> Self {
        Self {
            deltas: Some(deltas).filter(|deltas| !deltas.is_empty()),
            ..self.clone()
        }
    }

    /// The same scope, giving placeholders: a model built from it is compared with the file, and nothing is read.
    ///
    /// For models that are streamed: build one from this, [`finish`](Self::finish), then read block by block.
    #[must_use]
    pub fn unread(&self) -> Self {
        Self {
            reads: false,
            ..self.clone()
        }
    }

    /// The same scope, giving placeholders once the switch is on: for blocks of a generation that need not be read any more.
    #[must_use]
    pub fn until(&self, cancel: &Cancel) -> Self {
        Self {
            cancel: Some(cancel.clone()),
            ..self.clone()
        }
    }

    /// The same scope, whose tensors are read into the memory of tensors that it has read before and that are gone: for blocks
    /// that are alike and read one after the other. When the scope and its children go, spare memory does.
    #[must_use]
    pub fn recycling(&self) -> Self {
        Self {
            spares: Some(Arc::default()),
            ..self.clone()
        }
    }

    fn reads(&self) -> bool {
        let cancelled = self.cancel.as_ref().is_some_and(Cancel::is_cancelled);
        self.reads && !cancelled
    }

    /// Whether `name` (or an alias of it) is in this scope. Always true without a checkpoint.
    pub fn has(&self, name: &str) -> bool {
        match &self.shared.source {
            Source::Checkpoint(checkpoint) => self
                .ledger()
                .resolve(checkpoint, &self.full(name))
                .is_some(),
            Source::Random(_) | Source::Names => true,
        }
    }

    /// Below this scope, tries the dotted segments `old` where `new` is not found.
    ///
    /// Aliases are applied one after the other, each to what the ones before it have made of the name.
    pub fn alias(&self, new: &str, old: &str) {
        self.ledger().alias(&self.path, new, old);
    }

    /// Tensors of this scope whose name begins with `prefix` may be left over.
    pub fn ignore_unexpected(&self, prefix: &str) {
        let prefix = self.full(prefix);
        self.ledger().ignore(prefix);
    }

    /// Takes a tensor of this scope.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Param<Tensor<D>> {
        let name = self.full(name);
        match &self.shared.source {
            Source::Checkpoint(checkpoint) => self.stored(checkpoint, &name, shape),
            Source::Random(seed) => {
                self.ledger().request(&name, &shape, self.dtype.into());
                let tensor = random::tensor(*seed, &name, shape, &self.device, self.dtype);
                Param::initialized(ParamId::new(), tensor)
            }
            Source::Names => {
                self.ledger().request(&name, &shape, self.dtype.into());
                self.placeholder(shape)
            }
        }
    }

    /// Takes the matrix `[d_out, d_in]` of a linear layer, if it is [kept](Keep) in fewer bytes than the type that is computed in
    /// takes; if it is not, the caller takes a [`tensor`](Self::tensor).
    ///
    /// What low-rank files change is not kept: sums are of the type that is computed in.
    pub fn compact(&self, name: &str, shape: [usize; 2]) -> Option<CompactMatrix> {
        let name = self.full(name);
        let changed = (self.deltas.as_ref()).is_some_and(|d| !d.of_weight(&name).is_empty());
        if self.keep == Keep::Computed || !self.reads() || changed {
            return None;
        }
        let matrix = match &self.shared.source {
            Source::Checkpoint(checkpoint) => {
                let stored = self.ledger().resolve(checkpoint, &name)?;
                let spares = self.spares.as_ref();
                let loaded =
                    checkpoint.load_compact_with(&stored, shape, self.keep, self.dtype, spares);
                let matrix = loaded.transpose()?;
                self.locate(checkpoint, &name, shape)?;
                matrix
            }
            Source::Random(seed) => {
                let matrix = random::matrix(*seed, &name, shape, self.keep, self.dtype)?;
                self.ledger().request(&name, &shape, self.dtype.into());
                Ok(matrix)
            }
            Source::Names => return None,
        };
        matrix.map_err(|error| self.ledger().fail(error)).ok()
    }

    fn stored<const D: usize>(
        &self,
        checkpoint: &Checkpoint,
        name: &str,
        shape: [usize; D],
    ) -> Param<Tensor<D>> {
        let Some(stored) = self.locate(checkpoint, name, shape) else {
            return self.placeholder(shape);
        };
        if !self.reads() {
            return self.placeholder(shape);
        }
        let dtype = checkpoint
            .get(&stored)
            .map_or(self.dtype, |(dtype, _)| self.loaded_as(dtype));
        let deltas = self.deltas.as_ref().map_or(&[][..], |d| d.of_weight(name));
        let spares = self.spares.as_ref();
        let load = |dtype| checkpoint.load_with(&stored, &self.device, dtype, spares);
        let loaded = match deltas {
            [] => load(dtype),
            deltas => load(FloatDType::F32).and_then(|weight| {
                let merge = |weight, delta: &Delta| delta.add_to(weight);
                let merged = weight.map(|weight| deltas.iter().try_fold(weight, merge));
                Ok(merged.transpose()?.map(|weight| weight.cast(dtype)))
            }),
        };
        match loaded {
            Ok(Some(tensor)) => Param::initialized(ParamId::new(), tensor),
            Ok(None) => self.placeholder(shape),
            Err(error) => {
                self.ledger().fail(error);
                self.placeholder(shape)
            }
        }
    }

    /// The type a tensor is loaded as.
    fn loaded_as(&self, stored: StoredDType) -> FloatDType {
        let half = match stored {
            StoredDType::F16 => FloatDType::F16,
            StoredDType::BF16 => FloatDType::BF16,
            _ => return self.dtype,
        };
        let keeps =
            self.keeps_half && self.dtype == FloatDType::F32 && self.device.supports_dtype(half);
        if keeps { half } else { self.dtype }
    }

    /// The stored name to read, once name, shape and type fit; otherwise the difference is noted.
    fn locate<const D: usize>(
        &self,
        checkpoint: &Checkpoint,
        name: &str,
        shape: [usize; D],
    ) -> Option<String> {
        let mut ledger = self.ledger();
        let stored = ledger.resolve(checkpoint, name);
        let found = stored.as_deref().and_then(|stored| checkpoint.get(stored));
        let dtype: StoredDType = found.map_or(self.dtype.into(), |(dtype, _)| dtype);
        let first = ledger.request(name, &shape, dtype);
        match (stored, found) {
            (Some(stored), Some(found)) => {
                ledger.consume(stored.clone());
                let fits = found.0.is_float() && axes(found.1) == Some(shape);
                if !fits && first {
                    ledger.wrong(name, &shape, found);
                }
                fits.then_some(stored)
            }
            _ => {
                if first {
                    ledger.missing(name, &shape);
                }
                None
            }
        }
    }

    /// A parameter that takes memory only if someone computes with it.
    fn placeholder<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        let dtype = DType::from(self.dtype);
        Param::uninitialized(
            ParamId::new(),
            move |device, _| Tensor::zeros(shape, (device, dtype)),
            self.device.clone(),
            false,
            Shape::from(shape),
        )
    }

    /// Builds a model from this scope and closes the account.
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Self::finish).
    pub fn build<M>(self, build: impl FnOnce(&Self) -> M) -> Result<M, WeightError> {
        let model = build(&self);
        self.finish()?;
        Ok(model)
    }

    /// Reads a part of a model that has been compared with the file before, such as a block that is streamed.
    ///
    /// # Errors
    ///
    /// [`WeightError::Io`] if the file became unreadable, [`WeightError::Compact`] for weights that cannot be rounded.
    pub fn read<M>(&self, build: impl FnOnce(&Self) -> M) -> Result<M, WeightError> {
        let part = build(self);
        self.ledger().failure()?;
        Ok(part)
    }

    /// Closes the account of this scope: every tensor asked for, in the order of asking.
    ///
    /// # Errors
    ///
    /// [`WeightError::Mismatch`] with all tensors that are missing, left over or of another shape or type, and
    /// [`WeightError::Io`] if the file became unreadable on the way.
    pub fn finish(self) -> Result<Vec<TensorInfo>, WeightError> {
        let checkpoint = match &self.shared.source {
            Source::Checkpoint(checkpoint) => Some(checkpoint),
            Source::Random(_) | Source::Names => None,
        };
        self.ledger().settle(&self.path, checkpoint)
    }

    fn full(&self, name: impl fmt::Display) -> String {
        if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The account stays consistent whatever happened to the thread that held it.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
