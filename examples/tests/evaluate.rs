//! `evaluate` as people run it: killed and continued, in shards, with data that do not fit.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use image::{GrayImage, Luma};
use tempfile::TempDir;

/// The program, built beside this test.
fn program() -> Command {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(2).expect("a target folder");
    Command::new(folder.join("examples/evaluate"))
}

fn world() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/world")
}

/// Few scenes and steps.
const SMALL: [&str; 5] = ["blocks", "--count", "3", "--steps", "3"];

fn small(out: &Path) -> Command {
    let mut command = program();
    command.args(SMALL).arg("--out").arg(out);
    command
}

fn succeeds(command: &mut Command) {
    let output = command
        .output()
        .expect("the example is built with the tests");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The complaint of a run that is refused.
fn refused(command: &mut Command) -> String {
    let output: Output = command
        .output()
        .expect("the example is built with the tests");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn rows(out: &Path, name: &str) -> String {
    fs::read_to_string(out.join(name)).expect("rows")
}

#[test]
fn killed_five_times_the_rows_are_those_of_an_undisturbed_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    succeeds(&mut small(&whole));
    for kill in 0..5 {
        let mut run = small(&killed);
        let mut child = run.stderr(Stdio::null()).spawn().expect("it starts");
        // whenever that is: before the first row, in the middle of one, after the last
        thread::sleep(Duration::from_millis(40 + 170 * kill));
        let _ = child.kill();
        child.wait().expect("it ends");
    }
    // what a machine that loses power in the middle of a line leaves
    let journal = killed.join("blocks.jsonl");
    let mut torn = fs::read(&journal).unwrap_or_default();
    torn.truncate(torn.len().saturating_sub(7));
    fs::write(&journal, torn).expect("written");
    succeeds(&mut small(&killed));
    assert_eq!(rows(&killed, "blocks.jsonl"), rows(&whole, "blocks.jsonl"));
    succeeds(&mut small(&killed));
    assert_eq!(
        rows(&killed, "blocks.jsonl"),
        rows(&whole, "blocks.jsonl"),
        "a finished run adds nothing"
    );
}

#[test]
fn shards_have_the_rows_of_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    succeeds(&mut small(&whole));
    succeeds(small(&parts).args(["--shard", "0/2"]));
    let array = [
        ("SLURM_ARRAY_TASK_ID", "1"),
        ("SLURM_ARRAY_TASK_COUNT", "2"),
    ];
    succeeds(small(&parts).envs(array));
    let whole = rows(&whole, "blocks.jsonl");
    let mut merged = String::new();
    for name in ["blocks.0-of-2.jsonl", "blocks.1-of-2.jsonl"] {
        let part = rows(&parts, name);
        let (setup, rows) = part.split_once('\n').expect("a first line");
        assert!(whole.starts_with(setup), "{name}: {setup}");
        merged.push_str(rows);
    }
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (_, expected) = whole.split_once('\n').expect("a first line");
    assert_eq!(sorted(&merged), sorted(expected));
}

#[test]
fn rows_of_another_setup_are_not_continued() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeds(&mut small(folder.path()));
    let before = rows(folder.path(), "blocks.jsonl");
    let complaint = refused(small(folder.path()).args(["--seed", "7"]));
    assert!(complaint.contains("first seed: 7 and 0"), "{complaint}");
    assert_eq!(rows(folder.path(), "blocks.jsonl"), before, "they are kept");
}

