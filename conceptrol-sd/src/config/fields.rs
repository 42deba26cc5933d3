use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::ConfigError;

/// The fields of a configuration, read one by one so that every error names its field; `null` counts as absent.
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }

    pub(super) fn get(&self, field: &'static str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field is there and holds `null`.
    pub(super) fn is_null(&self, field: &'static str) -> bool {
        self.0.get(field).is_some_and(Value::is_null)
    }

    pub(super) fn bool(&self, field: &'static str) -> Result<Option<bool>, ConfigError> {
        self.get(field)
            .map(|value| as_bool(field, value))
            .transpose()
    }

    /// A finite number.
    pub(super) fn number(&self, field: &'static str) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| number.is_finite());
        number
            .map(Some)
            .ok_or_else(|| wrong_type(field, "a number", value))
    }

    pub(super) fn text(&self, field: &'static str) -> Result<Option<&'a str>, ConfigError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| wrong_type(field, "a string", value))
    }

    pub(super) fn size(
        &self,
        field: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ConfigError> {
        self.get(field)
            .map(|value| as_size(field, value, &range))
            .transpose()
    }

    /// A list with a number of entries in `range`.
    pub(super) fn list(
        &self,
        field: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<&'a [Value]>, ConfigError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let Value::Array(entries) = value else {
            return Err(wrong_type(field, "a list", value));
        };
        if !range.contains(&entries.len()) {
            return Err(ConfigError::OutOfRange {
                field,
                value: format!("a list of {}", entries.len()),
                min: *range.start(),
                max: *range.end(),
            });
        }
        Ok(Some(entries))
    }

    /// A value for all levels, or a list with one value a level.
    pub(super) fn per_level<T: Clone>(
        &self,
        field: &'static str,
        levels: usize,
        parse: impl Fn(&Value) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Array(entries)) if entries.len() != levels => {
                Err(ConfigError::WrongLength {
                    field,
                    found: entries.len(),
                    expected: levels,
                    of: "levels",
                })
            }
            Some(Value::Array(entries)) => entries
                .iter()
                .map(parse)
                .collect::<Result<_, _>>()
                .map(Some),
            Some(value) => Ok(Some(vec![parse(value)?; levels])),
        }
    }

    /// A feature this crate does not compute: the field must be absent or hold diffusers' default.
    pub(super) fn must_be(
        &self,
        field: &'static str,
        default: impl Into<Value>,
        supported: &'static str,
    ) -> Result<(), ConfigError> {
        let default = default.into();
        match self.get(field) {
            None => Ok(()),
            Some(value) if *value == default => Ok(()),
            // 1 and 1.0 are the same setting.
            Some(value) if value.as_f64().is_some() && value.as_f64() == default.as_f64() => Ok(()),
            Some(value) => Err(unsupported(field, value, supported)),
        }
    }
}

/// The value of a field that has no default.
pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { field })
}

pub(super) fn as_size(
    field: &'static str,
    value: &Value,
    range: &RangeInclusive<usize>,
) -> Result<usize, ConfigError> {
    let Some(number) = value.as_u64() else {
        return Err(wrong_type(field, "a whole number", value));
    };
    match usize::try_from(number) {
        Ok(size) if range.contains(&size) => Ok(size),
        _ => Err(ConfigError::OutOfRange {
            field,
            value: number.to_string(),
            min: *range.start(),
            max: *range.end(),
        }),
    }
}

pub(super) fn as_bool(field: &'static str, value: &Value) -> Result<bool, ConfigError> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(field, "true or false", value))
}

pub(super) fn wrong_type(
    field: &'static str,
    expected: &'static str,
    value: &Value,
) -> ConfigError {
    ConfigError::WrongType {
        field,
        expected,
        found: shortened(value),
    }
}

pub(super) fn unsupported(
    field: &'static str,
    value: &Value,
    supported: &'static str,
) -> ConfigError {
    ConfigError::Unsupported {
        field,
        value: shortened(value),
        supported,
    }
}

/// A value as it stands in the file, cut to a length that fits in a message.
fn shortened(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
