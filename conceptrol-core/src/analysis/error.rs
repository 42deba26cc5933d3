//! Why a measure is undefined.

/// A measure has no value for these arrays.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// Two arrays that must lie on the same grid do not.
    #[error("the {what} is {found:?}, the other array {expected:?} (height, width)")]
    Shape {
        /// The array that does not fit.
        what: &'static str,
        /// Its height and width.
        found: (usize, usize),
        /// The height and width it must have.
        expected: (usize, usize),
    },
    /// All cells are inside the region, or all outside.
    #[error(
        "the region covers {inside} of {cells} cells: there must be some inside and some outside"
    )]
    OneSided {
        /// Cells inside the region.
        inside: usize,
        /// Cells in all.
        cells: usize,
    },
    /// A map without light, or with less than two cells.
    #[error("a map of {cells} cells whose values are all 0, or of less than two, points nowhere")]
    Dark {
        /// Cells of the map.
        cells: usize,
    },
    /// A value that is NaN or infinite, or negative where that has no meaning.
    #[error("the {what} holds {value} at row {row}, column {column}")]
    NotFinite {
        /// The array.
        what: &'static str,
        /// The value.
        value: f32,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// A rating outside its scale.
    #[error("rating {value} is not between 0 and {best}")]
    Rating {
        /// The rating.
        value: f64,
        /// The best one.
        best: f64,
    },
    /// No ratings at all.
    #[error("there are no ratings")]
    NoRatings,
    /// Too few units to resample.
    #[error("there are {found} units: an interval needs {least}")]
    TooFew {
        /// Units that are there.
        found: usize,
        /// Units that are needed.
        least: usize,
    },
    /// Two samples that must be of the same units have different numbers of them.
    #[error("one sample has {first} units, the other {second}")]
    Unpaired {
        /// Units of the first sample.
        first: usize,
        /// Units of the second.
        second: usize,
    },
    /// A statistic has no value for the sample, or for one that was drawn from it.
    #[error("the statistic is {value} for units that were drawn")]
    Undefined {
        /// What was computed instead.
        value: f64,
    },
}
