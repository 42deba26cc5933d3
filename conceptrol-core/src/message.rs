//! Messages: errors with what they come from, and names and paths in them. Files and callers choose those, a terminal must
//! not obey them.

use std::{borrow::Cow, error::Error, fmt, path::Path};

/// Characters that a message shows of one name or path.
const LONGEST: usize = 300;
/// Of a longer one, so many of its end are shown: there a path has its file, a tensor its layer.
const TAIL: usize = 100;

/// A text from outside as messages show it: what a terminal would obey is escaped, the middle of a long text left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a>(Cow<'a, str>);

/// A name from outside, for a message.
///
/// ```
/// use conceptrol_core::message::shown;
///
/// assert_eq!(shown("unet.conv_in.weight").to_string(), "unet.conv_in.weight");
/// assert_eq!(shown("\x1b[31mred\n").to_string(), r"\u{1b}[31mred\n");
/// let long = shown(&"x".repeat(1 << 20)).to_string();
/// assert!(long.len() < 400 && long.contains("xxx...(1048276 characters)...xxx"));
/// ```
pub fn shown(text: &str) -> Shown<'_> {
    Shown(Cow::Borrowed(text))
}

/// A path, for a message; what is no Unicode in it is shown as U+FFFD.
///
/// ```
/// use std::path::Path;
///
/// use conceptrol_core::message::shown_path;
///
/// assert_eq!(shown_path(Path::new("models/a\rb")).to_string(), r"models/a\rb");
/// ```
pub fn shown_path(path: &Path) -> Shown<'_> {
    Shown(path.to_string_lossy())
}

/// All levels of an error, the outermost first.
///
/// The errors of this workspace say at each level what that level knows, and leave the rest to
/// [`source`](Error::source).
///
/// ```
/// use std::path::Path;
///
/// use conceptrol_core::{message::chain, models::scheduler::SchedulerConfig};
///
/// let error = SchedulerConfig::open(Path::new("missing.json")).unwrap_err();
/// assert!(chain(&error).contains(": No such file or directory") || !cfg!(unix));
/// ```
pub fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut below = error.source();
    while let Some(level) = below {
        message += ": ";
        message += &level.to_string();
        below = level.source();
    }
    message
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        // a text of few bytes has few characters
        let count = match text.len() {
            short if short <= LONGEST => short,
            _ => text.chars().count(),
        };
        if count <= LONGEST {
            return text.chars().try_for_each(|c| show(c, f));
        }
        let (mut head, mut tail) = (
            text.chars().take(LONGEST - TAIL),
            text.chars().skip(count - TAIL),
        );
        head.try_for_each(|c| show(c, f))?;
        write!(f, "...({} characters)...", count - LONGEST)?;
        tail.try_for_each(|c| show(c, f))
    }
}

fn show(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write;
    if c.is_control() || is_hidden(c) {
        write!(f, "{}", c.escape_default())
    } else {
        f.write_char(c)
    }
}

/// Characters that show nothing themselves and change what is shown around them: joiners, marks of direction, tags.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_command_a_terminal() {
        let hostile: String = (0..0x3_0000).filter_map(char::from_u32).collect();
        for chunk in hostile.chars().collect::<Vec<_>>().chunks(100) {
            let chunk: String = chunk.iter().collect();
            let shown = shown(&chunk).to_string();
            assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
        }
    }

    #[test]
    fn ordinary_names_are_shown_as_they_are() {
        for name in [
            "C:\\models\\vae",
            "кошка/猫.png",
            "e\u{301}t\u{e9} \"x\" 'y'",
        ] {
            assert_eq!(shown(name).to_string(), name);
        }
        let full = "é".repeat(LONGEST);
        assert_eq!(shown(&full).to_string(), full);
        assert!(
            shown(&"é".repeat(LONGEST + 1))
                .to_string()
                .contains("(1 characters)")
        );
    }
}
