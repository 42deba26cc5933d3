//! Choosing a backend by name.

use burn::tensor::{Device, FloatDType};
use clap::ValueEnum;

/// A backend of Burn. Which ones a binary has, its cargo features say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The CPU.
    Flex,
    /// Any graphics API, WGSL shaders.
    Wgpu,
    /// Vulkan, SPIR-V shaders.
    Vulkan,
    /// Metal.
    Metal,
    /// NVIDIA.
    Cuda,
    /// AMD.
    Rocm,
}

/// The binary was built without a backend.
#[derive(Debug, Clone, thiserror::Error)]
#[error("this program was built without the backend `{name}`; build it with --features {name}")]
pub struct NotBuilt {
    name: &'static str,
}

impl Backend {
    /// The name of the backend, and of the feature that builds it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
        }
    }

    /// The default device of the backend.
    ///
    /// # Errors
    ///
    /// [`NotBuilt`] when its feature is off.
    pub fn device(self) -> Result<Device, NotBuilt> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "metal")]
            Self::Metal => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[cfg(feature = "rocm")]
            Self::Rocm => Ok(Device::rocm(0)),
            #[allow(
                unreachable_patterns,
                reason = "reached for backends whose feature is off"
            )]
            other => Err(NotBuilt { name: other.name() }),
        }
    }

    /// By how much golden tolerances are widened: they were measured on a CPU.
    pub fn tolerance_factor(self) -> f64 {
        if self == Self::Flex { 1.0 } else { 10.0 }
    }
}

/// A type to compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, more of them for the fraction.
    F16,
    /// 16 bits, more of them for the exponent.
    Bf16,
}

impl From<Precision> for FloatDType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::F16 => Self::F16,
            Precision::Bf16 => Self::BF16,
        }
    }
}
