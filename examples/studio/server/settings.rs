//! What the page asks for.

use std::ops::Range;

use axum::http::StatusCode;
use conceptrol_core::{message::shown, models::scheduler::SchedulerName, pipeline::Mode};
use conceptrol_examples::parameters::hash;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::refusal::Refusal;

/// Bytes that a prompt may have.
const LONGEST_PROMPT: usize = 4000;
/// Steps a generation may have.
pub(crate) const MOST_STEPS: usize = 200;
/// Pixels a side may have.
pub(crate) const LONGEST_SIDE: usize = 2048;
/// Largest strength, to either side.
const LARGEST_SCALE: f32 = 10.0;
const LARGEST_GUIDANCE: f64 = 50.0;

/// The settings of a picture. The page's fields have the same names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Settings {
    /// A label of the catalogue.
    pub(crate) model: String,
    /// A label of the catalogue; the model's own if it is absent.
    pub(crate) adapter: Option<String>,
    pub(crate) prompt: String,
    pub(crate) negative_prompt: String,
    /// The bytes of the prompt that are the concept's words.
    pub(crate) concept: Option<Range<usize>>,
    /// The id of a picture.
    pub(crate) reference: Option<String>,
    pub(crate) scale: f32,
    pub(crate) warmup: f64,
    pub(crate) steps: usize,
    pub(crate) guidance: f64,
    /// A name of a scheduler; the model's own if it is absent.
    pub(crate) scheduler: Option<String>,
    /// In digits: JavaScript's numbers are too small for it.
    pub(crate) seed: String,
    /// In pixels; the model's own if absent.
    pub(crate) width: Option<usize>,
    pub(crate) height: Option<usize>,
}

/// How a reference acts: what a picture is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// Everywhere.
    Adapter,
    /// Where its words act.
    Conceptrol,
    /// Not at all.
    Text,
}

impl From<Method> for Mode {
    fn from(method: Method) -> Self {
        match method {
            Method::Adapter => Self::Adapter,
            Method::Conceptrol => Self::Conceptrol,
            Method::Text => Self::TextOnly,
        }
    }
}

/// Settings and the pictures that are wanted of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Order {
    pub(crate) settings: Settings,
    pub(crate) methods: Vec<Method>,
}

impl Order {
    /// Reads and checks what needs no model.
    ///
    /// # Errors
    ///
    /// What is wrong, and with which field.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let whole = |message: &str| Refusal::whole(StatusCode::BAD_REQUEST, message);
        let order: OrderText = serde_json::from_slice(body)
            .map_err(|_| whole("An order has settings and methods."))?;
        if !(1..=3).contains(&order.methods.len()) {
            return Err(whole("Ask for one to three pictures."));
        }
        let settings = Settings::read(order.settings)?;
        if order.methods.iter().any(|method| *method != Method::Text) {
            if settings.concept.is_none() {
                let message = "Pick the words of the prompt that the reference stands for.";
                return Err(Refusal::of("concept", message));
            }
            if settings.reference.is_none() {
                return Err(Refusal::of("reference", "Choose a reference picture."));
            }
        }
        Ok(Self {
            settings,
            methods: order.methods,
        })
    }
}

/// An order whose settings are not read yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderText {
    settings: Fields,
    methods: Vec<Method>,
}

type Fields = serde_json::Map<String, Value>;

impl Settings {
    /// Takes every field, within its bounds, or says what it must be.
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        let fields = &mut fields;
        let settings = Self {
            prompt: text(fields, "prompt")?,
            negative_prompt: text(fields, "negative_prompt")?,
            concept: take(fields, "concept", "Pick words of the prompt.", |_| true)?,
            reference: take(fields, "reference", "Choose a picture.", |_| true)?,
            scale: take(fields, "scale", "A number between -10 and 10.", |scale| {
                (-LARGEST_SCALE..=LARGEST_SCALE).contains(scale)
            })?,
            warmup: take(
                fields,
                "warmup",
                "A share of the steps, 0 to 1.",
                |warmup| (0.0..=1.0).contains(warmup),
            )?,
            seed: take(
                fields,
                "seed",
                "A whole number that is not negative.",
                |seed: &String| seed.parse::<u64>().is_ok(),
            )?,
            steps: take(
                fields,
                "steps",
                "A whole number between 1 and 200.",
                |steps| (1..=MOST_STEPS).contains(steps),
            )?,
            guidance: take(
                fields,
                "guidance",
                "A number between 0 and 50.",
                |guidance| (0.0..=LARGEST_GUIDANCE).contains(guidance),
            )?,
            scheduler: take(
                fields,
                "scheduler",
                "There is no such scheduler.",
                |name: &Option<String>| {
                    name.as_deref()
                        .is_none_or(|name| name.parse::<SchedulerName>().is_ok())
                },
            )?,
            model: take(fields, "model", "Choose a model.", |model: &String| {
                !model.is_empty()
            })?,
            adapter: take(fields, "adapter", "Choose an adapter.", |_| true)?,
            width: edge(fields, "width")?,
            height: edge(fields, "height")?,
        };
        if let Some(name) = fields.keys().next() {
            let message = format!("There is no setting `{}`.", shown(name));
            return Err(Refusal::whole(StatusCode::BAD_REQUEST, message));
        }
        if settings.prompt.trim().is_empty() {
            return Err(Refusal::of("prompt", "Say what the picture shows."));
        }
        let phrase = settings.concept.is_some().then(|| settings.phrase());
        match phrase.is_none_or(|phrase| phrase.is_some_and(|phrase| !phrase.trim().is_empty())) {
            true => Ok(settings),
            false => Err(Refusal::of("concept", "Pick words of the prompt.")),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.parse().unwrap_or_default()
    }

    /// The words that the reference stands for.
    pub(crate) fn phrase(&self) -> Option<&str> {
        self.prompt.get(self.concept.clone()?)
    }

    /// The id of the picture that these settings give.
    pub(crate) fn id(&self, method: Method) -> String {
        let said = serde_json::to_vec(&(self, method));
        hash(&said.expect("strings and finite numbers can be written"))
    }
}

/// A field, if it is of its type and within its bounds.
fn take<T: DeserializeOwned>(
    fields: &mut Fields,
    name: &'static str,
    expected: &str,
    within: impl FnOnce(&T) -> bool,
) -> Result<T, Refusal> {
    let value = fields.remove(name).unwrap_or_default();
    let value = serde_json::from_value(value).ok().filter(within);
    value.ok_or_else(|| Refusal::of(name, expected))
}

/// One line of a bounded length.
fn text(fields: &mut Fields, name: &'static str) -> Result<String, Refusal> {
    let expected = "One line of at most 4000 bytes.";
    take(fields, name, expected, |text: &String| {
        text.len() <= LONGEST_PROMPT && !text.chars().any(char::is_control)
    })
}

fn edge(fields: &mut Fields, name: &'static str) -> Result<Option<usize>, Refusal> {
    let expected = "A multiple of 8, at most 2048.";
    take(fields, name, expected, |edge: &Option<usize>| {
        edge.is_none_or(|edge| edge > 0 && edge % 8 == 0 && edge <= LONGEST_SIDE)
    })
}
