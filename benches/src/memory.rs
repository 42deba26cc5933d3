use std::fs;

/// The peak of resident memory since it was created, where the system tells (Linux).
#[derive(Debug)]
pub struct Peak {
    before: Option<u64>,
}

impl Peak {
    /// Starts over.
    pub fn start() -> Self {
        // "5" resets the high-water mark; where that is refused, the mark of the whole process is reported.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self {
            before: status("VmRSS:"),
        }
    }

    /// Peak resident memory of the process, in bytes.
    pub fn total(&self) -> Option<u64> {
        status("VmHWM:")
    }

    /// Peak above what was resident at the start, in bytes: allocations of the work itself.
    pub fn added(&self) -> Option<u64> {
        Some(self.total()?.saturating_sub(self.before?))
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|found| found.strip_prefix(line))?;
    let kilobytes: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
