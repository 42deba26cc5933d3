//! Where numbers lie on an axis, and which of them are written there.

use std::ops::Range;

use svg::node::element::Group;

use super::draw::{stroke, text};

/// Steps between ticks, of which powers of ten are taken.
const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// At most so many steps along an axis.
const MOST: f64 = 6.0;

#[derive(Debug, Clone)]
pub(crate) struct Axis {
    name: String,
    reversed: bool,
}

/// An axis with its range in pixels.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    axis: &'a Axis,
    values: Range<f64>,
    step: f64,
    pixels: Range<f64>,
}

impl Axis {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            reversed: false,
        }
    }

    /// The largest value comes first.
    pub(crate) fn reversed(mut self) -> Self {
        self.reversed = true;
        self
    }

    /// Along `pixels`, so that all values are on it. None without a finite value.
    pub(super) fn place(
        &self,
        values: impl Iterator<Item = f64>,
        pixels: Range<f64>,
    ) -> Option<Placed<'_>> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        // a single value stands in the middle
        let margin = if low == high {
            low.abs().max(1.0) * 0.05
        } else {
            0.0
        };
        let step = step(high - low + 2.0 * margin);
        let low = ((low - margin) / step + 1e-9).floor() * step;
        let high = ((high + margin) / step - 1e-9).ceil() * step;
        let pixels = match self.reversed {
            true => pixels.end..pixels.start,
            false => pixels,
        };
        Some(Placed {
            axis: self,
            values: low..high,
            step,
            pixels,
        })
    }
}

/// The least round step that is not too fine for a range.
fn step(range: f64) -> f64 {
    let power = 10.0_f64.powf((range / MOST).log10().floor());
    let steps = STEPS.map(|step| step * power);
    let coarse = steps.into_iter().find(|step| range / step <= MOST);
    coarse.unwrap_or(10.0 * power)
}

impl Placed<'_> {
    /// Pixels of a value, to a tenth.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = (value - self.values.start) / (self.values.end - self.values.start);
        let pixels = self.pixels.start + part * (self.pixels.end - self.pixels.start);
        (10.0 * pixels).round() / 10.0
    }

    /// Ticks with what is written at them.
    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let count = ((self.values.end - self.values.start) / self.step).round() as usize;
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        (0..=count).map(move |index| {
            let value = self.values.start + index as f64 * self.step;
            (value, crate::report::table::decimal(value, digits))
        })
    }

    /// Lines across `other` and numbers below, the name under them.
    pub(super) fn horizontal(&self, other: Range<f64>) -> Group {
        let mut group = Group::new();
        for (value, written) in self.ticks() {
            let x = self.at(value);
            group = group
                .add(stroke((x, other.start), (x, other.end), "grid"))
                .add(text(&written, (x, other.end + 17.0), "middle"));
        }
        let middle = f64::midpoint(self.pixels.start, self.pixels.end);
        group.add(text(&self.axis.name, (middle, other.end + 33.0), "middle"))
    }

    /// Lines across `other` and numbers on the left, the name above them.
    pub(super) fn vertical(&self, other: Range<f64>) -> Group {
        let mut group = Group::new();
        for (value, written) in self.ticks() {
            let y = self.at(value);
            group = group
                .add(stroke((other.start, y), (other.end, y), "grid"))
                .add(text(&written, (other.start - 6.0, y + 4.0), "end"));
        }
        let top = self.pixels.start.min(self.pixels.end);
        group.add(text(&self.axis.name, (2.0, top - 10.0), ""))
    }
}
