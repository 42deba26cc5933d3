//! What a picture was made with, as the text of its PNG: in the form other tools read, and enough to make it again.

use std::io::Cursor;

use conceptrol_core::{
    models::scheduler::SchedulerError,
    pipeline::{Pipeline, Request},
};
use sha2::{Digest, Sha256};

/// The keyword of that text.
pub const KEYWORD: &str = "parameters";

/// Entries without a value.
const FLAGS: [&str; 3] = ["Guess mode", "Independent conditions", "Redux without text"];

/// The text of every picture of a run but for what differs from one to the next.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Prompts and what comes before the seed.
    before: String,
    /// What comes after it.
    after: String,
}

impl Parameters {
    /// Prompts, and what every tool says first.
    pub fn new(prompt: &str, negative: &str, steps: usize, sampler: &str, guidance: f64) -> Self {
        let before = format!(
            "{prompt}\nNegative prompt: {negative}\nSteps: {steps}, Sampler: {sampler}, CFG scale: {guidance}, Seed: "
        );
        Self {
            before,
            after: String::new(),
        }
    }

    /// What a request says whatever it is for: prompts, steps, sampler and guidance; size, scale and window. `scheduler` is the
    /// sampler's name where it was chosen by one.
    ///
    /// # Errors
    ///
    /// If the scheduler is not known.
    pub fn of<P: Pipeline>(
        pipeline: &P,
        request: &Request<P::Extra>,
        scheduler: Option<&str>,
    ) -> Result<Self, SchedulerError> {
        let profile = pipeline.profile();
        let sampler = match scheduler {
            Some(name) => name.to_owned(),
            None => {
                let own = request.scheduler.as_ref().unwrap_or(&profile.scheduler);
                own.kind()?.to_string()
            }
        };
        let negative = request.negative_prompts.iter().flatten().next();
        let said = Self::new(
            &request.prompts[0],
            negative.map_or("", String::as_str),
            request.steps.unwrap_or(profile.defaults.steps),
            &sampler,
            request.guidance.scale.unwrap_or(profile.defaults.guidance),
        );
        let (size, window) = (pipeline.size(request), request.window);
        Ok(said.with([
            format!("Size: {}x{}", size.width, size.height),
            format!("Condition scale: {}", request.scale),
            format!("Window: {} to {}", window.start(), window.end()),
        ]))
    }

    /// Adds entries, each `Name: value`.
    pub fn with(mut self, entries: impl IntoIterator<Item = String>) -> Self {
        for entry in entries {
            self.after += ", ";
            self.after += &entry;
        }
        self
    }

    /// How the picture of `seed` was made, by `method`.
    pub fn text(&self, method: &str, seed: u64) -> String {
        format!("{}{seed}, Method: {method}{}", self.before, self.after)
    }
}

/// The name of a file with the first half of the SHA-256 of its content.
///
/// ```
/// let named = conceptrol_examples::parameters::hashed("cat.png", b"");
/// assert_eq!(named, "cat.png sha256:e3b0c44298fc1c149afbf4c8996fb924");
/// ```
pub fn hashed(name: &str, content: &[u8]) -> String {
    format!("{name} sha256:{}", hash(content))
}

/// The first half of a SHA-256, in hexadecimal digits.
pub fn hash(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What such a text says.
///
/// ```
/// use conceptrol_examples::parameters::{Parameters, Told};
///
/// let text = Parameters::new("a cat, a dog", "rain", 20, "ddim", 7.5)
///     .with(["Concept: cat a, b.png sha256:00 scale 1".into(), "Guess mode".into()])
///     .text("conceptrol", 3);
/// let told = Told::read(&text).unwrap();
/// assert_eq!((told.prompt.as_str(), told.negative.as_str()), ("a cat, a dog", "rain"));
/// assert_eq!(told.get("Seed"), Some("3"));
/// assert_eq!(told.get("Concept"), Some("cat a, b.png sha256:00 scale 1"));
/// assert_eq!(told.get("Guess mode"), Some(""));
/// assert_eq!(Told::read("a cat"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What the picture shows.
    pub prompt: String,
    /// What it is not to show.
    pub negative: String,
    /// Names and values, in their order.
    pub entries: Vec<(String, String)>,
}

impl Told {
    /// Reads a text; nothing if it is not of this form.
    pub fn read(text: &str) -> Option<Self> {
        let (prompts, line) = text.rsplit_once("\nSteps: ")?;
        let (prompt, negative) =
            (prompts.rsplit_once("\nNegative prompt: ")).unwrap_or((prompts, ""));
        let mut entries: Vec<(String, String)> = Vec::new();
        for part in format!("Steps: {line}").split(", ") {
            match (entry(part), entries.last_mut()) {
                (Some((name, value)), _) => entries.push((name.into(), value.into())),
                // a comma within a value
                (None, Some((_, value))) => {
                    value.push_str(", ");
                    value.push_str(part);
                }
                (None, None) => return None,
            }
        }
        Some(Self {
            prompt: prompt.into(),
            negative: negative.into(),
            entries,
        })
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|(own, _)| own == name);
        entry.map(|(_, value)| value.trim_end())
    }
}

/// A name, which begins with a letter and has no other sign than spaces, and its value.
fn entry(part: &str) -> Option<(&str, &str)> {
    if FLAGS.contains(&part.trim_end()) {
        return Some((part.trim_end(), ""));
    }
    let (name, value) = part.split_once(": ")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain);
    is_name.then_some((name, value))
}

/// The parameters in a PNG file, if it is one and has them. The picture itself is not decoded.
pub fn of_png(file: &[u8]) -> Option<String> {
    let reader = png::Decoder::new(Cursor::new(file)).read_info().ok()?;
    let info = reader.info();
    let latin = info.uncompressed_latin1_text.iter();
    let latin = latin.map(|chunk| (chunk.keyword.as_str(), Some(chunk.text.clone())));
    // compressed ones may be of any size
    let unicode = info.utf8_text.iter().filter(|chunk| !chunk.compressed);
    let unicode = unicode.map(|chunk| (chunk.keyword.as_str(), chunk.get_text().ok()));
    let mut texts = latin.chain(unicode);
    texts.find(|(keyword, _)| *keyword == KEYWORD)?.1
}
