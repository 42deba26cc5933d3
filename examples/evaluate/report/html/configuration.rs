//! What rows were computed with, and how to compute them again.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::rows::Setup;

pub(super) fn show(setup: &Setup) -> Markup {
    html! {
        details {
            summary { "Configuration" }
            p { "To repeat it:" }
            pre { code { (command(setup)) } }
            @if !setup.files.is_empty() {
                p { "with the files of these digests: the embedded model and its world, or what was given by options." }
            }
            dl {
                dt { "version" } dd { (setup.version) }
                @for (name, value) in &setup.options { dt { (name) } dd { (value) } }
                @for (role, digest) in &setup.files { dt { (role) } dd { "digest " code { (digest) } } }
            }
        }
    }
}

/// Options of a setup that are options of the command line, and what those are called.
const FLAGS: [(&str, &str); 14] = [
    ("axes", "axis"),
    ("backend", "backend"),
    ("concepts", "count"),
    ("dtype", "dtype"),
    ("first seed", "seed"),
    ("guidance", "guidance"),
    ("non-specific block", "non-specific"),
    ("prompts", "count"),
    ("scale", "scale"),
    ("scenes", "count"),
    ("seeds", "seeds"),
    ("steps", "steps"),
    ("turns", "turns"),
    ("warmup", "warmup"),
];

fn command(setup: &Setup) -> String {
    let mut flags: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, flag) in FLAGS {
        let Some(value) = setup.options.get(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        // of scenes and prompts there are as many as were asked for, or as there are
        let known = flags.entry(flag).or_insert(value);
        if value.parse::<usize>().ok() > known.parse::<usize>().ok() {
            *known = value;
        }
    }
    let mut command = format!(
        "cargo run --release --example evaluate -- {}",
        setup.command
    );
    for (flag, values) in flags {
        for value in values.split("; ") {
            command += &format!(" --{flag} {}", quoted(value));
        }
    }
    command
}

/// A value as a shell takes it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+".contains(c);
    match !value.is_empty() && value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    }
}
