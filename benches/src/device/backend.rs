use std::{
    error::Error,
    fmt,
    panic::{self, AssertUnwindSafe},
    str::FromStr,
};

use burn::tensor::Device;

use super::{DeviceError, Opened, UnknownBackend};

/// A backend of Burn. Which ones a program has, its cargo features say.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The device of a `conceptrol-serve` at this address.
    Remote(String),
}

/// The environment variable with the token of a remote device.
pub const TOKEN: &str = "CONCEPTROL_TOKEN";

impl Backend {
    /// Those of this machine.
    pub const LOCAL: [Self; 6] = [
        Self::Flex,
        Self::Wgpu,
        Self::Vulkan,
        Self::Metal,
        Self::Cuda,
        Self::Rocm,
    ];

    /// The cargo feature that builds it.
    pub const fn feature(&self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Remote(_) => "remote",
        }
    }

    /// Whether this program was built with it.
    pub const fn is_built(&self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
            Self::Remote(_) => cfg!(feature = "remote"),
        }
    }

    /// The default device of the backend, once it has computed something. A remote one gets the token that the environment variable
    /// `CONCEPTROL_TOKEN` holds.
    ///
    /// # Errors
    ///
    /// When its feature is off, no device computes, or the server of a remote one refuses or does not answer.
    pub fn open(&self) -> Result<Opened, DeviceError> {
        Opened::new(self)
    }

    /// The device of [`open`](Self::open) alone.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn device(&self) -> Result<Device, DeviceError> {
        Ok(self.open()?.into_device())
    }

    /// Does work with the device. Where the connection to a remote one was lost meanwhile, that is the error: what the work says of it,
    /// an error or one of Burn's panics, are its consequences.
    ///
    /// # Errors
    ///
    /// Those of the work, or if the connection was lost.
    pub fn guard<T>(
        &self,
        work: impl FnOnce() -> Result<T, Box<dyn Error>>,
    ) -> Result<T, Box<dyn Error>> {
        match panic::catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(self.lost().map_or(error, Into::into)),
            Err(panic) => match self.lost() {
                Some(lost) => Err(lost.into()),
                None => panic::resume_unwind(panic),
            },
        }
    }

    /// That the connection to a remote device was lost.
    fn lost(&self) -> Option<DeviceError> {
        match self {
            #[cfg(feature = "remote")]
            Self::Remote(address) => Some(super::remote::last(address)?.check().err()?.into()),
            _ => None,
        }
    }

    /// What went over the connection to a remote device so far, by name: messages of operations, answers that were waited for, and
    /// the bytes of both. Empty for other devices.
    pub fn traffic(&self) -> Vec<(&'static str, u64)> {
        match self {
            #[cfg(feature = "remote")]
            Self::Remote(address) => {
                let traffic = super::remote::last(address).map(|remote| remote.traffic());
                traffic.map_or_else(Vec::new, |traffic| {
                    vec![
                        ("messages sent", traffic.sent),
                        ("bytes sent", traffic.sent_bytes),
                        ("answers", traffic.received),
                        ("bytes received", traffic.received_bytes),
                    ]
                })
            }
            _ => Vec::new(),
        }
    }

    /// By how much golden tolerances are widened: they were measured on a CPU.
    pub fn tolerance_factor(&self) -> f64 {
        if *self == Self::Flex { 1.0 } else { 10.0 }
    }
}

/// As on the command line.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(address) => write!(f, "remote:{address}"),
            local => f.write_str(local.feature()),
        }
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        let unknown = || UnknownBackend(text.to_owned());
        if let Some(address) = text.strip_prefix("remote:") {
            let address = address.strip_prefix("ws://").unwrap_or(address);
            let address = address.trim_end_matches('/');
            let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
            });
            return match is_address {
                true => Ok(Self::Remote(address.to_owned())),
                false => Err(unknown()),
            };
        }
        Self::LOCAL
            .into_iter()
            .find(|backend| backend.feature() == text)
            .ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for backend in Backend::LOCAL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        for text in ["remote:gpu:3000", "remote:[::1]:3000", "remote:10.0.0.1:80"] {
            let backend: Backend = text.parse().expect("an address");
            assert_eq!(backend.to_string(), text);
        }
        let with_scheme: Result<Backend, _> = "remote:ws://gpu:3000/".parse();
        assert_eq!(with_scheme, Ok(Backend::Remote("gpu:3000".into())));
    }

    #[test]
    fn what_is_no_backend_is_refused_with_a_list() {
        for text in [
            "",
            "gpu",
            "CUDA",
            "remote",
            "remote:",
            "remote:gpu",
            "remote::3000",
            "remote:gpu:99999",
            "remote:wss://gpu:3000",
        ] {
            let error = text.parse::<Backend>().expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            assert!(error.contains("remote:HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_backend_that_is_not_built_names_its_feature() {
        let remote = Backend::Remote("127.0.0.1:1".into());
        for backend in Backend::LOCAL.into_iter().chain([remote]) {
            if backend.is_built() {
                continue;
            }
            let error = backend.device().expect_err("not built").to_string();
            let feature = format!("--features {}", backend.feature());
            assert!(error.ends_with(&feature), "{error}");
        }
    }
}
