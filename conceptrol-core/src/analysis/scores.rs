//! The two scores personalised generation is judged by, and their product (`DreamBench++`).

use super::error::AnalysisError;

/// The best rating a judge may give.
const BEST: f64 = 4.0;

/// Concept preservation (is it this object?) and prompt following (is it what was asked for?), each 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Concept preservation.
    pub concept: f64,
    /// Prompt following.
    pub prompt: f64,
}

impl Scores {
    /// Means of ratings between 0 and 4, divided by 4.
    ///
    /// # Errors
    /// [`AnalysisError::NoRatings`] or [`AnalysisError::Rating`].
    ///
    /// ```
    /// use conceptrol_core::analysis::Scores;
    ///
    /// let scores = Scores::from_ratings(&[4.0, 2.0], &[3.0]).unwrap();
    /// assert_eq!(scores.product(), 0.75 * 0.75);
    /// assert!(Scores::from_ratings(&[5.0], &[3.0]).is_err());
    /// ```
    pub fn from_ratings(concept: &[f64], prompt: &[f64]) -> Result<Self, AnalysisError> {
        Ok(Self {
            concept: mean(concept)?,
            prompt: mean(prompt)?,
        })
    }

    /// The number methods are ranked by: copying the reference and ignoring it both score low.
    pub fn product(self) -> f64 {
        self.concept * self.prompt
    }
}

fn mean(ratings: &[f64]) -> Result<f64, AnalysisError> {
    if ratings.is_empty() {
        return Err(AnalysisError::NoRatings);
    }
    if let Some(&value) = ratings.iter().find(|r| !(0.0..=BEST).contains(*r)) {
        return Err(AnalysisError::Rating { value, best: BEST });
    }
    Ok(ratings.iter().sum::<f64>() / (BEST * ratings.len() as f64))
}
