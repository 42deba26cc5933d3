//! Commands of pages exist, have the options they are given, and run where they need no model.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    block::blocks,
    command::{Call, examples, help, lines, options_in},
    common::{example, files, top},
};

/// Programs that are run as pages say, and whether they take `--out` and `--steps`.
const RUN: [(&str, bool); 6] = [
    ("personalize", true),
    ("locate", true),
    ("attention_maps", true),
    ("custom_mask_source", false),
    ("custom_processor", false),
    ("plug_in_your_model", false),
];
/// Options of cargo and of other programs that pages mention.
const OTHERS: [&str; 22] = [
    "--baseline-rev",
    "--bench",
    "--bin",
    "--cpu",
    "--edges",
    "--example",
    "--features",
    "--ignored",
    "--json",
    "--listen",
    "--locked",
    "--no-default-features",
    "--nocapture",
    "--path",
    "--release",
    "--rounds",
    "--sanitizer",
    "--small",
    "--test",
    "--threads",
    "--work",
    "--workspace",
];

/// All calls of examples on all pages, with where they are.
fn calls() -> Vec<(String, Call)> {
    let examples = examples();
    let mut calls = Vec::new();
    for block in blocks() {
        for words in lines(&block) {
            if let Some(call) = Call::read(&words, &examples) {
                calls.push((block.place.clone(), call));
            }
        }
    }
    assert!(calls.len() > 15, "the commands are found: {calls:?}");
    calls
}

#[test]
fn examples_and_options_exist() {
    let examples = examples();
    let mut wrong = Vec::new();
    for (place, call) in calls() {
        if !examples.contains(&call.program) {
            wrong.push(format!("{place}: there is no example {}", call.program));
        } else if call.program == "conceptrol-serve" && !cfg!(feature = "remote") {
            // not built with these features
        } else if call.arguments.iter().any(|word| word.starts_with("--")) {
            let unknown = call.unknown().join(" ");
            if !unknown.is_empty() {
                wrong.push(format!("{place}: {} has no {unknown}", call.program));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_in_the_text_exist() {
    let mut known: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    for program in [
        "personalize",
        "locate",
        "attention_maps",
        "inspect",
        "convert",
        "parity",
        "figures",
        "studio",
    ] {
        known.extend(help(program, None));
    }
    known.extend(help("evaluate", None));
    for command in [
        "blocks", "masks", "sweep", "concepts", "adapters", "baseline", "overhead", "all", "report",
    ] {
        known.extend(help("evaluate", Some(&command.to_owned())));
    }
    let mut wrong = Vec::new();
    let docs = files(&top().join("docs"), ".md");
    for page in docs.into_iter().chain([top().join("README.md")]) {
        let text = fs::read_to_string(&page).expect("a page");
        let unknown = mentioned(&text)
            .into_iter()
            .filter(|option| !known.contains(option));
        wrong.extend(unknown.map(|option| format!("{}: {option}", page.display())));
    }
    assert!(wrong.is_empty(), "no program has\n{}", wrong.join("\n"));
}

/// Options in the inline code of a page.
fn mentioned(page: &str) -> BTreeSet<String> {
    use pulldown_cmark::{Event, Options, Parser};
    let events = Parser::new_ext(page, Options::ENABLE_TABLES);
    let code = events.filter_map(|event| match event {
        Event::Code(code) => Some(options_in(&code)),
        _ => None,
    });
    code.flatten().collect()
}

#[test]
fn commands_that_need_no_model_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = BTreeSet::new();
    let mut failed = Vec::new();
    for (place, call) in calls() {
        let Some((_, options)) = RUN.iter().find(|(program, _)| *program == call.program) else {
            continue;
        };
        let elsewhere = ["--model", "--backend"];
        let given: Vec<&str> = call.options().collect();
        // pages on messages expect theirs
        let of_messages = place.starts_with("docs/troubleshooting.md");
        if of_messages || given.iter().any(|option| elsewhere.contains(option)) {
            continue;
        }
        let mut command = example(&call.program);
        command.current_dir(top()).args(&call.arguments);
        if *options {
            let out = match &*call.program {
                "personalize" => folder.path().to_owned(),
                _ => folder.path().join("out.png"),
            };
            add(&mut command, &given, "--out", &out);
            add(&mut command, &given, "--steps", Path::new("4"));
        }
        // the same command on two pages is run once
        if !run.insert((call.program.clone(), call.arguments.clone())) {
            continue;
        }
        let output = command.output().expect("the example starts");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            failed.push(format!("{place}: {} {}", output.status, said.trim()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(run.len() > 6, "commands were run: {run:?}");
}

/// Adds an option that is not given.
fn add(command: &mut std::process::Command, given: &[&str], option: &str, value: &Path) {
    if !given.contains(&option) {
        command.arg(option).arg(value);
    }
}

#[test]
fn the_page_on_a_model_of_ones_own_shows_what_its_example_prints() {
    let output = example("plug_in_your_model").output();
    let output = String::from_utf8(output.expect("the example starts").stdout).expect("text");
    let mut shown = blocks();
    shown
        .retain(|block| block.page.ends_with("docs/plug-in-your-model.md") && block.info == "text");
    assert_eq!(shown.len(), 2);
    for block in shown {
        assert!(
            output.contains(&block.text),
            "{}: it prints\n{output}",
            block.place
        );
    }
}

/// Programs of cargo and of Python that a line names and that are not there, and options that the text of a script has not.
fn absent(words: &[String]) -> Vec<String> {
    let top = top();
    let mut absent = Vec::new();
    let named = |option: &'static str| {
        let pairs = words.windows(2);
        pairs
            .filter(move |pair| pair[0] == option)
            .map(|pair| &pair[1])
    };
    let members = [
        "benches",
        "examples",
        "conceptrol-core",
        "conceptrol-sd",
        "conceptrol-flux",
    ];
    for (option, folder) in [("--bench", "benches"), ("--test", "tests")] {
        let places = |name: &String| {
            let below = members.map(|member| top.join(member).join(folder).join(name));
            below
                .iter()
                .any(|path| path.is_dir() || path.with_extension("rs").is_file())
        };
        let is_there = |name: &&String| words[0] != "cargo" || places(name);
        absent.extend(named(option).filter(|name| !is_there(name)).cloned());
    }
    if let [program, script, arguments @ ..] = words
        && program == "python"
        && script.ends_with(".py")
    {
        let text = fs::read_to_string(top.join(script)).unwrap_or_default();
        let options = arguments.iter().filter(|word| word.starts_with("--"));
        absent.extend(options.filter(|option| !text.contains(*option)).cloned());
        absent.extend(text.is_empty().then(|| script.clone()));
    }
    absent
}

#[test]
fn what_else_is_called_is_there() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for block in blocks() {
        for words in lines(&block) {
            tried += usize::from(["cargo", "python"].contains(&&*words[0]));
            let absent = absent(&words);
            wrong.extend(
                absent
                    .into_iter()
                    .map(|name| format!("{}: {name}", block.place)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 10, "{tried} lines");
    let of = |line: &str| absent(&shlex::split(line).expect("words"));
    assert_eq!(
        of("cargo bench -p conceptrol-benches --bench gone"),
        ["gone"]
    );
    assert_eq!(
        of("cargo test --workspace --test docs --test gone"),
        ["gone"]
    );
    assert_eq!(
        of("python benches/peers/operations.py --cpu --gone"),
        ["--gone"]
    );
    assert_eq!(of("python gone.py"), ["gone.py"]);
}
