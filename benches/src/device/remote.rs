//! Remote devices of this program: one connection a server, as Burn keeps one session.

use std::{
    env, panic,
    sync::{Mutex, MutexGuard, PoisonError},
};

use conceptrol_core::remote::{RemoteDevice, RemoteError};

use super::backend::TOKEN;

static CONNECTED: Mutex<Vec<RemoteDevice>> = Mutex::new(Vec::new());

fn all() -> MutexGuard<'static, Vec<RemoteDevice>> {
    CONNECTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The device of the server at an address, connected at the first call, and again where the connection was lost.
pub(super) fn connected(address: &str) -> Result<RemoteDevice, RemoteError> {
    let mut all = all();
    let is_it = |remote: &&RemoteDevice| remote.address() == address && remote.check().is_ok();
    if let Some(remote) = all.iter().find(is_it) {
        return Ok(remote.clone());
    }
    let token = env::var(TOKEN).ok();
    let remote = RemoteDevice::connect(address, token.as_deref())?;
    // what panics because the connection is gone is reported as that, and not twice
    let (hook, link) = (panic::take_hook(), remote.clone());
    panic::set_hook(Box::new(move |info| {
        if link.check().is_ok() {
            hook(info);
        }
    }));
    all.push(remote.clone());
    Ok(remote)
}

/// The device that was connected last at an address, whether the connection holds or not.
pub(super) fn last(address: &str) -> Option<RemoteDevice> {
    let all = all();
    let mut latest = all.iter().rev();
    latest.find(|remote| remote.address() == address).cloned()
}
