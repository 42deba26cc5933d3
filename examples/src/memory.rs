//! How much memory the process has used.

/// The largest resident size so far in bytes, where the system says it (Linux).
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Bytes as a person reads them.
///
/// ```
/// assert_eq!(conceptrol_examples::memory::human(3 << 30), "3.00 GiB");
/// assert_eq!(conceptrol_examples::memory::human(1536), "1.50 KiB");
/// ```
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn human(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    let value = bytes as f64 / (1_u64 << (10 * power)) as f64;
    let unit = units[power as usize];
    if power == 0 {
        format!("{bytes} {unit}")
    } else {
        format!("{value:.2} {unit}")
    }
}
