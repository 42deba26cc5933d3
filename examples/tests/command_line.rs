//! The examples as programs: help, exit status, and output that nobody takes.

mod common;

use std::{
    fs::{self, File},
    io::pipe,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use common::example;

/// A folder of which `inspect` has no complaint.
fn unet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny-sd/unet")
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the example starts")
}

/// What it wrote to standard error, which is not the place of complaints about standard output.
fn quiet(output: &Output) {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complaints, "", "{}", output.status);
    assert!(output.status.success(), "{}", output.status);
}

/// The writing end of a pipe whose reader has gone, as of `| head -1`.
fn closed_pipe() -> Stdio {
    let (_, writer) = pipe().expect("a pipe");
    writer.into()
}

#[test]
fn help_is_a_success() {
    for name in ["personalize", "parity", "inspect", "attention_maps"] {
        let help = run(example(name).arg("--help"));
        quiet(&help);
        let text = String::from_utf8(help.stdout).expect("text");
        assert!(text.contains("Usage:"), "{name}: {text}");
    }
}

#[test]
fn without_a_path_there_is_nothing_to_inspect() {
    let output = run(&mut example("inspect"));
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.contains("<DIR|FILE>"), "{complaint}");
}

#[test]
fn a_checkpoint_that_does_not_fit_is_status_1_whoever_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("empty.safetensors");
    fs::write(&file, []).expect("a file");
    let read = run(example("inspect").arg(&file));
    let unread = run(example("inspect").arg(&file).stdout(closed_pipe()));
    assert_eq!(
        (read.status.code(), unread.status.code()),
        (Some(1), Some(1))
    );
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    quiet(&run(example("inspect").arg(unet()).stdout(closed_pipe())));
    let nothing = example("inspect")
        .arg(unet())
        .stdout(closed_pipe())
        .stderr(closed_pipe())
        .status();
    assert!(nothing.expect("the example starts").success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_the_output_is_no_error() {
    let full = || {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux")
    };
    quiet(&run(example("inspect").arg(unet()).stdout(full())));

    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("maps.png");
    quiet(&run(example("attention_maps")
        .args(["--steps", "2", "--out"])
        .arg(&picture)
        .stdout(full())));
    assert!(picture.is_file(), "the picture is written");
}
