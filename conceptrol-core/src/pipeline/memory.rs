//! Whether a generation fits into memory, estimated before it begins.

use std::fs;

use burn::tensor::FloatDType;

use crate::{
    kernel,
    models::{
        autoencoder_kl::AutoencoderKlConfig,
        weights::{Checkpoint, Keep, TensorInfo},
    },
    pipeline::{Family, Frame, PipelineError, Request, Residency},
};

/// About how many bytes a generation needs beyond what is in memory already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Weights of the denoiser that are not in memory yet.
    pub denoiser: u64,
    /// What a step needs beside them.
    pub denoising: u64,
    /// Weights of the autoencoder that are not in memory yet.
    pub autoencoder: u64,
    /// What decoding a picture needs beside them.
    pub decoding: u64,
}

impl Footprint {
    /// The largest sum that is in memory at one time.
    ///
    /// ```
    /// use conceptrol_core::pipeline::{Footprint, Residency};
    ///
    /// let need = Footprint { denoiser: 100, denoising: 20, autoencoder: 10, decoding: 50 };
    /// assert_eq!(need.peak(Residency::Memory), 160);
    /// assert_eq!(need.peak(Residency::WhileUsed), 120);
    /// ```
    pub fn peak(self, residency: Residency) -> u64 {
        let steps = self.denoiser.saturating_add(self.denoising);
        let pictures = self.autoencoder.saturating_add(self.decoding);
        match residency {
            Residency::Memory => (self.denoiser.saturating_add(self.autoencoder))
                .saturating_add(self.denoising.max(self.decoding)),
            _ => steps.max(pictures),
        }
    }
}

/// Bytes of all weights of a checkpoint in a type.
pub fn weight_bytes(checkpoint: &Checkpoint, dtype: FloatDType) -> u64 {
    let elements = checkpoint.tensors().map(|tensor| tensor.elements() as u64);
    let elements = elements.fold(0, u64::saturating_add);
    elements.saturating_mul(size_of(dtype))
}

/// Bytes of all weights of a checkpoint whose linear layers are kept so.
pub fn kept_bytes(checkpoint: &Checkpoint, dtype: FloatDType, keep: Keep) -> u64 {
    let bytes = |tensor: TensorInfo| keep.bytes(tensor.dtype, &tensor.shape, dtype);
    checkpoint.tensors().map(bytes).fold(0, u64::saturating_add)
}

/// Bytes that decoding one picture needs beside the weights, in tiles of `tile` pixels if given: 5.2 times its first
/// level. That was measured with SDXL's autoencoder at 1024 x 1024 pixels (`docs/performance.md`).
pub fn decoding_bytes(
    config: &AutoencoderKlConfig,
    frame: &Frame,
    tile: Option<usize>,
    dtype: FloatDType,
) -> u64 {
    let pixels = frame.size.pixels() as u64;
    let at_once = tile.map_or(pixels, |tile| pixels.min((tile as u64).saturating_pow(2)));
    let channels = config.block_out_channels.first().copied().unwrap_or(0) as u64;
    let levels = product([at_once, channels, size_of(dtype), 52]) / 10;
    // the picture itself while its tiles are joined, and all pictures as they are kept
    let whole = product([pixels, 3 * 4 * 2]);
    let kept = product([pixels, 3, frame.batch.images as u64]);
    levels.saturating_add(whole).saturating_add(kept)
}

/// A product that stays at the largest number.
pub fn product<const N: usize>(factors: [u64; N]) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}

/// Bytes of a number.
pub const fn size_of(dtype: FloatDType) -> u64 {
    match dtype {
        FloatDType::F64 => 8,
        FloatDType::F16 | FloatDType::BF16 => 2,
        _ => 4,
    }
}

/// An error if the family says that more is needed than is free. Devices other than the CPU are not asked.
pub(super) fn check<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    frame: &Frame,
) -> Result<(), PipelineError> {
    if !kernel::on_host(&family.profile().device) {
        return Ok(());
    }
    let needed = family.memory(request, frame);
    let (Some(needed), Some(available)) = (needed, available()) else {
        return Ok(());
    };
    if needed <= available {
        return Ok(());
    }
    let [_, height, width] = frame.latent_shape;
    let mut advice = vec!["lower width and height"];
    if frame.batch.images > 1 {
        advice.push("make fewer pictures at once");
    }
    if request.vae_tile.is_none() && height * width > 64 * 64 {
        advice.push("decode in tiles");
    }
    Err(PipelineError::Memory {
        needed,
        available,
        advice: advice.join(", or "),
    })
}

/// Bytes that are free on this machine and within the limit of this process's group, where the system says it (Linux).
fn available() -> Option<u64> {
    let free = meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(free.min(group().unwrap_or(u64::MAX)))
}

/// `MemAvailable` in bytes.
fn meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// What the memory limit of the control group leaves, in bytes.
fn group() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    Some(limit.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::meminfo;

    #[test]
    fn the_line_is_found() {
        let text = "MemTotal:       24576 kB\nMemFree:  1 kB\nMemAvailable:   12288 kB\n";
        assert_eq!(meminfo(text), Some(12288 * 1024));
        assert_eq!(meminfo("MemTotal: 5 kB"), None);
    }
}
