//! What rows were computed with, and how to compute them again.

use maud::{Markup, html};

use crate::rows::Setup;

pub(super) fn show(setup: &Setup) -> Markup {
    html! {
        details {
            summary { "Configuration" }
            p { "To repeat it:" }
            pre { code { (command(setup)) } }
            dl {
                dt { "version" } dd { (setup.version) }
                @for (name, value) in &setup.options { dt { (name) } dd { (value) } }
                @for (role, digest) in &setup.files { dt { (role) } dd { "digest " code { (digest) } } }
            }
        }
    }
}

/// Options have the names of the command line.
fn command(setup: &Setup) -> String {
    let mut command = format!(
        "cargo run --release --example evaluate -- {}",
        setup.command
    );
    for (name, value) in &setup.options {
        command += &format!(" --{} {}", name.replace(['_', ' '], "-"), quoted(value));
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
