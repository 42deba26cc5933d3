use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{ConfigError, parse_python_json};
use crate::models::file::{Content, read_text};

/// Bytes of the largest configuration that is read. Published ones have a few kilobytes.
const MOST_BYTES: u64 = 1 << 20;
/// Characters of a value that an error shows.
const LONGEST_VALUE: usize = 60;

/// A closed set of strings in configurations.
pub trait Choice: Copy + 'static {
    /// Every accepted spelling with its meaning.
    const CHOICES: &'static [(&'static str, Self)];
}

/// The fields of a configuration, read one by one: each error names the file, the model, the field, its value and what
/// would be accepted. A field that is `null` counts as absent; unknown fields are nobody's business.
///
/// ```
/// use conceptrol_core::models::config::Fields;
///
/// let fields = Fields::parse("unet", r#"{"in_channels": 4, "layers_per_block": 900}"#)?;
/// assert_eq!(fields.size("in_channels", 1..=16384)?, 4);
/// assert_eq!(fields.size_or("out_channels", 1..=16384, 4)?, 4);
///
/// let error = fields.size("layers_per_block", 1..=8).unwrap_err();
/// assert_eq!(error.to_string(), "unet field `layers_per_block` is 900, but must be a whole number in 1..=8");
/// # Ok::<(), conceptrol_core::models::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    file: Option<PathBuf>,
    model: &'static str,
    values: Map<String, Value>,
}

impl Fields {
    /// Fields that are in no file. Errors call what they configure `model`.
    pub fn new(model: &'static str, values: Map<String, Value>) -> Self {
        Self {
            file: None,
            model,
            values,
        }
    }

    /// Reads a file, which may have Python's numbers that are not JSON; see [`parse_python_json`].
    ///
    /// # Errors
    /// [`ConfigError::Read`] if it cannot be read, is no regular file or has more than a mebibyte, and
    /// [`ConfigError::Json`] if it is not a JSON object.
    pub fn open(model: &'static str, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = read_text(path, MOST_BYTES).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::of_text(Some(path.to_owned()), model, &text)
    }

    /// As [`open`](Self::open), for a text in memory.
    ///
    /// # Errors
    /// [`ConfigError::Json`] if it is not a JSON object.
    pub fn parse(model: &'static str, text: &str) -> Result<Self, ConfigError> {
        Self::of_text(None, model, text)
    }

