//! A number for each pair of settings.

use svg::node::element::{Element, Group, Rectangle};

use super::draw::{WIDTH, document, text};
use crate::report::table::decimal;

const LEFT: f64 = 52.0;
const TOP: f64 = 26.0;
const CELL: f64 = 34.0;
const BELOW: f64 = 44.0;

#[derive(Debug)]
pub(crate) struct Heat {
    pub(crate) title: String,
    pub(crate) x: (String, Vec<f64>),
    pub(crate) y: (String, Vec<f64>),
    /// `[y][x]`
    pub(crate) values: Vec<Vec<Option<f64>>>,
}

impl Heat {
    pub(super) fn draw(&self) -> Option<Element> {
        let values = || self.values.iter().flatten().copied().flatten();
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return None;
        }
        let width = (WIDTH - LEFT - 4.0) / self.x.1.len().max(1) as f64;
        let bottom = TOP + CELL * self.y.1.len() as f64;
        let mut chart = Group::new()
            .add(text(&self.y.0, (2.0, TOP - 10.0), ""))
            .add(text(
                &self.x.0,
                (LEFT + width * self.x.1.len() as f64 / 2.0, bottom + 32.0),
                "middle",
            ));
        for (column, value) in self.x.1.iter().enumerate() {
            let x = LEFT + width * (column as f64 + 0.5);
            chart = chart.add(text(&value.to_string(), (x, bottom + 16.0), "middle"));
        }
        for (line, value) in self.y.1.iter().enumerate() {
            let y = TOP + CELL * line as f64;
            chart = chart.add(text(
                &value.to_string(),
                (LEFT - 6.0, y + CELL / 2.0 + 4.0),
                "end",
            ));
            for (column, value) in self.values[line].iter().enumerate() {
                let Some(value) = value else { continue };
                let part = if high > low {
                    (value - low) / (high - low)
                } else {
                    0.5
                };
                let x = LEFT + width * column as f64;
                let cell = Rectangle::new()
                    .set("x", x + 1.0)
                    .set("y", y + 1.0)
                    .set("width", width - 2.0)
                    .set("height", CELL - 2.0)
                    .set("class", "heat")
                    .set("fill-opacity", format!("{:.2}", 0.06 + 0.54 * part));
                chart = chart.add(cell).add(text(
                    &decimal(*value, 3),
                    (x + width / 2.0, y + CELL / 2.0 + 4.0),
                    "middle",
                ));
            }
        }
        Some(document(bottom + BELOW, chart))
    }
}
