//! Charts as SVG within a page: colours are classes that the page's style sets, so that they follow light and dark.

use svg::Node as _;

mod axis;
mod dots;
mod draw;
mod heat;
mod labels;
mod legend;
mod lines;

pub(crate) use axis::Axis;
pub(crate) use dots::Dots;
pub(crate) use heat::Heat;
pub(crate) use lines::{Line, Lines};

#[derive(Debug)]
pub(crate) enum Chart {
    Lines(Lines),
    Dots(Dots),
    Heat(Heat),
}

impl Chart {
    pub(crate) fn title(&self) -> &str {
        match self {
            Self::Lines(lines) => &lines.title,
            Self::Dots(dots) => &dots.title,
            Self::Heat(heat) => &heat.title,
        }
    }

    /// The chart as an `svg` element; none if there is nothing to draw.
    pub(crate) fn svg(&self) -> Option<String> {
        let svg = match self {
            Self::Lines(lines) => lines.draw(),
            Self::Dots(dots) => dots.draw(),
            Self::Heat(heat) => heat.draw(),
        };
        svg.map(|mut svg| {
            svg.assign("aria-label", self.title());
            svg.to_string()
        })
    }
}
