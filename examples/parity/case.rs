//! Reading a case: its parameters, its files, its tensors.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, Device, Tensor, TensorData};
use conceptrol_core::models::config::parse_python_json;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A golden case.
#[derive(Debug)]
pub(crate) struct Case {
    pub name: String,
    pub kind: String,
    pub directory: PathBuf,
    pub json: Value,
}

/// A golden tensor, its values as f32 whatever they were stored as.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

pub(crate) type Arrays = BTreeMap<String, Array>;

impl Case {
    /// The case in `directory`, or those below it, by name.
    pub(crate) fn find(directory: &Path) -> Result<Vec<Self>, Box<dyn Error>> {
        let file = directory.join("case.json");
        if file.exists() {
            return Ok(vec![Self::open(directory)?]);
        }
        let mut folders = Vec::new();
        for entry in
            fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        folders.sort();
        let mut cases = Vec::new();
        for folder in folders {
            cases.extend(Self::find(&folder)?);
        }
        Ok(cases)
    }

    fn open(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let file = directory.join("case.json");
        // written by Python, which spells infinities
        let json = parse_python_json(&fs::read_to_string(&file)?)?;
        let text = |field: &str| {
            let value = json[field].as_str().map(str::to_owned);
            value.ok_or_else(|| format!("{}: no string `{field}`", file.display()))
        };
        Ok(Self {
            name: text("name")?,
            kind: text("kind")?,
            directory: directory.to_owned(),
            json,
        })
    }

    /// The parameters.
    pub(crate) fn params(&self) -> &Value {
        &self.json["params"]
    }

    /// A file the case names.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf, Box<dyn Error>> {
        let path = self.json["files"][name]
            .as_str()
            .ok_or_else(|| format!("the case names no file `{name}`"))?;
        Ok(self.directory.join(path))
    }

    /// The files a case names as a list, or the one it names.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        let named = &self.json["files"][name];
        let list = named.as_array().into_iter().flatten();
        let paths = list.chain(named.is_string().then_some(named));
        paths
            .filter_map(|path| Some(self.directory.join(path.as_str()?)))
            .collect()
    }

    /// Whether the case names a file `name`.
    pub(crate) fn has_file(&self, name: &str) -> bool {
        !self.json["files"][name].is_null()
    }

    /// A picture, relative to the set of cases.
    pub(crate) fn image(&self, path: &str) -> PathBuf {
        self.directory.join("..").join(path)
    }

    pub(crate) fn inputs(&self) -> Result<Arrays, Box<dyn Error>> {
        read_arrays(&self.directory.join("inputs.safetensors"))
    }

    pub(crate) fn expected(&self) -> Result<Arrays, Box<dyn Error>> {
        read_arrays(&self.directory.join("expected.safetensors"))
    }

    /// `expected.json` of the cases that compare text.
    pub(crate) fn expected_json(&self) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&fs::read_to_string(
            self.directory.join("expected.json"),
        )?)?)
    }
}

impl Array {
    /// As a tensor of `D` axes.
    pub(crate) fn tensor<const D: usize>(
        &self,
        device: &Device,
    ) -> Result<Tensor<D>, Box<dyn Error>> {
        self.expect_axes(D)?;
        Ok(Tensor::from_data(
            TensorData::new(self.values.clone(), self.shape.clone()),
            (device, DType::F32),
        ))
    }

    /// As token ids, one list a row.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ids are small whole numbers"
    )]
    pub(crate) fn ids(&self) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
        self.expect_axes(2)?;
        Ok(self
            .values
            .chunks(self.shape[1].max(1))
            .map(|row| row.iter().map(|id| *id as u32).collect())
            .collect())
    }

    /// Entry `index` of the first axis.
    pub(crate) fn row(&self, index: usize) -> Self {
        let shape = self.shape[1..].to_vec();
        let len: usize = shape.iter().product();
        Self {
            values: self.values[index * len..(index + 1) * len].to_vec(),
            shape,
        }
    }

    fn expect_axes(&self, axes: usize) -> Result<(), Box<dyn Error>> {
        if self.shape.len() == axes {
            return Ok(());
        }
        Err(format!(
            "a tensor of shape {:?} where {axes} axes were expected",
            self.shape
        )
        .into())
    }
}

/// The values of a tensor on the host.
pub(crate) fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    let shape = tensor.dims().to_vec();
    let values = tensor
        .into_data()
        .convert::<f32>()
        .try_into_vec::<f32>()
        .expect("converted to f32");
    Array { shape, values }
}

/// Token ids as an array.
#[expect(clippy::cast_precision_loss, reason = "ids are far below 2^24")]
pub(crate) fn id_array(rows: &[Vec<u32>]) -> Array {
    let columns = rows.first().map_or(0, Vec::len);
    Array {
        shape: vec![rows.len(), columns],
        values: rows.iter().flatten().map(|id| *id as f32).collect(),
    }
}

/// Reads every tensor of a safetensors file.
pub(crate) fn read_arrays(path: &Path) -> Result<Arrays, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = SafeTensors::deserialize(&bytes)?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let data = view.data();
            #[expect(clippy::cast_precision_loss, reason = "ids are far below 2^24")]
            let values = match view.dtype() {
                Dtype::F32 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes))
                    .collect(),
                Dtype::I32 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| i32::from_le_bytes(*bytes) as f32)
                    .collect(),
                Dtype::I64 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| i64::from_le_bytes(*bytes) as f32)
                    .collect(),
                Dtype::U8 => data.iter().map(|byte| f32::from(*byte)).collect(),
                other => return Err(format!("{}: {name} is {other:?}", path.display()).into()),
            };
            Ok((
                name,
                Array {
                    shape: view.shape().to_vec(),
                    values,
                },
            ))
        })
        .collect()
}
