use crate::models::weights::dtype::StoredDType;

/// A value on the stack of the machine. Compound values are indices into the [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::models::weights) enum Value {
    /// Start of the arguments of the next collecting instruction.
    Mark,
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

/// The names a tensor file may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::models::weights) enum Global {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`
    RebuildTypedTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.Size`
    Size,
    /// `torch.FloatStorage` and its kin.
    Storage(StoredDType),
    /// `torch.storage.UntypedStorage`, whose lengths are bytes.
    UntypedStorage,
    /// `torch.float8_e4m3fn` and its kin.
    DType(StoredDType),
    /// A name that trainers leave in their checkpoints beside the weights. What it makes is nothing.
    Inert,
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTypedTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch.storage" | "torch", "UntypedStorage") => Self::UntypedStorage,
            ("torch", "DoubleStorage") => Self::Storage(StoredDType::F64),
            ("torch", "FloatStorage") => Self::Storage(StoredDType::F32),
            ("torch", "HalfStorage") => Self::Storage(StoredDType::F16),
            ("torch", "BFloat16Storage") => Self::Storage(StoredDType::BF16),
            ("torch", "LongStorage") => Self::Storage(StoredDType::Int(8)),
            ("torch", "IntStorage") => Self::Storage(StoredDType::Int(4)),
            ("torch", "ShortStorage") => Self::Storage(StoredDType::Int(2)),
            ("torch", "CharStorage" | "ByteStorage") => Self::Storage(StoredDType::Int(1)),
            ("torch", "BoolStorage") => Self::Storage(StoredDType::Bool),
            ("torch", "float8_e4m3fn") => Self::DType(StoredDType::F8E4M3),
            ("torch", "float8_e5m2") => Self::DType(StoredDType::F8E5M2),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("numpy", "dtype")
            | ("_codecs", "encode") => Self::Inert,
            (module, _) if module.starts_with("pytorch_lightning.") => Self::Inert,
            _ => return None,
        })
    }
}

/// A run of elements in a member of the archive.
#[derive(Debug, Clone, Copy)]
pub(in crate::models::weights) struct Storage {
    /// Heap index of the member's key.
    pub(in crate::models::weights) key: usize,
    /// Nothing if its lengths are bytes.
    pub(in crate::models::weights) dtype: Option<StoredDType>,
    pub(in crate::models::weights) elements: usize,
}

/// A strided view of a storage.
#[derive(Debug, Clone)]
pub(in crate::models::weights) struct StoredTensor {
    pub(in crate::models::weights) storage: Storage,
    pub(in crate::models::weights) dtype: StoredDType,
    pub(in crate::models::weights) offset: usize,
    pub(in crate::models::weights) shape: Vec<usize>,
    pub(in crate::models::weights) strides: Vec<usize>,
}
