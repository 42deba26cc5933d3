//! What a program runs on.

use std::{fs, process::Command};

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

/// The version of the driver of NVIDIA's cards, where one is installed.
pub fn nvidia_driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let line = text.lines().next()?;
    let version = line.split_whitespace().find(|word| {
        word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
    })?;
    Some(version.to_owned())
}

/// The commit this was built from: what `CONCEPTROL_COMMIT` said at build time, or what git says of the source.
pub fn commit() -> Option<String> {
    if let Some(commit) = option_env!("CONCEPTROL_COMMIT") {
        return Some(commit.to_owned());
    }
    let described = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output();
    let described = described.ok().filter(|output| output.status.success())?;
    let commit = String::from_utf8(described.stdout).ok()?;
    Some(commit.trim().to_owned())
}
