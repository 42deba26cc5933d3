//! Phrases and files of the command line: `PHRASE[#N]=FILE[:SCALE]`.

use std::{
    ffi::{OsStr, OsString},
    fmt::{self, Display},
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::builder::{OsStringValueParser, TypedValueParser};

/// A phrase of the prompt; which of its occurrences, and which adapter reads its reference, both counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    pub text: String,
    pub occurrence: usize,
    pub adapter: usize,
}

/// A concept of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConceptArgument {
    pub phrase: Phrase,
    pub image: PathBuf,
    pub scale: f32,
}

/// A control of the command line: a net and the picture it reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlArgument {
    pub net: PathBuf,
    pub image: PathBuf,
    pub scale: f32,
}

/// A drawn mask of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MaskArgument {
    pub phrase: Phrase,
    pub file: PathBuf,
}

impl Phrase {
    /// The first occurrence.
    pub(crate) fn first(text: &str) -> Self {
        Self {
            text: text.into(),
            occurrence: 1,
            adapter: 1,
        }
    }

    /// `cat#2` is the second cat, `cat@2` the one whose reference the second adapter reads; without a number after it, a mark
    /// belongs to the phrase.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (text, adapter) = numbered(text, '@');
        let (phrase, occurrence) = numbered(text, '#');
        match (phrase.trim(), occurrence, adapter) {
            ("", ..) => Err("expected PHRASE=FILE, neither empty".into()),
            (_, 0, _) => Err("occurrences are counted from 1".into()),
            (.., 0) => Err("adapters are counted from 1".into()),
            (phrase, occurrence, adapter) => Ok(Self {
                text: phrase.to_owned(),
                occurrence,
                adapter,
            }),
        }
    }

    /// Whether both mean the same words.
    pub(crate) fn same_words(&self, other: &Self) -> bool {
        (&self.text, self.occurrence) == (&other.text, other.occurrence)
    }
}

/// What is before the last `mark`, and the number behind it; 1 if there is none.
fn numbered(text: &str, mark: char) -> (&str, usize) {
    let split = text.rsplit_once(mark);
    let split = split.and_then(|(before, number)| Some((before, number.parse().ok()?)));
    split.unwrap_or((text, 1))
}

impl Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.occurrence {
            1 => f.write_str(&self.text),
            occurrence => write!(f, "{}#{occurrence}", self.text),
        }
    }
}

/// Parses `PHRASE[#N]=FILE[:SCALE]`.
pub(crate) fn concept() -> impl TypedValueParser<Value = ConceptArgument> {
    OsStringValueParser::new().try_map(|argument: OsString| {
        let (phrase, file) = split_phrase(&argument)?;
        let (image, scale) = file_with::<f32>("scale", &file)?;
        Ok::<_, String>(ConceptArgument {
            phrase,
            image,
            scale,
        })
    })
}

/// Parses `NET=FILE[:SCALE]`.
pub(crate) fn control() -> impl TypedValueParser<Value = ControlArgument> {
    OsStringValueParser::new().try_map(|argument: OsString| {
        let expected = "expected NET=FILE, neither empty";
        let (net, file) = split(&argument, |bytes| {
            bytes.iter().position(|byte| *byte == b'=')
        })
        .filter(|(net, file)| !net.is_empty() && !file.is_empty())
        .ok_or(expected)?;
        let (image, scale) = file_with::<f32>("scale", &file)?;
        Ok::<_, String>(ControlArgument {
            net: net.into(),
            image,
            scale,
        })
    })
}

/// Parses `PHRASE[#N]=FILE`.
pub(crate) fn mask() -> impl TypedValueParser<Value = MaskArgument> {
    OsStringValueParser::new().try_map(|argument: OsString| {
        let (phrase, file) = split_phrase(&argument)?;
        let file = file.into();
        Ok::<_, String>(MaskArgument { phrase, file })
    })
}

/// Parses `[WORD=]FILE`. A file of the whole name wins.
pub(crate) fn embedding() -> impl TypedValueParser<Value = (Option<String>, PathBuf)> {
    OsStringValueParser::new().try_map(|argument: OsString| {
        let equals = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'=');
        let whole = || Ok::<_, String>((None, PathBuf::from(&argument)));
        if Path::new(&argument).exists() {
            return whole();
        }
        let Some((word, file)) = split(&argument, equals) else {
            return whole();
        };
        let word = word.into_string().map_err(|_| "the word is not UTF-8")?;
        if word.is_empty() || file.is_empty() {
            return Err("expected WORD=FILE, neither empty".into());
        }
        Ok((Some(word), file.into()))
    })
}

