//! The manifests of the workspace: every dependency is used, every feature is in its crate's README.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const CRATES: [&str; 5] = [
    "conceptrol-core",
    "conceptrol-sd",
    "conceptrol-flux",
    "examples",
    "benches",
];

/// The keys of each section of a manifest: `dependencies` -> `burn`, ...
type Sections = BTreeMap<String, Vec<String>>;

/// Reads what the manifests here are made of: sections, and keys at the start of a line.
fn sections(manifest: &str) -> Sections {
    let mut sections = Sections::new();
    let mut name = String::new();
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            name = header.trim_matches(['[', ']']).to_owned();
        } else if line.starts_with(|c: char| c.is_ascii_lowercase()) {
            let key = line.split(['=', '.', ' ']).next().expect("one at least");
            sections
                .entry(name.clone())
                .or_default()
                .push(key.to_owned());
        }
    }
    sections
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Whether code takes something from a dependency; documentation may be code, other comments are not.
fn uses(code: &str, dependency: &str) -> bool {
    let path = format!("{}::", dependency.replace('-', "_"));
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | ':');
    let is_comment =
        |line: &str| line.starts_with("//") && !line.starts_with("///") && !line.starts_with("//!");
    let mut lines = code.lines().map(str::trim).filter(|line| !is_comment(line));
    lines.any(|line| {
        let mut found = line.match_indices(&path);
        found.any(|(at, _)| !line[..at].ends_with(part_of_name))
    })
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn dependencies_are_used() {
    let workspace = sections(&read(&top().join("Cargo.toml")));
    let mut unclaimed = workspace["workspace.dependencies"].clone();
    let mut unused = Vec::new();
    for name in CRATES {
        let folder = top().join(name);
        let all: Vec<(PathBuf, String)> = sources(&folder)
            .into_iter()
            .map(|path| (path.clone(), read(&path)))
            .collect();
        let manifest = read(&folder.join("Cargo.toml"));
        for (section, keys) in sections(&manifest) {
            if !section.ends_with("dependencies") {
                continue;
            }
            // a library's own dependencies serve its own code; examples and benchmarks are the code of their packages
            let of_library = section != "dev-dependencies" && name.starts_with("conceptrol");
            for key in keys {
                unclaimed.retain(|dependency| *dependency != key);
                let in_scope = |path: &Path| !of_library || path.starts_with(folder.join("src"));
                // an optional one may be named to switch a feature of it on, for another that depends on it
                let switched = manifest.contains(&format!("\"dep:{key}\", \"{key}/"));
                let used = |(path, code): &(PathBuf, String)| in_scope(path) && uses(code, &key);
                if !switched && !all.iter().any(used) {
                    unused.push(format!("{name}, {section}: {key}"));
                }
            }
        }
    }
    assert!(unused.is_empty(), "unused:\n{}", unused.join("\n"));
    assert!(
        unclaimed.is_empty(),
        "no member of the workspace asks for {unclaimed:?}"
    );
}

#[test]
fn features_are_in_the_readme() {
    for name in CRATES.iter().filter(|name| name.starts_with("conceptrol")) {
        let folder = top().join(name);
        let (manifest, readme) = (
            read(&folder.join("Cargo.toml")),
            read(&folder.join("README.md")),
        );
        for feature in &sections(&manifest)["features"] {
            let said = readme.contains(&format!("`{feature}`"));
            assert!(
                said || feature == "default",
                "{name}: `{feature}` is not in the README"
            );
        }
    }
}

/// The packages that `conceptrol-core` is built with, itself included, down to a depth.
fn built_with(features: &str, depth: &str) -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").expect("cargo runs the tests");
    let output = Command::new(cargo)
        .current_dir(top())
        .args([
            "tree",
            "--quiet",
            "--offline",
            "--prefix",
            "none",
            "--edges",
            "normal",
        ])
        .args(["--package", "conceptrol-core", "--no-default-features"])
        .args(["--features", features, "--depth", depth])
        .output()
        .expect("cargo starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let list = String::from_utf8(output.stdout).expect("text");
    let package = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    list.lines().map(package).collect()
}

#[test]
fn the_core_alone_stays_small() {
    let direct = built_with("", "1");
    let names: Vec<&str> = direct
        .iter()
        .filter_map(|package| package.split(' ').next())
        .collect();
    assert_eq!(names, ["burn", "conceptrol-core", "thiserror"]);
    // nearly all of them are Burn's; what the quick start says, and a little for updates
    for (features, most) in [
        ("", 125),
        ("flex,simd,rayon", 160),
        ("models,flex,simd,rayon", 215),
    ] {
        let packages = built_with(features, "99").len();
        assert!(
            packages <= most,
            "`{features}`: {packages} packages, {most} at most"
        );
    }
}

#[test]
fn a_use_is_told_from_a_mention() {
    for used in [
        "use half::f16;",
        "let x = (half::f16::ONE);",
        "/// use half::f16;",
    ] {
        assert!(uses(used, "half"), "{used}");
    }
    for mentioned in [
        "// half::f16",
        "self.half::<f16>()",
        "one_half::f16",
        "\"half::f16\"",
        "half of it",
        "a::half::b",
    ] {
        assert!(!uses(mentioned, "half"), "{mentioned}");
    }
    assert!(uses("use burn_flex::Flex;", "burn-flex"));
}
