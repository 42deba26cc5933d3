//! Resampling filters as Pillow defines them.

use std::f64::consts::PI;

/// Which neighbours a resized pixel is made of. All of them widen when a picture shrinks (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// Linear over 1 pixel to each side.
    Bilinear,
    /// Cubic over 2 pixels, a = -0.5. What CLIP and the reference of FLUX use.
    Bicubic,
    /// Windowed sinc over 3 pixels.
    Lanczos,
}

impl Filter {
    /// Reach to one side, in pixels of the larger grid.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// Weight of a neighbour at distance `x`.
    pub(super) fn weight(self, x: f64) -> f64 {
        let distance = x.abs();
        match self {
            _ if distance >= self.support() => 0.0,
            Self::Bilinear => 1.0 - distance,
            Self::Bicubic => cubic(distance),
            Self::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (x * PI).sin() / (x * PI)
    }
}
