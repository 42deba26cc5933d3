//! Rounding to blocks, by the rules of ggml's reference functions (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref`).

use burn::tensor::f16;

use super::BlockFormat;
use crate::kernel::compact::CompactError;

impl BlockFormat {
    /// Rounds numbers to whole blocks of `Q8_0` or `Q4_0`.
    ///
    /// # Errors
    ///
    /// [`CompactError::NotWritten`] for other formats, [`CompactError::Unrounded`] for a number that no block holds.
    pub(crate) fn encode(self, numbers: &[f32], into: &mut [u8]) -> Result<(), CompactError> {
        let encode = match self {
            Self::Q8_0 => q8_0,
            Self::Q4_0 => q4_0,
            format => return Err(CompactError::NotWritten { format }),
        };
        let blocks = into.chunks_exact_mut(self.bytes());
        for (numbers, block) in numbers.chunks_exact(self.elements()).zip(blocks) {
            if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
                return Err(self.refuse(*number));
            }
            encode(numbers, block).map_err(|number| self.refuse(number))?;
        }
        Ok(())
    }

    fn refuse(self, number: f32) -> CompactError {
        CompactError::Unrounded {
            number,
            format: self,
        }
    }
}

/// Puts the scale at the beginning of a block: the factor that takes numbers to integers, or the number `largest` if the scale is
/// none.
fn scale(scale: f32, largest: f32, block: &mut [u8]) -> Result<f32, f32> {
    let stored = f16::from_f32(scale);
    if !stored.is_finite() {
        return Err(largest);
    }
    block[..2].copy_from_slice(&stored.to_le_bytes());
    Ok(if scale == 0.0 { 0.0 } else { 1.0 / scale })
}

/// The number with the largest magnitude takes the integer 127 or -127.
fn q8_0(numbers: &[f32], block: &mut [u8]) -> Result<(), f32> {
    let largest = numbers.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let factor = scale(largest / 127.0, largest, block)?;
    for (to, x) in block[2..].iter_mut().zip(numbers) {
        *to = ((x * factor).round() as i8).cast_unsigned();
    }
    Ok(())
}

/// The number with the largest magnitude, the first of several, takes the integer -8.
fn q4_0(numbers: &[f32], block: &mut [u8]) -> Result<(), f32> {
    let further = |most: f32, x: &f32| if x.abs() > most.abs() { *x } else { most };
    let largest = numbers.iter().fold(0.0, further);
    let factor = scale(largest / -8.0, largest, block)?;
    // truncated, not floored: no number is below 0 here
    let integer = |x: f32| ((x * factor + 8.5) as u8).min(15);
    let (first, second) = numbers.split_at(numbers.len() / 2);
    for ((to, low), high) in block[2..].iter_mut().zip(first).zip(second) {
        *to = integer(*low) | integer(*high) << 4;
    }
    Ok(())
}
