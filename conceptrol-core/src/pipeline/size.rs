//! Sizes of pictures.

use std::fmt;

/// Size of a picture in pixels. Height comes first, as in tensors and grids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageSize {
    /// `height` rows of `width` pixels.
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// As high as wide.
    pub const fn square(edge: usize) -> Self {
        Self::new(edge, edge)
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.height.saturating_mul(self.width)
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "height {}, width {}", self.height, self.width)
    }
}
