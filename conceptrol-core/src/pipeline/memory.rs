//! Whether a generation fits into memory, estimated before it begins.

use std::fs;

use crate::pipeline::{Family, Frame, PipelineError, Request};

/// An error if the family says that more is needed than is free. Devices other than the CPU are not asked.
pub(super) fn check<F: Family + ?Sized>(
    family: &F,
    request: &Request<F::Extra>,
    frame: &Frame,
) -> Result<(), PipelineError> {
    let needed = family.memory(frame, request.vae_tile);
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
