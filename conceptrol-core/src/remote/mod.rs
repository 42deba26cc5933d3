//! Devices of another machine.
//!
//! Burn's remote backend sends tensor operations to a server that runs them; only what is read comes back. [`RemoteDevice`] is such
//! a device with a connection that ends: a server that is gone, does not answer or refuses the token is an error within seconds,
//! where Burn alone would wait. Its device goes wherever a [`Device`](burn::tensor::Device) does.
//!
//! ```no_run
//! use conceptrol_core::remote::RemoteDevice;
//!
//! let remote = RemoteDevice::connect("127.0.0.1:3000", Some("the server's token"))?;
//! let device = remote.device();
//! let sum = remote.guard(|| burn::tensor::Tensor::<1>::ones([8], &device).sum().into_data())?;
//! # Ok::<(), conceptrol_core::remote::RemoteError>(())
//! ```
//!
//! Tested over loopback (`examples/tests/remote.rs`), with the CPU behind the server; with a GPU there, untested.
//!
//! Nothing is encrypted: weights, prompts, pictures and the token can be read by whoever sees the traffic. Beyond one machine or a
//! network you trust, lead it through a tunnel (`ssh -L 3000:127.0.0.1:3000 gpu`).

mod device;
mod error;
mod frames;
mod link;
mod traffic;

pub use device::RemoteDevice;
pub use error::RemoteError;
pub use traffic::Traffic;
