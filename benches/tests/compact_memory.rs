//! What linear layers with weights in fewer bytes allocate, counted: never the whole weight as numbers.

use burn::tensor::{Device, FloatDType, Tensor};
use bytes::Bytes;
use conceptrol_benches::Counting;
use conceptrol_core::{
    kernel::{BlockFormat, CompactMatrix, linear_compact},
    models::weights::{Checkpoint, Format, Keep},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MB: usize = 1 << 20;
/// Of the weight.
const ROWS: usize = 6144;
const COLUMNS: usize = 4096;

/// A file of one bf16 tensor `w`, and its values.
fn file() -> Vec<u8> {
    let bytes = 2 * ROWS * COLUMNS;
    let header = format!(
        r#"{{"w":{{"dtype":"BF16","shape":[{ROWS},{COLUMNS}],"data_offsets":[0,{bytes}]}}}}"#
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    // between 2^-7 and 2^-6, with both signs
    let numbers = (0..ROWS * COLUMNS).map(|at| (at as u32).wrapping_mul(0x9e37_79b9) >> 16);
    file.extend(numbers.flat_map(|bits| ((bits as u16 & 0x807f) | 120 << 7).to_le_bytes()));
    file
}

/// One test, since they share the allocator.
#[test]
fn no_weight_is_widened_as_a_whole() {
    let device = Device::flex();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let threads = threads.expect("a pool");
    let whole = 4 * ROWS * COLUMNS; // 96 MB
    let file = Bytes::from(file());
    let load = |keep| {
        let checkpoint = Checkpoint::from_bytes("w", Format::Safetensors, file.clone());
        let checkpoint = checkpoint.expect("a checkpoint");
        let load = || checkpoint.load_compact("w", [ROWS, COLUMNS], keep, FloatDType::F32);
        let (peak, matrix) = ALLOCATOR.peak_of(load);
        (
            peak,
            matrix.expect("readable").expect("kept in fewer bytes"),
        )
    };

    // memory is shared with a file that is in memory
    let (peak, shared) = load(Keep::Stored);
    assert!(peak < MB / 2, "{peak}");
    assert_eq!(shared.size(), 2 * ROWS * COLUMNS);
    // rounded a few thousand numbers at a time
    for (keep, format) in [
        (Keep::Q8_0, BlockFormat::Q8_0),
        (Keep::Q4_0, BlockFormat::Q4_0),
    ] {
        let (peak, rounded) = load(keep);
        let expected = ROWS * COLUMNS / 32 * format.bytes();
        assert_eq!(rounded.size(), expected);
        assert!(peak < expected + 8 * MB, "{peak}");
    }

    let matrices: [(&str, CompactMatrix); 3] = [
        ("bf16", shared),
        ("Q8_0", load(Keep::Q8_0).1),
        ("Q4_0", load(Keep::Q4_0).1),
    ];
    for (name, matrix) in &matrices {
        for dtype in [FloatDType::F32, FloatDType::BF16] {
            for rows in [1, 600] {
                let x = Tensor::<2>::ones([rows, COLUMNS], &device).cast(dtype);
                let output = 4 * rows * ROWS;
                let product = || threads.install(|| linear_compact(x, matrix, None));
                let (peak, _) = ALLOCATOR.peak_of(product);
                // the output, and panels of two threads
                let most = output + 2 * 12 * MB;
                assert!(
                    peak < most && most < whole,
                    "{name}, {dtype:?}, {rows} rows: {peak}"
                );
            }
        }
    }
}
