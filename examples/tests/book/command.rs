//! Commands as pages write them, and what programs say of their options.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Mutex, PoisonError},
};

use crate::{
    block::Block,
    common::{example, top},
};

/// A call of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// Whether it is built with other features than this test, and so has other options, or is not there.
    pub(crate) elsewhere: bool,
}

/// The names of the examples.
pub(crate) fn examples() -> BTreeSet<String> {
    let manifest = fs::read_to_string(top().join("examples/Cargo.toml")).expect("a manifest");
    let mut names = BTreeSet::new();
    let mut lines = manifest.lines();
    while lines.any(|line| line == "[[example]]") {
        let name = lines.next().and_then(|line| line.strip_prefix("name = "));
        names.insert(name.expect("a name first").trim_matches('"').to_owned());
    }
    names
}

/// The lines of a block that are commands, those that end in a backslash joined with the next.
pub(crate) fn lines(block: &Block) -> Vec<Vec<String>> {
    if block.is_rust() {
        return Vec::new();
    }
    let joined = block.text.replace("\\\n", " ");
    let words = joined.lines().filter_map(shlex::split);
    words.filter(|words| !words.is_empty()).collect()
}

impl Call {
    /// `cargo run --release --example NAME -- ARGUMENTS`, or `NAME ARGUMENTS`.
    pub(crate) fn read(words: &[String], examples: &BTreeSet<String>) -> Option<Self> {
        let (program, arguments) = if words[0] == "cargo" {
            let at = words.iter().position(|word| word == "--example")?;
            let rest = words.iter().position(|word| word == "--");
            let arguments = rest.map_or(&[][..], |at| &words[at + 1..]);
            (words.get(at + 1)?, arguments)
        } else {
            let (program, arguments) = words.split_first()?;
            (examples.get(program)?, arguments)
        };
        Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            elsewhere: words.iter().any(|word| word == "--features"),
        })
    }

    /// Its options, `--steps=3` as `--steps`.
    pub(crate) fn options(&self) -> impl Iterator<Item = &str> {
        let options = self.arguments.iter().filter(|word| word.starts_with("--"));
        options.map(|word| word.split('=').next().expect("one at least"))
    }

    /// The options it has and does not know.
    pub(crate) fn unknown(&self) -> Vec<String> {
        if self.elsewhere {
            return Vec::new();
        }
        let known = help(&self.program, self.arguments.first());
        let unknown = self.options().filter(|option| !known.contains(*option));
        unknown.map(str::to_owned).collect()
    }
}

/// The options of a program, and of its command if it is called with one.
pub(crate) fn help(program: &str, first: Option<&String>) -> BTreeSet<String> {
    static KNOWN: Mutex<BTreeMap<Vec<String>, BTreeSet<String>>> = Mutex::new(BTreeMap::new());
    let command = first.filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
    let mut arguments: Vec<String> = command.into_iter().cloned().collect();
    arguments.push("--help".into());
    let mut key = vec![program.to_owned()];
    key.extend(arguments.iter().cloned());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let options = known.entry(key).or_insert_with(|| {
        let output = example(program).args(&arguments).output();
        let text = output.expect("the example starts").stdout;
        options_in(&String::from_utf8_lossy(&text))
    });
    options.clone()
}

/// Everything that looks like an option.
pub(crate) fn options_in(text: &str) -> BTreeSet<String> {
    let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut words = BTreeSet::new();
    for word in text.split(|c: char| !in_name(c)) {
        if word.len() > 2 && word.starts_with("--") && !word.starts_with("---") {
            words.insert(word.to_owned());
        }
    }
    words
}

#[test]
fn calls_are_read() {
    let examples = BTreeSet::from(["locate".to_owned()]);
    let read = |line: &str| Call::read(&shlex::split(line).expect("words"), &examples);
    let call = Call {
        program: "locate".into(),
        arguments: vec!["--prompt".into(), "a cat".into(), "--seed=3".into()],
        elsewhere: false,
    };
    assert_eq!(read("locate --prompt 'a cat' --seed=3"), Some(call.clone()));
    assert_eq!(
        read("cargo run --release --example locate -- --prompt 'a cat' --seed=3"),
        Some(call.clone())
    );
    assert_eq!(read("cargo test --release"), None);
    assert_eq!(read("python locate --prompt x"), None);
    assert_eq!(call.options().collect::<Vec<_>>(), ["--prompt", "--seed"]);
    assert_eq!(
        options_in("  -h, --help  a --b-c=<X> [--d] e--f ---"),
        BTreeSet::from(["--help", "--b-c", "--d"].map(str::to_owned))
    );
}
