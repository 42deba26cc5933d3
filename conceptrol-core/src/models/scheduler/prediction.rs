//! What the model predicts, and how its output turns into the clean picture and the noise.

use crate::models::config::Choice;

/// What the model was trained to predict (`prediction_type`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Prediction {
    /// The noise.
    Epsilon,
    /// The clean picture.
    Sample,
    /// `alpha * noise - sigma * picture` (Salimans and Ho, 2022).
    V,
}

impl Choice for Prediction {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("epsilon", Self::Epsilon),
        ("sample", Self::Sample),
        ("v_prediction", Self::V),
    ];
}

/// Factors of (sample, model output) in a weighted sum.
pub(super) type Factors = [f32; 2];

impl Prediction {
    /// The clean picture where `sample = alpha * picture + sigma * noise`.
    pub(super) fn original(self, alpha: f32, sigma: f32) -> Factors {
        match self {
            Self::Epsilon => [1.0 / alpha, -sigma / alpha],
            Self::Sample => [0.0, 1.0],
            Self::V => [alpha, -sigma],
        }
    }

    /// The noise where `sample = alpha * picture + sigma * noise`.
    pub(super) fn noise(self, alpha: f32, sigma: f32) -> Factors {
        match self {
            Self::Epsilon => [0.0, 1.0],
            Self::Sample => [1.0 / sigma, -alpha / sigma],
            Self::V => [sigma, alpha],
        }
    }

    /// The clean picture where `sample = picture + sigma * noise`, as in the Euler schedulers.
    pub(super) fn exploding_original(self, sigma: f32) -> Factors {
        let variance = sigma * sigma + 1.0;
        match self {
            Self::Epsilon => [1.0, -sigma],
            Self::Sample => [0.0, 1.0],
            Self::V => [1.0 / variance, -sigma / variance.sqrt()],
        }
    }

    /// The noise where `sample = picture + sigma * noise`: the derivative of the sample by sigma.
    pub(super) fn exploding_noise(self, sigma: f32) -> Factors {
        let variance = sigma * sigma + 1.0;
        match self {
            Self::Epsilon => [0.0, 1.0],
            Self::Sample => [1.0 / sigma, -1.0 / sigma],
            Self::V => [sigma / variance, 1.0 / variance.sqrt()],
        }
    }

    /// Euler's step between two levels of `sample = picture + sigma * noise`, with the clean picture at the first.
    pub(super) fn exploding_step(self, from: f32, to: f32, original: Factors) -> Factors {
        let kept = to / from;
        let [of_sample, of_output] = original;
        match self {
            Self::Epsilon => [1.0, to - from],
            // Towards the clean picture; the derivative would cancel at high sigmas.
            Self::Sample | Self::V => [kept + (1.0 - kept) * of_sample, (1.0 - kept) * of_output],
        }
    }
}

/// Signal and noise factors of a level of the noise-to-signal ratio, with unit variance in all.
pub(super) fn alpha_sigma(ratio: f32) -> (f32, f32) {
    let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
    (alpha, ratio * alpha)
}
