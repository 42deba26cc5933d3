use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
};

use burn::tensor::{Device, FloatDType, Tensor};

use super::{Backend, DeviceError, Precision};

/// A device that has computed something.
#[derive(Debug, Clone)]
pub struct Opened {
    backend: Backend,
    device: Device,
}

impl Opened {
    pub(super) fn new(backend: &Backend) -> Result<Self, DeviceError> {
        let device = match backend {
            #[cfg(feature = "remote")]
            Backend::Remote(address) => super::remote::connected(address)?.device(),
            other => computing(other)?,
        };
        Ok(Self {
            backend: backend.clone(),
            device,
        })
    }

    /// The backend.
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The device.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The device alone. The connection of a remote one lives on with it.
    pub fn into_device(self) -> Device {
        self.device
    }

    /// What the device calls itself, where Burn tells; the processor's name on the CPU.
    pub fn name(&self) -> String {
        #[cfg(any(
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "cuda",
            feature = "rocm"
        ))]
        if let Some(identity) = self.device.identity() {
            return identity.name;
        }
        match &self.backend {
            Backend::Flex => crate::machine::processor(),
            other => other.to_string(),
        }
    }

    /// The type to compute in.
    ///
    /// # Errors
    ///
    /// If the device does not have it.
    pub fn float(&self, precision: Precision) -> Result<FloatDType, DeviceError> {
        let dtype = FloatDType::from(precision);
        if self.device.supports_dtype(dtype) {
            return Ok(dtype);
        }
        Err(DeviceError::NoDtype {
            backend: self.backend.clone(),
            dtype: precision.name(),
        })
    }
}

/// The default device of a backend of this machine.
fn computing(backend: &Backend) -> Result<Device, DeviceError> {
    let refused = |reason: String| DeviceError::NoDevice {
        backend: backend.clone(),
        reason,
    };
    if !backend.is_built() {
        return Err(DeviceError::NotBuilt {
            backend: backend.clone(),
        });
    }
    let opened = quietly(|| local(backend).map(|device| (computes(&device), device)));
    match opened.map_err(refused)? {
        Some((true, device)) => Ok(device),
        Some((false, _)) => Err(refused("1 + 1 is not 2 on it".into())),
        None => Err(refused("it is not of this machine".into())),
    }
}

/// The default device of a backend that was built, opened or not.
fn local(backend: &Backend) -> Option<Device> {
    match backend {
        #[cfg(feature = "flex")]
        Backend::Flex => Some(Device::flex()),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        Backend::Vulkan => Some(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        Backend::Metal => Some(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        Backend::Cuda => Some(Device::cuda(0)),
        #[cfg(feature = "rocm")]
        Backend::Rocm => Some(Device::rocm(0)),
        #[allow(
            unreachable_patterns,
            reason = "reached for backends whose feature is off"
        )]
        _ => None,
    }
}

/// Whether it knows what 1 + 1 is.
fn computes(device: &Device) -> bool {
    let one = Tensor::<1>::from_floats([1.0], device);
    (one.clone() + one).into_scalar::<f32>() == 2.0
}

/// The result of `work`, or why it panicked: Burn says so of a missing driver or card. Nothing is printed meanwhile.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    result.map_err(|panic| reason(&*panic))
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let line = text.and_then(|text| text.lines().next());
    line.unwrap_or("it says nothing").to_owned()
}
