//! Linear layers with weights in fewer bytes: the bits of the same layer with the weight widened first.

use burn::tensor::{Bytes, Device, FloatDType, Tensor};
use conceptrol_core::kernel::{
    BlockFormat, CompactError, CompactFormat, CompactMatrix, linear, linear_compact,
};

use crate::numbers::{bits, near, numbers, values};

const BLOCKS: [BlockFormat; 12] = [
    BlockFormat::Q4_0,
    BlockFormat::Q4_1,
    BlockFormat::Q5_0,
    BlockFormat::Q5_1,
    BlockFormat::Q8_0,
    BlockFormat::Q2_K,
    BlockFormat::Q3_K,
    BlockFormat::Q4_K,
    BlockFormat::Q5_K,
    BlockFormat::Q6_K,
    BlockFormat::IQ4_NL,
    BlockFormat::IQ4_XS,
];

fn formats() -> impl Iterator<Item = CompactFormat> {
    let floats = [
        CompactFormat::F16,
        CompactFormat::BF16,
        CompactFormat::F8E4M3,
        CompactFormat::F8E5M2,
    ];
    floats.into_iter().chain(BLOCKS.map(CompactFormat::Blocks))
}

/// A matrix of random bytes, drawn again block by block until their numbers are neither too large nor none.
fn random(format: CompactFormat, [rows, columns]: [usize; 2], factors: Vec<f32>) -> CompactMatrix {
    let mut state = 7u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut bytes = Vec::new();
    for _ in 0..rows * columns / format.elements() {
        loop {
            let block: Vec<u8> = (0..format.bytes()).map(|_| byte()).collect();
            let shape = [1, format.elements()];
            let one = CompactMatrix::new(format, shape, Bytes::from_elems(block.clone()), vec![]);
            let numbers = values(
                &one.expect("a block")
                    .widen(&Device::flex(), FloatDType::F32),
            );
            if numbers.iter().all(|x| x.is_finite() && x.abs() < 1e3) {
                bytes.extend(block);
                break;
            }
        }
    }
    let bytes = Bytes::from_elems(bytes);
    CompactMatrix::new(format, [rows, columns], bytes, factors).expect("whole blocks")
}

/// A matrix of small numbers in blocks of 4 bits.
pub(crate) fn rounded(shape: [usize; 2]) -> CompactMatrix {
    let numbers: Vec<f32> = values(&numbers(shape, 9))
        .iter()
        .map(|x| *x as f32)
        .collect();
    CompactMatrix::round(BlockFormat::Q4_0, shape, &numbers).expect("whole blocks")
}

/// Few rows, one block of rows, several; an inner dimension in one slice, in several, in slices that cut blocks.
#[test]
fn the_bits_of_the_widened_weight() {
    let device = Device::flex();
    for format in formats() {
        let block = format.elements();
        for (rows, d_in, d_out) in [
            (1, block, 1),
            (3, 3 * block, 33),
            (5, 17 * block, 40),
            (300, 768, 35),
        ] {
            let row_factors = (0..d_out).map(|row| 0.5 + row as f32 / 7.0).collect();
            for factors in [Vec::new(), vec![0.3], row_factors] {
                let weight = random(format, [d_out, d_in], factors);
                for dtype in [FloatDType::F32, FloatDType::BF16, FloatDType::F16] {
                    let x = numbers([2, rows, d_in], 1).cast(dtype);
                    let bias = numbers([d_out], 3).cast(dtype);
                    let widened = weight.widen(&device, dtype);
                    let expected = linear(x.clone(), widened, Some(bias.clone()));
                    let got = linear_compact(x, &weight, Some(bias));
                    assert!(
                        bits(got) == bits(expected),
                        "{format}, {rows} x {d_in} x {d_out}, {dtype:?}"
                    );
                }
            }
        }
    }
}

/// Slices of the inner dimension that neither begin nor end at blocks, and rows of an odd length.
#[test]
fn floats_in_rows_of_any_length() {
    let device = Device::flex();
    for format in formats().filter(|format| format.elements() == 1) {
        for d_in in [1, 33, 301, 770] {
            let weight = random(format, [37, d_in], Vec::new());
            let x = numbers([40, d_in], 1);
            let expected = linear(x.clone(), weight.widen(&device, FloatDType::F32), None);
            assert!(
                bits(linear_compact(x, &weight, None)) == bits(expected),
                "{format}, {d_in}"
            );
        }
    }
}

#[test]
fn a_row_of_a_batch_is_the_row_alone() {
    let weight = rounded([70, 320]);
    for dtype in [FloatDType::F32, FloatDType::BF16] {
        let x = numbers([3, 200, 320], 5).cast(dtype);
        let together = linear_compact(x.clone(), &weight, None);
        for picture in 0..3 {
            let alone = linear_compact(x.clone().narrow(0, picture, 1), &weight, None);
            assert!(bits(alone) == bits(together.clone().narrow(0, picture, 1)));
        }
        let row = linear_compact(x.clone().narrow(1, 77, 1), &weight, None);
        assert!(bits(row) == bits(together.narrow(1, 77, 1)), "{dtype:?}");
    }
}

