//! The page: one file, without script, that asks nobody for anything.

mod configuration;
mod parts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{part::Section, summary::BOOTSTRAP};

const STYLE: &str = include_str!("style.css");
/// Browsers load nothing for this page, whatever texts in it say.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// The whole page.
pub(crate) fn page(sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Conceptrol: evaluation" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Conceptrol: evaluation" }
                    (about())
                    nav { ul { @for section in sections { li { (link(section)) } } } }
                }
                main { @for section in sections { (show(section)) } }
            }
        }
    };
    page.into_string()
}

fn about() -> Markup {
    html! {
        p {
            "Brackets hold " (100.0 * BOOTSTRAP.confidence) " % intervals: percentile bootstrap over units, "
            (BOOTSTRAP.resamples) " resamples, seed " (BOOTSTRAP.seed) ". "
            "A unit is a prompt with its reference, a scene or a concept; its seeds are averaged. Methods are compared on the \
             same units and seeds. "
            "The measures are defined in docs/evaluation.md. All rows and tables are in CSV files beside this page."
        }
    }
}

fn link(section: &Section) -> Markup {
    html! { a href={ "#" (section.setup.command) } { (section.title) } }
}

fn show(section: &Section) -> Markup {
    html! {
        section id=(section.setup.command) {
            h2 { (section.title) }
            p .facts {
                @for (name, value) in &section.facts { span { (name) " " b { (value) } } }
            }
            (configuration::show(&section.setup))
            @for part in &section.parts { (parts::show(part)) }
        }
    }
}