#[test]
fn a_report_of_shards_is_that_of_one_run_and_mixed_setups_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    succeeds(&mut small(&at("whole")));
    for index in ["0", "1"] {
        succeeds(small(&at(index)).args(["--shard", &format!("{index}/2")]));
    }
    let report = |folders: &[&str], out: &str| {
        let mut command = program();
        command
            .arg("report")
            .args(folders.iter().map(|name| at(name)));
        command.arg("--out").arg(at(out));
        command
    };
    succeeds(&mut report(&["whole"], "of_whole"));
    succeeds(&mut report(&["0", "1"], "of_parts"));
    for name in ["report.html", "blocks.csv", "conceptrol.json"] {
        let read = |out: &str| fs::read(at(out).join(name)).expect("written");
        assert!(read("of_whole") == read("of_parts"), "{name}");
    }
    succeeds(small(&at("other")).args(["--seed", "7"]));
    let complaint = refused(&mut report(&["whole", "other"], "mixed"));
    assert!(complaint.contains("cannot be merged"), "{complaint}");
    assert!(complaint.contains("first seed: 0 and 7"), "{complaint}");
    assert!(
        !at("mixed").join("report.html").exists(),
        "nothing is written"
    );
}

/// A world with one scene, to be broken.
fn one_scene(folder: &TempDir) -> PathBuf {
    let scenes = folder.path().join("scenes");
    fs::create_dir_all(&scenes).expect("a folder");
    for name in ["000.png", "000.0.png", "000.1.png"] {
        fs::copy(world().join("scenes").join(name), scenes.join(name)).expect("copied");
    }
    let line = fs::read_to_string(world().join("scenes/scenes.jsonl")).expect("scenes");
    fs::write(
        scenes.join("scenes.jsonl"),
        line.lines().next().expect("a scene"),
    )
    .expect("written");
    fs::write(
        folder.path().join("prompts.jsonl"),
        r#"{"prompt": "a cat on the beach", "subject": "s", "phrase": "cat"}"#,
    )
    .expect("written");
    fs::create_dir_all(folder.path().join("subjects")).expect("a folder");
    fs::write(
        folder.path().join("subjects/subjects.jsonl"),
        r#"{"id": "s", "phrase": "cat", "class": "cat", "images": ["s.png"]}"#,
    )
    .expect("written");
    scenes
}

#[test]
fn data_that_do_not_fit_are_named() {
    let broken = |name: &str, change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().expect("a folder");
        let scenes = one_scene(&folder);
        change(&scenes);
        let out = folder.path().join("out");
        let complaint = refused(small(&out).arg("--data").arg(folder.path()));
        (name.to_owned(), complaint)
    };
    let mask = |width, value| {
        move |scenes: &Path| {
            let mask = GrayImage::from_pixel(width, 64, Luma([value]));
            mask.save(scenes.join("000.1.png")).expect("saved");
        }
    };
    let caption = |scenes: &Path| {
        let path = scenes.join("scenes.jsonl");
        let line = fs::read_to_string(&path)
            .expect("scenes")
            .replace("\"caption\": \"", "\"caption\": \"x");
        let line = line
            .replace("elephant", "owl")
            .replacen("owl", "elephant", 1);
        fs::write(path, line).expect("written");
    };
    let cases = [
        (broken("another size", &mask(32, 255)), "(32, 64)"),
        (broken("empty", &mask(64, 0)), "covers 0 of 4096"),
        (broken("everything", &mask(64, 255)), "covers 4096 of 4096"),
        (
            broken("missing", &|scenes| {
                fs::remove_file(scenes.join("000.1.png")).expect("removed")
            }),
            "000.1.png",
        ),
        (broken("no such words", &caption), "does not name `owl`"),
    ];
    for ((name, complaint), expected) in cases {
        assert!(complaint.contains(expected), "{name}: {complaint}");
        assert!(complaint.contains("scenes"), "{name}: {complaint}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_the_rows_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let mut run = Command::new("sh");
    let run = run
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(program().get_program())
        .args(SMALL)
        .arg("--out")
        .arg(&out);
    let complaint = refused(run);
    assert!(complaint.contains("blocks.jsonl"), "{complaint}");
    let kept = rows(&out, "blocks.jsonl");
    assert!(kept.lines().count() > 1, "rows before the disk was full");
    succeeds(&mut small(&out));
    let undisturbed = folder.path().join("undisturbed");
    succeeds(&mut small(&undisturbed));
    assert_eq!(
        rows(&out, "blocks.jsonl"),
        rows(&undisturbed, "blocks.jsonl")
    );
}