/// ggml's rules, number by number: the scale from the largest magnitude, divided by 127 or, with its sign, by -8; integers rounded
/// half away from zero, or by adding a half and truncating.
fn by_definition(format: BlockFormat, block: &[f32]) -> Vec<u8> {
    let mut largest = 0.0f32;
    for x in block {
        if x.abs() > largest.abs() {
            largest = *x;
        }
    }
    let (scale, offset) = match format {
        BlockFormat::Q8_0 => (largest.abs() / 127.0, 0.0),
        _ => (largest / -8.0, 8.5),
    };
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut bytes = half::f16::from_f32(scale).to_le_bytes().to_vec();
    let level = |x: f32| x * inverse + offset;
    match format {
        BlockFormat::Q8_0 => bytes.extend(block.iter().map(|x| {
            let x = level(*x);
            let magnitude = (x.abs() + 0.5).floor();
            (magnitude.copysign(x) as i8) as u8
        })),
        _ => bytes.extend((0..16).map(|at| {
            let nibble = |x: f32| (level(x) as i32).min(15) as u8;
            nibble(block[at]) + 16 * nibble(block[at + 16])
        })),
    }
    bytes
}

#[test]
fn numbers_are_rounded_as_ggml_does() {
    let mut numbers: Vec<f32> = values(&numbers::<1>([32 * 500], 11))
        .iter()
        .map(|x| *x as f32)
        .collect();
    // of all sizes; one block of zeros, one whose scale has no bits left, ties of the largest, halves
    for (index, block) in numbers.chunks_mut(32).enumerate() {
        let size = 2f32.powi(index as i32 % 40 - 24);
        block.iter_mut().for_each(|x| *x *= size);
    }
    numbers[..32].fill(0.0);
    numbers[32..64].fill(1e-9);
    numbers[64] = -2.0;
    numbers[65] = 2.0;
    for (at, x) in numbers[96..128].iter_mut().enumerate() {
        *x = at as f32 / 2.0 - 8.0;
    }
    numbers[96] = 127.0;
    for format in [BlockFormat::Q8_0, BlockFormat::Q4_0] {
        let expected: Vec<u8> = numbers
            .chunks(32)
            .flat_map(|block| by_definition(format, block))
            .collect();
        let rounded = CompactMatrix::round(format, [5, 3200], &numbers).expect("whole blocks");
        let wrong = rounded
            .bytes()
            .iter()
            .zip(&expected)
            .position(|(a, b)| a != b);
        assert_eq!(wrong.map(|at| at / format.bytes()), None, "{format}");
        assert_eq!(rounded.size(), 500 * format.bytes());
    }
}

#[test]
fn what_is_refused() {
    let bytes = |len| Bytes::from_elems(vec![0u8; len]);
    let q8 = CompactFormat::Blocks(BlockFormat::Q8_0);
    let refused = |format, shape, len, factors: &[f32]| {
        let matrix = CompactMatrix::new(format, shape, bytes(len), factors.to_vec());
        matrix.expect_err("refused").to_string()
    };
    assert_eq!(
        refused(q8, [2, 33], 68, &[]),
        "rows of 33 elements are not whole blocks of 32 (Q8_0)"
    );
    assert_eq!(
        refused(q8, [2, 32], 67, &[]),
        "a matrix of 2 rows of 32 in Q8_0 takes 68 bytes, not 67"
    );
    assert_eq!(
        refused(q8, [usize::MAX, 1 << 40], 67, &[])
            .split_once(" takes")
            .expect("a length")
            .1,
        format!(" {} bytes, not 67", usize::MAX)
    );
    assert_eq!(
        refused(CompactFormat::BF16, [3, 2], 12, &[1.0, 2.0]),
        "2 factors for 3 rows: none, one, or one a row"
    );
    for (number, shown) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (1e9, "1000000000"),
    ] {
        let mut numbers = [0.5; 64];
        numbers[40] = number;
        for format in [BlockFormat::Q8_0, BlockFormat::Q4_0] {
            let error = CompactMatrix::round(format, [2, 32], &numbers).expect_err("refused");
            assert_eq!(
                error.to_string(),
                format!("{shown} cannot be rounded to {format}")
            );
        }
    }
    let format = BlockFormat::Q4_K;
    let error = CompactMatrix::round(format, [1, 256], &[0.0; 256]);
    assert_eq!(
        error.expect_err("refused"),
        CompactError::NotWritten { format }
    );
}

/// Where no kernel serves, the weight is widened first.
#[test]
fn the_portable_form() {
    let weight = rounded([33, 96]);
    let (x, bias) = (numbers([5, 96], 1), numbers([33], 2));
    let expected = linear_compact(x.clone(), &weight, Some(bias.clone()));
    let double = FloatDType::F64;
    let portable = linear_compact(x.cast(double), &weight, Some(bias.cast(double)));
    assert_eq!(portable.dtype(), burn::tensor::DType::F64);
    near(&values(&portable), &values(&expected), 1e-5);
}

#[test]
#[should_panic(expected = "")]
fn shapes_that_do_not_fit() {
    let x = Tensor::<2>::zeros([1, 64], &Device::flex());
    let _ = linear_compact(x, &rounded([4, 32]), None);
}
