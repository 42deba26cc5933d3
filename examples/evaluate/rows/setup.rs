//! What rows were computed with: rows of different setups are not put together.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use conceptrol_examples::folder::files_below;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The first line of a file of rows: everything that the rows depend on. Threads, shards and machines are not among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The command, which is also the name of the file.
    pub(crate) command: String,
    /// Version of this program.
    pub(crate) version: String,
    /// What was read: model, adapter, encoders, data -> digest.
    pub(crate) files: BTreeMap<String, Digest>,
    /// Options that change rows -> value.
    pub(crate) options: BTreeMap<String, String>,
    /// What the program was called with, but for where rows go and which part of them: how to repeat it.
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
}

impl Setup {
    pub(crate) fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files: BTreeMap::new(),
            options: BTreeMap::new(),
            arguments: without_place(std::env::args_os().skip(1)),
        }
    }

    /// Adds a file or folder that rows depend on.
    pub(crate) fn file(mut self, role: &str, path: &Path) -> io::Result<Self> {
        self.files.insert(role.to_owned(), Digest::of(path)?);
        Ok(self)
    }

    /// Adds an option that rows depend on.
    pub(crate) fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.options.insert(name.to_owned(), value.to_string());
        self
    }

    /// The first thing in which two setups differ, with both values.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let pairs = [
            ("command", &self.command, &other.command),
            ("version", &self.version, &other.version),
        ];
        let field = (pairs.into_iter()).find(|(_, a, b)| a != b);
        if let Some((name, a, b)) = field {
            return Some(format!("{name}: {a} and {b}"));
        }
        fn differing<V: PartialEq + ToString>(
            a: &BTreeMap<String, V>,
            b: &BTreeMap<String, V>,
        ) -> Option<String> {
            let name = (a.keys().chain(b.keys())).find(|name| a.get(*name) != b.get(*name))?;
            let shown = |map: &BTreeMap<String, V>| {
                let value = map.get(name).map(ToString::to_string);
                value.unwrap_or_else(|| "none".to_owned())
            };
            Some(format!("{name}: {} and {}", shown(a), shown(b)))
        }
        differing(&self.files, &other.files).or_else(|| differing(&self.options, &other.options))
    }
}

/// Arguments without `--out` and `--shard`.
fn without_place(arguments: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let mut arguments = arguments.into_iter();
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy();
        let (flag, value) = match argument.split_once('=') {
            Some((flag, _)) => (flag, true),
            None => (&*argument, false),
        };
        match ["--out", "--shard"].contains(&flag) {
            true if value => {}
            true => drop(arguments.next()),
            false => kept.push(argument.into_owned()),
        }
    }
    kept
}

/// What tells files apart: SHA-256 over the names, sizes and both ends (1 MiB each) of a file, or of all files of a folder.
/// Whole checkpoints of many gigabytes would take longer to read than rows to compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Digest {
    const END: u64 = 1 << 20;

    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut hash = Sha256::new();
        for file in files_below(path)? {
            let name = file.strip_prefix(path).unwrap_or(&file);
            hash.update(name.as_os_str().as_encoded_bytes());
            let mut open = File::open(&file)?;
            let bytes = open.metadata()?.len();
            hash.update(bytes.to_le_bytes());
            for start in [0, bytes.saturating_sub(Self::END).max(Self::END.min(bytes))] {
                open.seek(SeekFrom::Start(start))?;
                let mut end = Vec::new();
                (&mut open).take(Self::END).read_to_end(&mut end)?;
                hash.update(&end);
            }
        }
        let hex = hash
            .finalize()
            .into_iter()
            .map(|byte| format!("{byte:02x}"));
        Ok(Self(hex.take(8).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_digest_sees_names_sizes_and_both_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        let mut bytes = vec![0; 3 << 20];
        let mut digests = Vec::new();
        for at in [0, 1, (3 << 20) - 1] {
            bytes[at] = 1;
            fs::write(&file, &bytes).expect("written");
            digests.push(Digest::of(folder.path()).expect("a digest"));
        }
        fs::rename(&file, folder.path().join("b")).expect("renamed");
        digests.push(Digest::of(folder.path()).expect("a digest"));
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "number {index}");
        }
    }

    #[test]
    fn where_rows_go_is_no_part_of_repeating_them() {
        let given = [
            "masks",
            "--out",
            "a b",
            "--steps",
            "20",
            "--shard=1/2",
            "--axis=x=1",
        ];
        let kept = without_place(given.map(OsString::from));
        assert_eq!(kept, ["masks", "--steps", "20", "--axis=x=1"]);
    }

    #[test]
    fn a_difference_is_named_with_both_values() {
        let setup = Setup::new("masks").option("steps", 50);
        assert_eq!(setup.difference(&setup.clone()), None);
        let other = Setup::new("masks").option("steps", 25);
        assert_eq!(
            setup.difference(&other).as_deref(),
            Some("steps: 50 and 25")
        );
        let more = setup.clone().option("seed", 1);
        assert_eq!(setup.difference(&more).as_deref(), Some("seed: none and 1"));
    }
}
