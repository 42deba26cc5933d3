//! What several tests need: the workspace, its pages, and the examples as programs.

#![allow(dead_code, reason = "no test needs all of it")]

pub(crate) mod golden;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of the workspace.
pub(crate) fn top() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    top.canonicalize().expect("the workspace")
}

/// All files below a folder whose names end like this, but what was built or hidden.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// An example as a program of its own, built beside this test: `cargo test` does so before the tests, unless it is told of
/// one test file with `--test`.
pub(crate) fn example(name: &str) -> Command {
    let this = env::current_exe().expect("the test binary");
    let profile = this.ancestors().nth(2).expect("deps lies in the profile");
    let program = profile
        .join("examples")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not built: run `cargo build --examples` with the features of this test",
        program.display()
    );
    Command::new(program)
}

/// Largest difference of two pictures' latents.
pub(crate) fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "as many latents");
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // NaN stays, so that no comparison passes because of it.
    differences.fold(0.0, |most, x| if x.is_nan() || x > most { x } else { most })
}
