//! Ranges of token indices.

use std::fmt;
use std::ops::Range;

use super::error::SpanError;

/// A non-empty range of indices into a text encoder's sequence, the start token counted.
///
/// In `<start> a red cat <end>` the words "red cat" are the span 2..4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenSpan {
    start: usize,
    end: usize,
}

impl TokenSpan {
    /// The tokens `range.start` up to, not including, `range.end`.
    ///
    /// # Errors
    /// [`SpanError::EmptyRange`] if that is none.
    ///
    /// ```
    /// use conceptrol_core::TokenSpan;
    ///
    /// assert_eq!(TokenSpan::new(2..4).unwrap().len(), 2);
    /// assert!(TokenSpan::new(4..4).is_err());
    /// ```
    pub fn new(range: Range<usize>) -> Result<Self, SpanError> {
        let Range { start, end } = range;
        if start < end {
            Ok(Self { start, end })
        } else {
            Err(SpanError::EmptyRange { start, end })
        }
    }

    /// First index.
    pub fn start(self) -> usize {
        self.start
    }

    /// Index behind the last one.
    pub fn end(self) -> usize {
        self.end
    }

    /// Number of tokens, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// The same as a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether the two share a token.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl fmt::Display for TokenSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Checks that no two concepts claim the same token: each would get the other's reference image there.
///
/// # Errors
/// [`SpanError::Overlap`] names the first two concepts that do.
pub fn check_disjoint(concepts: &[(&str, &[TokenSpan])]) -> Result<(), SpanError> {
    for (i, (first, spans)) in concepts.iter().enumerate() {
        for (second, others) in &concepts[i + 1..] {
            let shared = spans.iter().find_map(|&a| {
                let b = others.iter().find(|&&b| a.overlaps(b))?;
                Some((a, *b))
            });
            if let Some((first_span, second_span)) = shared {
                return Err(SpanError::Overlap {
                    first: (*first).to_owned(),
                    first_span: first_span.range(),
                    second: (*second).to_owned(),
                    second_span: second_span.range(),
                });
            }
        }
    }
    Ok(())
}
