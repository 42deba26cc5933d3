//! The instructions that make objects: here they make tensors and dictionaries, and nothing else.

use super::{
    machine::Machine,
    value::{Global, Storage, StoredTensor, Value},
};
use crate::models::weights::dtype::StoredDType;

/// Arguments of a constructor that are looked at.
const MOST_ARGUMENTS: usize = 8;
/// Axes a tensor of torch can have.
const MOST_AXES: usize = 64;

impl Machine<'_> {
    /// `("storage", type, key, location, elements)`, and before torch 1.6 a view of another storage, which nothing has
    pub(super) fn persistent(&mut self) -> Result<(), String> {
        let Value::Tuple(id) = self.pop()? else {
            return Err("a persistent id is not a tuple".to_owned());
        };
        let [
            Value::Text(kind),
            Value::Global(global),
            Value::Text(key),
            _,
            Value::Int(elements),
            ref view @ ..,
        ] = *self.heap.tuple(id)
        else {
            return Err("a persistent id is not that of a storage".to_owned());
        };
        if !matches!(view, [] | [Value::None]) {
            return Err("a storage is a view of another one".to_owned());
        }
        let dtype = match global {
            Global::Storage(dtype) => Some(dtype),
            Global::UntypedStorage => None,
            other => return Err(format!("{other:?} is not a storage type")),
        };
        if self.heap.text(kind) != "storage" {
            return Err("a persistent id is not that of a storage".to_owned());
        }
        let storage = Storage {
            key,
            dtype,
            elements: length(Value::Int(elements))?,
        };
        let id = self.heap.push_storage(storage)?;
        self.stack.push(Value::Storage(id));
        Ok(())
    }

    pub(super) fn reduce(&mut self) -> Result<(), String> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = arguments else {
            return Err("a call without a tuple of arguments".to_owned());
        };
        // no constructor looks at more of them
        let arguments = self.heap.tuple(arguments);
        let arguments = arguments[..arguments.len().min(MOST_ARGUMENTS)].to_vec();
        match (callable, &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => self.dict(),
            (Value::Global(Global::Size), [tuple @ Value::Tuple(_)])
            | (Value::Global(Global::RebuildParameter), [tuple @ Value::Tensor(_), ..]) => {
                self.stack.push(*tuple);
                Ok(())
            }
            (
                Value::Global(Global::RebuildTensor),
                [Value::Storage(storage), offset, shape, strides, ..],
            ) => self.tensor(*storage, *offset, *shape, *strides, None),
            (
                Value::Global(Global::RebuildTypedTensor),
                [
                    Value::Storage(storage),
                    offset,
                    shape,
                    strides,
                    _,
                    _,
                    Value::Global(Global::DType(dtype)),
                    ..,
                ],
            ) => self.tensor(*storage, *offset, *shape, *strides, Some(*dtype)),
            (Value::Global(Global::Inert), _) => {
                self.stack.push(Value::None);
                Ok(())
            }
            (callable, _) => Err(format!("{callable:?} does not take these arguments")),
        }
    }

    fn tensor(
        &mut self,
        storage: usize,
        offset: Value,
        shape: Value,
        strides: Value,
        dtype: Option<StoredDType>,
    ) -> Result<(), String> {
        let storage = self.heap.storage(storage);
        let dtype = dtype.or(storage.dtype);
        let tensor = StoredTensor {
            storage,
            dtype: dtype.ok_or("a tensor of an untyped storage names no dtype")?,
            offset: length(offset)?,
            shape: self.lengths(shape)?,
            strides: self.lengths(strides)?,
        };
        if tensor.shape.len() != tensor.strides.len() {
            return Err(format!(
                "a tensor has {} axes and {} strides",
                tensor.shape.len(),
                tensor.strides.len()
            ));
        }
        let id = self.heap.push_tensor(tensor)?;
        self.stack.push(Value::Tensor(id));
        Ok(())
    }

    /// Attributes set on a dictionary (`_metadata` of a state dict) or on nothing are dropped.
    pub(super) fn build(&mut self) -> Result<(), String> {
        let (state, target) = (self.pop()?, self.top()?);
        match (target, state) {
            (Value::Dict(_), Value::Dict(_)) | (Value::None, _) => Ok(()),
            (target, _) => Err(format!(
                "attributes of {target:?} have no place in a tensor file"
            )),
        }
    }

    fn lengths(&self, value: Value) -> Result<Vec<usize>, String> {
        match value {
            Value::Tuple(id) if self.heap.tuple(id).len() > MOST_AXES => Err(format!(
                "a tensor of {} axes has more than {MOST_AXES}",
                self.heap.tuple(id).len()
            )),
            Value::Tuple(id) => self.heap.tuple(id).iter().map(|v| length(*v)).collect(),
            other => Err(format!("{other:?} is not a tuple of lengths")),
        }
    }
}

fn length(value: Value) -> Result<usize, String> {
    match value {
        Value::Int(number) => {
            usize::try_from(number).map_err(|_| format!("{number} is not a length"))
        }
        other => Err(format!("{other:?} is not a length")),
    }
}