/// Parses `FILE[:STRENGTH]`.
pub(crate) fn style() -> impl TypedValueParser<Value = (PathBuf, f64)> {
    OsStringValueParser::new().try_map(|argument: OsString| file_with::<f64>("strength", &argument))
}

/// The phrase before the first `=`, and the path behind it, whatever its encoding.
fn split_phrase(argument: &OsStr) -> Result<(Phrase, OsString), String> {
    let expected = "expected PHRASE=FILE, neither empty";
    let (phrase, file) = split(argument, |bytes| {
        bytes.iter().position(|byte| *byte == b'=')
    })
    .ok_or(expected)?;
    if file.is_empty() {
        return Err(expected.into());
    }
    let phrase = phrase
        .into_string()
        .map_err(|_| "the phrase is not UTF-8")?;
    Ok((Phrase::parse(&phrase)?, file))
}

/// A file and the number after its last colon, 1 if there is none. Messages call the number `name`.
fn file_with<N>(name: &str, argument: &OsStr) -> Result<(PathBuf, N), String>
where
    N: FromStr + Into<f64> + From<u8> + Copy + Display,
{
    let (file, number) = split_number::<N>(argument, Path::exists);
    let number = number.unwrap_or_else(|| N::from(1));
    if !number.into().is_finite() {
        return Err(format!("the {name} {number} is not finite"));
    }
    if file.as_os_str().is_empty() {
        return Err("expected a file".into());
    }
    Ok((file, number))
}

/// A path and the number after its last colon. A file of the whole name wins: a colon may be part of it.
fn split_number<N: FromStr>(
    argument: &OsStr,
    exists: impl Fn(&Path) -> bool,
) -> (PathBuf, Option<N>) {
    let whole = || (PathBuf::from(argument), None);
    if exists(Path::new(argument)) {
        return whole();
    }
    let last_colon = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b':');
    let number = split(argument, last_colon)
        .and_then(|(file, number)| Some((file, number.to_str()?.parse().ok()?)));
    number.map_or_else(whole, |(file, number)| (file.into(), Some(number)))
}

/// What is before and behind the byte that `place` finds.
#[cfg(unix)]
fn split(argument: &OsStr, place: impl Fn(&[u8]) -> Option<usize>) -> Option<(OsString, OsString)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = argument.as_bytes();
    let at = place(bytes)?;
    let part = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    Some((part(&bytes[..at]), part(&bytes[at + 1..])))
}

/// What is before and behind the byte that `place` finds, in UTF-8.
#[cfg(not(unix))]
fn split(argument: &OsStr, place: impl Fn(&[u8]) -> Option<usize>) -> Option<(OsString, OsString)> {
    let text = argument.to_str()?;
    let at = place(text.as_bytes())?;
    Some((text[..at].into(), text[at + 1..].into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_and_occurrences() {
        let parse = |text: &str| Phrase::parse(text).map(|p| (p.text, p.occurrence));
        assert_eq!(parse("cat"), Ok(("cat".into(), 1)));
        assert_eq!(parse("a cat#2"), Ok(("a cat".into(), 2)));
        assert_eq!(parse("number #nine"), Ok(("number #nine".into(), 1)));
        assert!(parse("#2").is_err() && parse("cat#0").is_err() && parse(" ").is_err());
    }

    #[test]
    fn an_existing_file_wins_over_a_number() {
        let split = |there: &'static str| {
            split_number::<f32>(OsStr::new("cat:0.8"), move |path| path == Path::new(there))
        };
        assert_eq!(split("cat:0.8"), ("cat:0.8".into(), None));
        assert_eq!(split("cat"), ("cat".into(), Some(0.8)));
        let windows = split_number::<f32>(OsStr::new("C:cat.png"), |_| false);
        assert_eq!(windows, ("C:cat.png".into(), None));
    }

    #[cfg(unix)]
    #[test]
    fn any_path_works() {
        use std::os::unix::ffi::OsStrExt;
        let argument = OsStr::from_bytes(b"cat=\xff\xfe.png");
        let (phrase, file) = split_phrase(argument).expect("a phrase and a file");
        assert_eq!(
            (phrase.text.as_str(), file.as_bytes()),
            ("cat", &b"\xff\xfe.png"[..])
        );
    }
}