    fn of_text(
        file: Option<PathBuf>,
        model: &'static str,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let reason = match parse_python_json(text) {
            Ok(Value::Object(values)) => {
                return Ok(Self {
                    file,
                    model,
                    values,
                });
            }
            Ok(_) => "the configuration is not a JSON object".to_owned(),
            Err(error) => match Content::of(text.as_bytes()) {
                Some(found) if found != Content::Json => format!("{found}, not a configuration"),
                _ => format!("the configuration is not JSON: {error}"),
            },
        };
        Err(ConfigError::Json {
            file,
            model,
            reason,
        })
    }

    /// What is configured, as errors call it.
    pub fn model(&self) -> &'static str {
        self.model
    }

    /// The same fields on behalf of another model.
    #[must_use]
    pub fn of(&self, model: &'static str) -> Self {
        Self {
            model,
            ..self.clone()
        }
    }

    /// The same fields with one set.
    #[must_use]
    pub fn with(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(field.into(), value.into());
        self
    }

    /// The fields of an object within this one, which errors call `model`.
    ///
    /// # Errors
    /// If the field is absent or no object.
    pub fn object(&self, field: &'static str, model: &'static str) -> Result<Self, ConfigError> {
        match self.value(field) {
            Some(Value::Object(values)) => Ok(Self {
                file: self.file.clone(),
                model,
                values: values.clone(),
            }),
            _ => Err(self.error(field, "an object")),
        }
    }

    /// Every field with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.values.iter()
    }

    /// The value of a field, unless it is absent or null.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.values.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field is there and null.
    pub fn is_null(&self, field: &str) -> bool {
        self.values.get(field).is_some_and(Value::is_null)
    }

    /// A whole number in `range`.
    ///
    /// # Errors
    /// If the field is absent or anything else.
    pub fn size(
        &self,
        field: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        let size = self.optional_size(field, range.clone())?;
        size.ok_or_else(|| self.error(field, whole_number(&range)))
    }

    /// A whole number in `range`, or `default` if the field is absent.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn size_or(
        &self,
        field: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, ConfigError> {
        Ok(self.optional_size(field, range)?.unwrap_or(default))
    }

    /// A whole number in `range`, if the field is there.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn optional_size(
        &self,
        field: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ConfigError> {
        let size = self
            .value(field)
            .map(|value| self.as_size(field, value, &range));
        size.transpose()
    }

    /// A list of whole numbers in `range`, with a number of entries in `lengths`.
    ///
    /// # Errors
    /// If the field is absent or anything else.
    pub fn sizes(
        &self,
        field: &'static str,
        lengths: RangeInclusive<usize>,
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>, ConfigError> {
        let list = self.list(field, lengths)?;
        let size = |value| self.as_size(field, value, &range);
        list.iter().map(size).collect()
    }

    /// A finite number, if the field is there.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn optional_number(&self, field: &'static str) -> Result<Option<f64>, ConfigError> {
        self.read(field, "a finite number", |value| {
            value.as_f64().filter(|number| number.is_finite())
        })
    }

    /// A finite number, or `default` if the field is absent.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn number_or(&self, field: &'static str, default: f64) -> Result<f64, ConfigError> {
        Ok(self.optional_number(field)?.unwrap_or(default))
    }

    /// True or false, or `default` if the field is absent.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn flag_or(&self, field: &'static str, default: bool) -> Result<bool, ConfigError> {
        let flag = self.read(field, "true or false", Value::as_bool)?;
        Ok(flag.unwrap_or(default))
    }

    /// A string, if the field is there.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn optional_text(&self, field: &'static str) -> Result<Option<&str>, ConfigError> {
        self.read(field, "a string", Value::as_str)
    }

    /// One of a closed set of strings, or `default` if the field is absent.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn choice_or<C: Choice>(&self, field: &'static str, default: C) -> Result<C, ConfigError> {
        let Some(value) = self.value(field) else {
            return Ok(default);
        };
        let chosen = C::CHOICES.iter().find(|(name, _)| value == name);
        chosen.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<_> = C::CHOICES.iter().map(|(name, _)| *name).collect();
            self.error(field, format!("one of {}", names.join(", ")))
        })
    }

    /// A list with a number of entries in `lengths`.
    ///
    /// # Errors
    /// If the field is absent or anything else.
    pub fn list(
        &self,
        field: &'static str,
        lengths: RangeInclusive<usize>,
    ) -> Result<&[Value], ConfigError> {
        match self.value(field) {
            Some(Value::Array(entries)) if lengths.contains(&entries.len()) => Ok(entries),
            _ => {
                let expected = match lengths.into_inner() {
                    (least, most) if least == most => format!("a list of {most} entries"),
                    (least, most) => format!("a list of {least} to {most} entries"),
                };
                Err(self.error(field, expected))
            }
        }
    }

    /// A list of finite numbers, if the field is there.
    ///
    /// # Errors
    /// If the field is anything else.
    pub fn optional_numbers(&self, field: &'static str) -> Result<Option<Vec<f64>>, ConfigError> {
        self.read(field, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    /// Checks that the field is absent or `neutral`: any other value asks for what is not computed here.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn must_be(
        &self,
        field: &'static str,
        neutral: impl Into<Value>,
    ) -> Result<(), ConfigError> {
        let neutral = neutral.into();
        match self.value(field) {
            None => Ok(()),
            Some(value) if *value == neutral => Ok(()),
            // 1 and 1.0 are the same setting
            Some(value) if value.is_number() && value.as_f64() == neutral.as_f64() => Ok(()),
            Some(_) => Err(self.error(field, neutral.to_string())),
        }
    }

    /// `value` as a whole number in `range`; the value is that of `field`, or in its list.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn as_size(
        &self,
        field: &'static str,
        value: &Value,
        range: &RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| range.contains(size))
            .ok_or_else(|| self.wrong(field, value, whole_number(range)))
    }

    /// The error for a field whose value is not what is `expected`.
    pub fn error(&self, field: &'static str, expected: impl Into<String>) -> ConfigError {
        self.refuse(field, self.values.get(field), expected)
    }

    /// The error for a `value` within a field that is not what is `expected`.
    pub fn wrong(
        &self,
        field: &'static str,
        value: &Value,
        expected: impl Into<String>,
    ) -> ConfigError {
        self.refuse(field, Some(value), expected)
    }

    fn refuse(
        &self,
        field: &'static str,
        value: Option<&Value>,
        expected: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Field {
            file: self.file.clone(),
            model: self.model,
            field,
            value: value.map_or_else(|| "absent".to_owned(), shortened),
            expected: expected.into(),
        }
    }

    fn read<'a, T>(
        &'a self,
        field: &'static str,
        expected: &'static str,
        parse: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.value(field) else {
            return Ok(None);
        };
        match parse(value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.error(field, expected)),
        }
    }
}

fn whole_number(range: &RangeInclusive<usize>) -> String {
    format!("a whole number in {}..={}", range.start(), range.end())
}

/// A value as it stands in the file, cut to a length that fits in a message.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
