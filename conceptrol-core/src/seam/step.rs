//! Where a generation stands, and which rows of a batch are which.

use std::{fmt, ops::Range};

use crate::seam::InstallError;

/// One evaluation of the denoiser.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepInfo {
    /// Number of the step, counted from 0. Schedulers of second order (Heun, KDPM2) evaluate a step twice: both evaluations
    /// have its number.
    pub index: usize,
    /// Number of steps of the whole generation. PNDM, which does its first step twice, has one more than was asked for.
    pub total: usize,
    /// The scheduler's timestep.
    pub timestep: f64,
}

impl StepInfo {
    /// Step `index` of `total`, at this timestep of the scheduler.
    pub const fn new(index: usize, total: usize, timestep: f64) -> Self {
        Self {
            index,
            total,
            timestep,
        }
    }
}

/// The part of a generation in which an image condition acts.
///
/// Step `i` of `n` is inside when `i / n >= start` and `(i + 1) / n <= end`, in f64 as in
/// diffusers' `control_guidance_start` and `_end`.
///
/// ```
/// use conceptrol_core::StepWindow;
/// let window = StepWindow::after_warmup(0.2)?;
/// assert!(!window.contains(9, 50));
/// assert!(window.contains(10, 50));
/// assert!(StepWindow::after_warmup(f64::NAN).is_err());
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepWindow {
    start: f64,
    end: f64,
}

impl StepWindow {
    /// The whole generation.
    pub const ALWAYS: Self = Self {
        start: 0.0,
        end: 1.0,
    };

    /// From fraction `start` to fraction `end` of the generation.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless both lie in 0..=1.
    pub fn new(start: f64, end: f64) -> Result<Self, InstallError> {
        for (name, value) in [
            ("the start of the window", start),
            ("the end of the window", end),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(InstallError::OutOfRange {
                    name,
                    value,
                    expected: "between 0 and 1",
                });
            }
        }
        Ok(Self { start, end })
    }

    /// From fraction `warmup` to the end.
    ///
    /// # Errors
    ///
    /// As [`StepWindow::new`].
    pub fn after_warmup(warmup: f64) -> Result<Self, InstallError> {
        Self::new(warmup, 1.0)
    }

    /// The fraction of the generation at which it begins.
    pub const fn start(&self) -> f64 {
        self.start
    }

    /// The fraction of the generation at which it ends.
    pub const fn end(&self) -> f64 {
        self.end
    }

    /// Whether step `index` of `total` is inside.
    #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
    pub fn contains(&self, index: usize, total: usize) -> bool {
        let total = total as f64;
        index as f64 / total >= self.start && (index + 1) as f64 / total <= self.end
    }
}

impl fmt::Display for StepWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// How strongly the image condition acts over a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ConditionSchedule {
    /// Strength inside the window: the IP-Adapter scale, or OminiControl's condition scale.
    pub scale: f32,
    /// When it acts.
    pub window: StepWindow,
    /// Strength outside the window: 0 for an IP-Adapter, 0.5 for FLUX.
    pub outside: f32,
}

impl ConditionSchedule {
    /// `scale` within `window`, nothing outside it.
    pub const fn new(scale: f32, window: StepWindow) -> Self {
        Self {
            scale,
            window,
            outside: 0.0,
        }
    }

    /// Sets the strength outside the window.
    pub const fn outside(mut self, outside: f32) -> Self {
        self.outside = outside;
        self
    }

    /// Whether it is the same at every step.
    pub fn is_constant(&self) -> bool {
        self.window == StepWindow::ALWAYS || self.scale.to_bits() == self.outside.to_bits()
    }

    /// Strength at a step.
    pub fn at(&self, step: StepInfo) -> f32 {
        if self.window.contains(step.index, step.total) {
            self.scale
        } else {
            self.outside
        }
    }
}

impl Default for ConditionSchedule {
    fn default() -> Self {
        Self::new(1.0, StepWindow::ALWAYS)
    }
}

/// The rows of every tensor of a generation.
///
/// With guidance they are `[unconditional x images, conditional x images]`, without it
/// `[conditional x images]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLayout {
    /// Pictures made at once.
    pub images: usize,
    /// Whether unconditional rows come first.
    pub guided: bool,
}

impl BatchLayout {
    /// Unconditional and conditional rows for `images` pictures.
    pub const fn guided(images: usize) -> Self {
        Self {
            images,
            guided: true,
        }
    }

    /// Conditional rows only.
    pub const fn unguided(images: usize) -> Self {
        Self {
            images,
            guided: false,
        }
    }

    /// Number of rows.
    pub const fn rows(&self) -> usize {
        if self.guided {
            2 * self.images
        } else {
            self.images
        }
    }

    /// The conditional rows.
    pub const fn conditional(&self) -> Range<usize> {
        if self.guided {
            self.images..2 * self.images
        } else {
            0..self.images
        }
    }
}
