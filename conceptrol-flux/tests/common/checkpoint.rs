//! Writing checkpoints for tests, tensor by tensor.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use conceptrol_core::models::weights::TensorInfo;

/// Writes a safetensors file of these names and shapes; `bytes` gives the contents of each tensor, whose elements have
/// `size` bytes each and the type that the format calls `dtype`.
pub fn write(
    path: &Path,
    (dtype, size): (&str, usize),
    tensors: &[TensorInfo],
    mut bytes: impl FnMut(&TensorInfo, &mut dyn Write),
) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += size * tensor.elements();
        let entry = serde_json::json!({
            "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end],
        });
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header).expect("json");
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    file.write_all(&(header.len() as u64).to_le_bytes())
        .expect("written");
    file.write_all(&header).expect("written");
    for tensor in tensors {
        bytes(tensor, &mut file);
    }
    file.flush().expect("written");
}
