use super::Backend;

/// A name that is no backend's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown backend `{0}`: flex, wgpu, vulkan, metal, cuda, rocm or remote:HOST:PORT")]
pub struct UnknownBackend(pub(super) String);

/// A backend cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The program was built without it.
    #[error(
        "this program was built without the backend `{backend}`; build it with --features {}",
        backend.feature()
    )]
    NotBuilt {
        /// The backend.
        backend: Backend,
    },
    /// No device of the backend computes: no card, no driver, or the driver refuses.
    #[error("no device of the backend `{backend}` computes here: {reason}")]
    NoDevice {
        /// The backend.
        backend: Backend,
        /// What Burn says.
        reason: String,
    },
    /// The device does not compute in the type.
    #[error("the device of the backend `{backend}` does not compute in {dtype}")]
    NoDtype {
        /// The backend.
        backend: Backend,
        /// The type.
        dtype: &'static str,
    },
    /// The server of a remote device.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Remote(#[from] conceptrol_core::remote::RemoteError),
}

impl DeviceError {
    /// Whether it is that the connection to a remote device was lost: what was finished before is finished.
    pub const fn is_lost(&self) -> bool {
        #[cfg(feature = "remote")]
        if let Self::Remote(conceptrol_core::remote::RemoteError::Lost { .. }) = self {
            return true;
        }
        false
    }
}
