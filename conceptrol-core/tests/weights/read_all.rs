use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Format};

/// Opens the bytes and reads every tensor they say is there.
///
/// # Panics
///
/// If a tensor is listed that the bytes cannot hold, or that cannot be read. The fuzz target runs this too.
pub(crate) fn read_all(format: Format, bytes: Vec<u8>) {
    let size = bytes.len();
    let Ok(checkpoint) = Checkpoint::from_bytes("fuzzed", format, bytes) else {
        return;
    };
    for info in checkpoint.tensors() {
        assert!(
            info.elements() * info.dtype.size() <= size,
            "{info} in {size} bytes"
        );
        let _: Option<Tensor<2>> = checkpoint
            .load(&info.name, &Device::flex(), FloatDType::F32)
            .expect("validated parts are readable");
    }
}
