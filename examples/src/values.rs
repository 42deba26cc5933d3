//! Values of command lines: what each must be is said where it is not.

use std::str::FromStr;

/// A number that is neither infinite nor NaN in its type.
///
/// # Errors
///
/// What was expected.
pub fn finite<T: FromStr + Copy + Into<f64>>(text: &str) -> Result<T, String> {
    let value: T = text.parse().map_err(|_| "expected a number")?;
    if value.into().is_finite() {
        Ok(value)
    } else {
        Err("expected a finite number".into())
    }
}

/// A number between 0 and 1.
///
/// # Errors
///
/// What was expected.
pub fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number between 0 and 1".into()),
    }
}

/// A whole number that is not 0.
///
/// # Errors
///
/// What was expected.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number of at least 1".into()),
    }
}
