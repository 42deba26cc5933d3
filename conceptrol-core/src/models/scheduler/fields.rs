//! Typed reading of a configuration's fields; an absent or null field has the class's default.

use serde_json::{Map, Value};

use super::error::SchedulerError;

/// The fields of one configuration, read on behalf of `class`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) class: &'static str,
    pub(super) values: &'a Map<String, Value>,
}

/// A closed set of strings in configurations.
pub(super) trait Choice: Copy + 'static {
    /// Every accepted spelling with its meaning.
    const CHOICES: &'static [(&'static str, Self)];
}

impl Fields<'_> {
    fn present(&self, field: &str) -> Option<&Value> {
        self.values.get(field).filter(|value| !value.is_null())
    }

    fn wrong(
        &self,
        field: &'static str,
        value: &Value,
        expected: impl Into<String>,
    ) -> SchedulerError {
        SchedulerError::Field {
            class: self.class,
            field,
            value: shorten(value),
            expected: expected.into(),
        }
    }

    /// A finite number.
    pub(super) fn number(&self, field: &'static str, default: f64) -> Result<f64, SchedulerError> {
        Ok(self.optional_number(field)?.unwrap_or(default))
    }

    /// A finite number, or nothing.
    pub(super) fn optional_number(
        &self,
        field: &'static str,
    ) -> Result<Option<f64>, SchedulerError> {
        let Some(value) = self.present(field) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| number.is_finite());
        number
            .map(Some)
            .ok_or_else(|| self.wrong(field, value, "a finite number"))
    }

    /// A whole number of `0..=max`.
    pub(super) fn count(
        &self,
        field: &'static str,
        default: usize,
        max: usize,
    ) -> Result<usize, SchedulerError> {
        let Some(value) = self.present(field) else {
            return Ok(default);
        };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count
            .filter(|count| *count <= max)
            .ok_or_else(|| self.wrong(field, value, format!("a whole number up to {max}")))
    }

    /// True or false.
    pub(super) fn flag(&self, field: &'static str, default: bool) -> Result<bool, SchedulerError> {
        let Some(value) = self.present(field) else {
            return Ok(default);
        };
        value
            .as_bool()
            .ok_or_else(|| self.wrong(field, value, "true or false"))
    }

    /// One of a closed set of strings.
    pub(super) fn choice<C: Choice>(
        &self,
        field: &'static str,
        default: C,
    ) -> Result<C, SchedulerError> {
        let Some(value) = self.present(field) else {
            return Ok(default);
        };
        let found = value
            .as_str()
            .and_then(|name| C::CHOICES.iter().find(|(known, _)| *known == name));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let known: Vec<_> = C::CHOICES.iter().map(|(known, _)| *known).collect();
            self.wrong(field, value, format!("one of {}", known.join(", ")))
        })
    }

    /// A list of finite numbers, if there is one.
    pub(super) fn numbers(&self, field: &'static str) -> Result<Option<Vec<f64>>, SchedulerError> {
        let Some(value) = self.present(field) else {
            return Ok(None);
        };
        let numbers: Option<Vec<f64>> = value
            .as_array()
            .and_then(|items| items.iter().map(Value::as_f64).collect());
        numbers
            .map(Some)
            .ok_or_else(|| self.wrong(field, value, "a list of numbers"))
    }

    /// A number that may be Python's negative infinity, as left by [`super::parse_python_json`].
    pub(super) fn lower_bound(&self, field: &'static str) -> Result<f64, SchedulerError> {
        match self.present(field) {
            Some(Value::String(word)) if word == "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => self.number(field, f64::NEG_INFINITY),
        }
    }

    /// Refuses a field that is set to anything but its neutral value.
    pub(super) fn refuse(&self, field: &'static str) -> Result<(), SchedulerError> {
        match self.present(field) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(value) => Err(SchedulerError::Unsupported {
                class: self.class,
                field,
                value: shorten(value),
            }),
        }
    }

    /// A number above zero, or nothing.
    pub(super) fn positive(&self, field: &'static str) -> Result<Option<f64>, SchedulerError> {
        match self.optional_number(field)? {
            Some(number) if number <= 0.0 => Err(self.out_of_range(field, "above 0")),
            number => Ok(number),
        }
    }

    /// The range to which `flag` clips the predicted picture, if it is set.
    pub(super) fn clip(
        &self,
        flag: &'static str,
        default: bool,
    ) -> Result<Option<f64>, SchedulerError> {
        let range = self.positive("clip_sample_range")?.unwrap_or(1.0);
        Ok(self.flag(flag, default)?.then_some(range))
    }

    /// The order of a multistep solver.
    pub(super) fn order(&self, max: usize) -> Result<usize, SchedulerError> {
        match self.count("solver_order", 2, max)? {
            0 => Err(self.out_of_range("solver_order", "at least 1")),
            order => Ok(order),
        }
    }

    /// Checks a number of inference steps.
    pub(super) fn steps(&self, steps: usize, min: usize, max: usize) -> Result<(), SchedulerError> {
        match (min..=max).contains(&steps) {
            true => Ok(()),
            false => Err(SchedulerError::Steps {
                class: self.class,
                steps,
                min,
                max,
            }),
        }
    }

    /// Checks that timesteps index the training schedule.
    pub(super) fn within(
        &self,
        timesteps: Vec<i64>,
        train: usize,
    ) -> Result<Vec<usize>, SchedulerError> {
        let check = |(step, timestep): (usize, i64)| {
            let index = usize::try_from(timestep)
                .ok()
                .filter(|index| *index < train);
            index.ok_or(SchedulerError::Timestep {
                class: self.class,
                step,
                timestep,
                train,
            })
        };
        timesteps.into_iter().enumerate().map(check).collect()
    }

    /// The error for a value that diffusers knows and this crate does not.
    pub(super) fn unsupported(&self, field: &'static str) -> SchedulerError {
        let value = shorten(self.values.get(field).unwrap_or(&Value::Null));
        SchedulerError::Unsupported {
            class: self.class,
            field,
            value,
        }
    }

    /// The error for a value that parses but is out of range.
    pub(super) fn out_of_range(
        &self,
        field: &'static str,
        expected: impl Into<String>,
    ) -> SchedulerError {
        self.wrong(
            field,
            self.values.get(field).unwrap_or(&Value::Null),
            expected,
        )
    }
}

/// A value as it appears in an error message: hostile configurations may be long.
fn shorten(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
