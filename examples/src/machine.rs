//! What a program runs on.

use std::fs;

/// The processor's name and how many of its threads there are, as the system tells.
pub fn processor() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map(|name| name.trim_start_matches([':', ' ', '\t']));
    let arch = std::env::consts::ARCH;
    format!("{}, {threads} threads", name.unwrap_or(arch))
}
