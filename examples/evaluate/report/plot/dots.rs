//! Estimates as dots, their intervals as bars.

use svg::node::element::{Element, Group};

use super::{
    Axis,
    draw::{WIDTH, document, mark, stroke, style, text},
    legend::legend,
};
use crate::report::summary::Estimate;

const LEFT: f64 = 12.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 6.0;
/// Height of a name, and of a dot below it.
const NAME: f64 = 18.0;
const DOT: f64 = 12.0;
const BELOW: f64 = 44.0;

/// Things in rows, with one dot a series.
#[derive(Debug)]
pub(crate) struct Dots {
    pub(crate) title: String,
    pub(crate) axis: String,
    /// All with the same things.
    pub(crate) series: Vec<Series>,
}

#[derive(Debug)]
pub(crate) struct Series {
    name: String,
    points: Vec<(String, Option<Estimate>)>,
}

impl Dots {
    pub(crate) fn series(
        name: &str,
        points: impl Iterator<Item = (String, Option<Estimate>)>,
    ) -> Series {
        Series {
            name: name.to_owned(),
            points: points.collect(),
        }
    }

    pub(super) fn draw(&self) -> Option<Element> {
        let estimates = || {
            let points = self.series.iter().flat_map(|series| &series.points);
            points.filter_map(|point| point.1)
        };
        let values = estimates().flat_map(|estimate| {
            let (low, high) = estimate
                .interval
                .unwrap_or((estimate.value, estimate.value));
            [low, estimate.value, high]
        });
        let axis = Axis::new(self.axis.as_str());
        let x = axis.place(values, LEFT..RIGHT)?;
        let things = self.series.first()?.points.len();
        let drawn = |series: &&Series| series.points.iter().any(|point| point.1.is_some());
        let series: Vec<&Series> = self.series.iter().filter(drawn).collect();
        let height = NAME + DOT * series.len() as f64 + 4.0;
        let bottom = TOP + height * things as f64;
        let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
        let (legend, legend_height) = legend(&names, bottom + BELOW);
        let mut chart = Group::new().add(x.horizontal(TOP..bottom));
        for thing in 0..things {
            let top = TOP + height * thing as f64;
            let name = &self.series[0].points[thing].0;
            chart = chart.add(text(name, (LEFT, top + 13.0), "name"));
            for (index, series) in series.iter().enumerate() {
                let Some(estimate) = series.points[thing].1 else {
                    continue;
                };
                let y = top + NAME + DOT * (index as f64 + 0.5);
                if let Some((low, high)) = estimate.interval {
                    let bar = stroke(
                        (x.at(low), y),
                        (x.at(high), y),
                        &format!("line {}", style(index)),
                    );
                    chart = chart.add(bar);
                }
                chart = chart.add(mark(index, (x.at(estimate.value), y)));
            }
        }
        let height = bottom + BELOW + legend_height + 4.0;
        Some(document(height, chart.add(legend)))
    }
}
