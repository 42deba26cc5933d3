//! Where a generation stands, and which rows of a batch are which.

use std::{fmt, ops::Range};

use burn::tensor::Tensor;

use crate::seam::InstallError;

/// One evaluation of the denoiser.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepInfo {
    /// Number of the step, counted from 0. Schedulers of second order (Heun, KDPM2) evaluate a step twice: both evaluations
    /// have its number.
    pub index: usize,
    /// Number of steps of the whole schedule, run or not: what starts from a picture begins at a later one. PNDM, which does its
    /// first step twice, has one more than was asked for.
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

/// What a row of a picture is conditioned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowRole {
    /// What is to be avoided, or nothing.
    Unconditional,
    /// The prompt and its references. Masks are read from this row.
    Conditional,
}

/// The rows of every tensor of a generation.
///
/// Each picture has a row for each role, one of them conditional; rows of one role are together, in the order of the roles:
/// with guidance `[unconditional x images, conditional x images]`.
///
/// ```
/// use conceptrol_core::BatchLayout;
///
/// assert_eq!(BatchLayout::unguided(2).rows(), 2);
/// assert_eq!(BatchLayout::guided(2).conditional(), 2..4);
/// assert_eq!(BatchLayout::edited(2).conditional(), 0..2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLayout {
    /// Pictures made at once.
    pub images: usize,
    roles: &'static [RowRole],
}

impl BatchLayout {
    /// Unconditional and conditional rows for `images` pictures.
    pub const fn guided(images: usize) -> Self {
        let roles = &[RowRole::Unconditional, RowRole::Conditional];
        Self { images, roles }
    }

    /// Conditional rows only.
    pub const fn unguided(images: usize) -> Self {
        let roles = &[RowRole::Conditional];
        Self { images, roles }
    }

    /// The rows of `InstructPix2Pix`: (prompt, picture), (negative prompt, picture), (negative prompt, no picture).
    pub const fn edited(images: usize) -> Self {
        let roles = &[
            RowRole::Conditional,
            RowRole::Unconditional,
            RowRole::Unconditional,
        ];
        Self { images, roles }
    }

    /// The same rows for each of so many pictures.
    pub const fn of(self, images: usize) -> Self {
        Self { images, ..self }
    }

    /// The role of each row of a picture.
    pub const fn roles(&self) -> &'static [RowRole] {
        self.roles
    }

    /// Whether there are unconditional rows.
    pub const fn is_guided(&self) -> bool {
        self.roles.len() > 1
    }

    /// Number of rows.
    pub const fn rows(&self) -> usize {
        self.roles.len() * self.images
    }

    /// The rows of all pictures for the role of this number.
    pub const fn rows_of(&self, role: usize) -> Range<usize> {
        role * self.images..(role + 1) * self.images
    }

    /// The conditional rows.
    ///
    /// # Panics
    ///
    /// Never: every layout has them.
    pub fn conditional(&self) -> Range<usize> {
        let role = (self.roles.iter()).position(|role| *role == RowRole::Conditional);
        self.rows_of(role.expect("each constructor has a conditional row"))
    }

    /// A tensor of all rows: `conditional` or `unconditional` for each role.
    ///
    /// # Shapes
    ///
    /// `[images, ..]` each -> `[rows, ..]`
    pub fn by_role<const D: usize>(
        &self,
        conditional: &Tensor<D>,
        unconditional: impl FnOnce() -> Tensor<D>,
    ) -> Tensor<D> {
        if !self.is_guided() {
            return conditional.clone();
        }
        let unconditional = unconditional();
        let of = |role: &RowRole| match role {
            RowRole::Conditional => conditional.clone(),
            RowRole::Unconditional => unconditional.clone(),
        };
        Tensor::cat(self.roles.iter().map(of).collect(), 0)
    }
}
