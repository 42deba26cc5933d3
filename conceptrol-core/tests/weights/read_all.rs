use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::weights::{Checkpoint, Format, WeightError};

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
        assert!(info.bytes() <= size, "{info} in {size} bytes");
        let loaded = checkpoint.load::<2>(&info.name, &Device::flex(), FloatDType::F32);
        if let Err(error) = loaded {
            assert!(
                matches!(error, WeightError::Checksum { .. }),
                "validated parts are readable: {error}"
            );
        }
    }
}
