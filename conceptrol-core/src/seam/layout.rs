//! Which tokens of a call are text, latent or condition.

use std::{fmt, ops::Range};

/// Height and width of the tokens of a site, in tokens. Never derived from their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grid {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Grid {
    /// A grid of `height` rows and `width` columns.
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// Number of tokens.
    pub const fn cells(self) -> usize {
        self.height * self.width
    }

    /// The grid after down-sampling by `factor`, rounded up as a strided convolution does.
    ///
    /// ```
    /// use conceptrol_core::Grid;
    /// assert_eq!(Grid::new(65, 48).downsampled(8), Grid::new(9, 6));
    /// ```
    pub const fn downsampled(self, factor: usize) -> Self {
        Self {
            height: self.height.div_ceil(factor),
            width: self.width.div_ceil(factor),
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// A run of tokens that lie on a grid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GridRange {
    /// Positions in the sequence.
    pub range: Range<usize>,
    /// The grid they lie on, row by row.
    pub grid: Grid,
}

impl GridRange {
    /// The tokens of a grid from `end` on, which moves behind them.
    const fn behind(end: &mut usize, grid: Grid) -> Self {
        let start = *end;
        *end += grid.cells();
        Self {
            range: start..*end,
            grid,
        }
    }
}

/// Which tokens a condition travels with, where text and latents pass through other weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenStream {
    /// Those of the text, after the words.
    Text,
    /// Those of the latents, after them.
    Latents,
}

/// The roles of the query and key tokens of a call.
///
/// Cross-attention has latent queries and text keys; self-attention latent queries and keys;
/// joint attention one sequence of text, latent and condition tokens on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenLayout {
    /// Text tokens among the keys (in joint attention also among the queries).
    pub text: Option<Range<usize>>,
    /// Latent tokens among the queries.
    pub latents: GridRange,
    /// Condition tokens among the queries and keys, one range a concept.
    pub conditions: Vec<GridRange>,
}

impl TokenLayout {
    /// Latent queries on `grid`, `text_len` text keys.
    pub fn cross(grid: Grid, text_len: usize) -> Self {
        let latents = GridRange {
            range: 0..grid.cells(),
            grid,
        };
        Self {
            text: Some(0..text_len),
            latents,
            conditions: Vec::new(),
        }
    }

    /// Latent queries and keys on `grid`.
    pub fn self_attention(grid: Grid) -> Self {
        let latents = GridRange {
            range: 0..grid.cells(),
            grid,
        };
        Self {
            text: None,
            latents,
            conditions: Vec::new(),
        }
    }

    /// One sequence `[text | latents | condition 0 | condition 1 | ...]` on both sides.
    pub fn joint(
        text_len: usize,
        latents: Grid,
        conditions: impl IntoIterator<Item = Grid>,
    ) -> Self {
        let conditions = conditions.into_iter();
        let beside = conditions.map(|grid| (TokenStream::Latents, grid));
        Self::joint_in(text_len, latents, beside)
    }

    /// One sequence `[text | conditions of the text stream | latents | conditions of the latent stream]` on both sides. The
    /// conditions are numbered as they are given, wherever they lie.
    ///
    /// ```
    /// use conceptrol_core::{Grid, TokenLayout, TokenStream};
    ///
    /// let square = Grid::new(2, 2);
    /// let layout = TokenLayout::joint_in(5, square, [(TokenStream::Latents, square), (TokenStream::Text, square)]);
    /// assert_eq!(layout.latents.range, 9..13);
    /// assert_eq!([layout.conditions[0].range.clone(), layout.conditions[1].range.clone()], [13..17, 5..9]);
    /// ```
    pub fn joint_in(
        text_len: usize,
        latents: Grid,
        conditions: impl IntoIterator<Item = (TokenStream, Grid)>,
    ) -> Self {
        let asked: Vec<_> = conditions.into_iter().collect();
        let mut placed = vec![None; asked.len()];
        let mut end = text_len;
        let mut place = |stream, end: &mut usize| {
            let all = asked.iter().zip(&mut placed);
            for ((_, grid), placed) in all.filter(|((of, _), _)| *of == stream) {
                *placed = Some(GridRange::behind(end, *grid));
            }
        };
        place(TokenStream::Text, &mut end);
        let latents = GridRange::behind(&mut end, latents);
        place(TokenStream::Latents, &mut end);
        Self {
            text: Some(0..text_len),
            latents,
            conditions: placed.into_iter().flatten().collect(),
        }
    }

    /// Number of text keys.
    pub fn text_len(&self) -> usize {
        self.text.as_ref().map_or(0, ExactSizeIterator::len)
    }

    /// Number of tokens of the text stream: the text, and the conditions that travel with it.
    pub const fn text_stream_len(&self) -> usize {
        self.latents.range.start
    }

    /// Grid of the latent queries.
    pub fn grid(&self) -> Grid {
        self.latents.grid
    }
}
