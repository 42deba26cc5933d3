use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use burn::{
    remote::{ConnectError, RemoteHost},
    tensor::Device,
};

use super::{RemoteError, Traffic, link::Link};

/// How long the server may take to open a session.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A device of a server of Burn (`burn::server::RemoteServer` over WebSocket, `conceptrol-serve`), and the connection to it.
///
/// The server computes with the operations of its backend. Kernels of this crate for the CPU are not used there, so a server on
/// Flex is slower than this machine alone.
///
/// A device keeps its connection for the life of the process; dropping this does not end it. Two devices of two servers can be used
/// side by side, but tensors do not move from one to the other.
#[derive(Debug, Clone)]
pub struct RemoteDevice {
    device: Device,
    link: Arc<Link>,
}

impl RemoteDevice {
    /// Opens a session on the first device of the server at `address` (`HOST:PORT`).
    ///
    /// # Errors
    ///
    /// If nothing answers at the address, or no session comes about within ten seconds: the token is wrong or missing, the server is
    /// of another version of Burn, or says nothing.
    pub fn connect(address: &str, token: Option<&str>) -> Result<Self, RemoteError> {
        let (link, local) = Link::open(address)?;
        let mut host = RemoteHost::websocket(&format!("ws://{local}"));
        if let Some(token) = token {
            host = host.with_credential(token);
        }
        // Burn waits for the answer as long as it takes
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(Device::remote_options(&host).init()));
        let opened = receiver.recv_timeout(HANDSHAKE);
        match opened {
            Ok(Ok(device)) => return Ok(Self { device, link }),
            Ok(Err(_)) => link.end("no session"),
            Err(_) => link.end("no answer"),
        }
        let address = address.to_owned();
        Err(match opened {
            Ok(Err(ConnectError::Unauthorized)) if token.is_some() => {
                RemoteError::WrongToken { address }
            }
            Ok(Err(ConnectError::Unauthorized)) => RemoteError::NoToken { address },
            Ok(Err(error)) => RemoteError::NoSession {
                address,
                reason: error.to_string(),
            },
            _ => RemoteError::NoSession {
                address,
                reason: format!("it did not answer for {HANDSHAKE:?}"),
            },
        })
    }

    /// The device, for tensors, weights and pipelines.
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// The server's address, as it was given.
    pub fn address(&self) -> &str {
        self.link.address()
    }

    /// What went over the connection so far, handshake and weights included.
    pub fn traffic(&self) -> Traffic {
        self.link.traffic()
    }

    /// Whether the connection holds. Operations on a device without one do nothing, and reading from it fails.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Lost`] if it does not.
    pub fn check(&self) -> Result<(), RemoteError> {
        self.link.lost().map_or(Ok(()), Err)
    }

    /// Does work that reads from the device. Pipelines return an error if that fails; Burn's `into_data` panics, which is an
    /// error here when the connection was lost, and goes on as a panic when it was not.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Lost`] if the connection does not hold before, or is lost and the work panics.
    pub fn guard<T>(&self, work: impl FnOnce() -> T) -> Result<T, RemoteError> {
        self.check()?;
        catch_unwind(AssertUnwindSafe(work)).or_else(|panic| match self.link.lost() {
            Some(lost) => Err(lost),
            None => resume_unwind(panic),
        })
    }
}
