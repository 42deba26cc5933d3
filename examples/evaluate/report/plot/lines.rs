//! Lines over two axes.

use svg::node::element::{Element, Group, Polyline};

use super::{
    Axis,
    draw::{STYLES, WIDTH, document, mark, style},
    labels::labels,
    legend::legend,
};

const LEFT: f64 = 40.0;
const RIGHT: f64 = WIDTH - 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 236.0;
/// Room for numbers and name of the lower axis.
const BELOW: f64 = 44.0;
/// Lines of more points have no marks at them.
const MARKED: usize = 30;

#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// The first ones have colours, the others are grey.
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// What is written at the points, if anything.
    pub(crate) labels: Vec<String>,
    /// Whether there is a line at all, or points alone.
    pub(crate) joined: bool,
}

impl Lines {
    pub(super) fn draw(&self) -> Option<Element> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = (self.x).place(points().map(|point| point.0), LEFT..RIGHT)?;
        let y = (self.y).place(points().map(|point| point.1), BOTTOM..TOP)?;
        let names: Vec<&str> = self.lines.iter().map(|line| line.name.as_str()).collect();
        let (legend, height) = legend(&names, BOTTOM + BELOW);
        let mut chart = Group::new()
            .add(x.horizontal(TOP..BOTTOM))
            .add(y.vertical(LEFT..RIGHT));
        // the first line lies on top
        for (index, line) in self.lines.iter().enumerate().rev() {
            let places = line.points.iter().map(|&(px, py)| (x.at(px), y.at(py)));
            chart = chart.add(line.draw(index, &places.collect::<Vec<_>>()));
        }
        let labelled = self.lines.iter().flat_map(|line| {
            let places = line.points.iter().map(|&(px, py)| (x.at(px), y.at(py)));
            line.labels.iter().map(String::as_str).zip(places)
        });
        chart = chart.add(labels(labelled, &(LEFT..RIGHT)));
        Some(document(BOTTOM + BELOW + height + 4.0, chart.add(legend)))
    }
}

impl Line {
    fn draw(&self, index: usize, places: &[(f64, f64)]) -> Group {
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let mut group = Group::new();
        if self.joined {
            let line = Polyline::new().set("points", points.join(" "));
            group = group.add(line.set("class", format!("line {}", style(index))));
        }
        if index < STYLES && places.len() <= MARKED {
            for &place in places {
                group = group.add(mark(index, place));
            }
        }
        group
    }
}
