//! What rows were computed with, and how to compute them again.

use maud::{Markup, html};

use crate::rows::Setup;

pub(super) fn show(setup: &Setup) -> Markup {
    html! {
        details {
            summary { "Configuration" }
            @if !setup.arguments.is_empty() {
                p { "To repeat it:" }
                pre { code { (command(setup)) } }
            }
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

fn command(setup: &Setup) -> String {
    let arguments = setup.arguments.iter().map(|argument| quoted(argument));
    let arguments: Vec<String> = arguments.collect();
    format!(
        "cargo run --release --example evaluate -- {}",
        arguments.join(" ")
    )
}

/// A value as a shell takes it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+".contains(c);
    match !value.is_empty() && value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    }
}
