//! Tables of text and estimates, and how a terminal shows them.

use std::fmt;

use super::summary::Estimate;

#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Part of the name of its CSV file.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    /// A site's or a file's name, which may be broken at its dots.
    Name(String),
    Number {
        value: f64,
        digits: usize,
    },
    Estimate {
        estimate: Estimate,
        digits: usize,
    },
    /// Nothing could be measured.
    Missing,
}

impl Cell {
    /// A share or a score, to a thousandth.
    pub(crate) fn score(estimate: Option<Estimate>) -> Self {
        estimate.map_or(Self::Missing, |estimate| Self::Estimate {
            estimate,
            digits: 3,
        })
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Number {
            value: count as f64,
            digits: 0,
        }
    }

    pub(crate) fn number(value: Option<f64>, digits: usize) -> Self {
        value.map_or(Self::Missing, |value| Self::Number { value, digits })
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) const fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_) | Self::Name(_))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Name(text) => f.write_str(text),
            Self::Number { value, digits } => f.write_str(&decimal(*value, *digits)),
            Self::Estimate { estimate, digits } => f.write_str(&estimate.shown(*digits)),
            Self::Missing => f.write_str("-"),
        }
    }
}

/// A number with a fixed number of digits; what is rounded to zero has no sign.
pub(crate) fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => text,
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let body: Vec<Vec<String>> = (self.rows.iter())
            .map(|row| row.iter().map(Cell::to_string).collect())
            .collect();
        let width = |column: usize| {
            let lines = std::iter::once(&self.head).chain(&body);
            let widths = lines.filter_map(|line| line.get(column).map(|text| text.chars().count()));
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        for (index, line) in std::iter::once(&self.head).chain(&body).enumerate() {
            let mut text = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                let example = if index == 0 { 0 } else { index - 1 };
                let row = self.rows.get(example);
                let right = row
                    .and_then(|row| row.get(column))
                    .is_some_and(Cell::is_number);
                text += &if right {
                    format!("  {cell:>width$}")
                } else {
                    format!("  {cell:<width$}")
                };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}
