//! The connection to a server: bytes pass through this process, so that it can be watched, counted and ended.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{
    RemoteError,
    frames::Frames,
    traffic::{Flow, Traffic},
};

/// Between two questions whether the server is alive.
const PAUSE: Duration = Duration::from_secs(2);

/// How long an answer to that may take, and how often it is asked before the server is given up. Two, since the time of a process that
/// is stopped passes, too.
const PATIENCE: Duration = Duration::from_secs(4);
const ATTEMPTS: usize = 2;

const BUFFER: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Link {
    address: String,
    server: SocketAddr,
    state: Mutex<State>,
    up: Flow,
    down: Flow,
}

#[derive(Debug, Default)]
struct State {
    /// Why it ended.
    lost: Option<String>,
    sockets: Vec<TcpStream>,
}

impl Link {
    /// A link to a server that answers, and where Burn reaches it on this machine.
    pub(super) fn open(address: &str) -> Result<(Arc<Self>, SocketAddr), RemoteError> {
        let unreachable = |error: io::Error| RemoteError::Unreachable {
            address: address.to_owned(),
            reason: error.to_string(),
        };
        let mut tried = Err(io::Error::other("the name has no address"));
        for server in address.to_socket_addrs().map_err(unreachable)? {
            tried = is_alive(server).map(|()| server);
            if tried.is_ok() {
                break;
            }
        }
        let link = Arc::new(Self {
            address: address.to_owned(),
            server: tried.map_err(unreachable)?,
            state: Mutex::default(),
            up: Flow::default(),
            down: Flow::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unreachable)?;
        let local = listener.local_addr().map_err(unreachable)?;
        spawn(&link, move |link| link.serve(&listener));
        spawn(&link, Self::watch);
        Ok((link, local))
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The error, once the link has ended.
    pub(super) fn lost(&self) -> Option<RemoteError> {
        let reason = self.state().lost.clone()?;
        Some(RemoteError::Lost {
            address: self.address.clone(),
            reason,
        })
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.up.messages(),
            sent_bytes: self.up.bytes(),
            received: self.down.messages(),
            received_bytes: self.down.bytes(),
        }
    }

    /// Ends both connections: Burn fails what it waits for. The first reason is kept.
    pub(super) fn end(&self, reason: impl Into<String>) {
        let mut state = self.state();
        state.lost.get_or_insert(reason.into());
        for socket in state.sockets.drain(..) {
            // one that the other side has closed is as good
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Leads the one connection that Burn opens to the server.
    fn serve(self: &Arc<Self>, listener: &TcpListener) {
        let connected = listener.accept().and_then(|(burn, _)| {
            let server = TcpStream::connect_timeout(&self.server, PATIENCE)?;
            for socket in [&burn, &server] {
                socket.set_nodelay(true)?;
                let mut state = self.state();
                state.sockets.push(socket.try_clone()?);
            }
            Ok((burn, server))
        });
        let (burn, server) = match connected {
            Ok(pair) => pair,
            Err(error) => return self.end(error.to_string()),
        };
        if self.state().lost.is_some() {
            return self.end("");
        }
        if let (Ok(burn), Ok(server)) = (burn.try_clone(), server.try_clone()) {
            spawn(self, move |link| {
                link.end(match pass(burn, server, &link.up) {
                    Ok(()) => "this program closed it".to_owned(),
                    Err(error) => error.to_string(),
                });
            });
        }
        self.end(match pass(server, burn, &self.down) {
            Ok(()) => "the server closed it".to_owned(),
            Err(error) => error.to_string(),
        });
    }

    /// Asks from time to time whether the server is alive.
    fn watch(self: &Arc<Self>) {
        while self.state().lost.is_none() {
            thread::sleep(PAUSE);
            let answered = || is_alive(self.server).is_ok();
            if !(0..ATTEMPTS).any(|_| answered()) {
                self.end("the server does not answer any more");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(link: &Arc<Link>, work: impl FnOnce(&Arc<Link>) + Send + 'static) {
    let link = Arc::clone(link);
    thread::spawn(move || work(&link));
}

/// Whether a server of Burn answers: it speaks HTTP, whatever it thinks of the path. A new connection each time says something of the
/// server's process and of the way to it, not of the session.
fn is_alive(server: SocketAddr) -> io::Result<()> {
    let mut socket = TcpStream::connect_timeout(&server, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.write_all(b"GET /alive HTTP/1.1\r\nHost: conceptrol\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 5];
    socket.read_exact(&mut answer)?;
    match &answer == b"HTTP/" {
        true => Ok(()),
        false => Err(io::Error::other("what answers there is no server of Burn")),
    }
}

/// Passes bytes on until the end.
fn pass(mut from: TcpStream, mut to: TcpStream, flow: &Flow) -> io::Result<()> {
    let (mut buffer, mut frames) = (vec![0; BUFFER], Frames::default());
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..length];
        flow.add(frames.count(bytes), length);
        to.write_all(bytes)?;
    }
}
