use std::ops::Range;

use svg::node::element::{Circle, Group, Line as Stroke, Polyline, Rectangle, Style, Text};

/// What a chart is drawn in: it follows the colours of the page around it, with a ground of its own where they disagree.
const STYLE: &str = "
text { font: 16px sans-serif; fill: #222 }
.title { font-size: 20px }
.middle { text-anchor: middle }
.end { text-anchor: end }
.ground { fill: #fff }
.grid { stroke: #ccc }
.axis { stroke: #222 }
.series { fill: none; stroke-width: 2 }
.series0 { stroke: #c75300 }
.series1 { stroke: #0072b2 }
.series2 { stroke: #008763 }
.series3 { stroke: #5a5a5a }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd }
  .ground { fill: #15181c }
  .grid { stroke: #3d434a }
  .axis { stroke: #ddd }
  .series0 { stroke: #ff9b50 }
  .series1 { stroke: #57b6ee }
  .series2 { stroke: #35cfa2 }
  .series3 { stroke: #b5b5b5 }
}
";
const COLOURS: usize = 4;

/// Pixels of a chart, and of the frame around its lines.
pub(crate) const WIDTH: f64 = 640.0;
pub(crate) const HEIGHT: f64 = 480.0;
const LEFT: f64 = 88.0;
const RIGHT: f64 = 616.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 408.0;

/// Where a number lies on an axis.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) scale: Scale,
    pub(crate) range: Range<f64>,
    pub(crate) ticks: Vec<f64>,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over two axes.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// The style and the ground of a picture of charts.
pub(crate) fn ground(width: f64, height: f64) -> Group {
    let ground = Rectangle::new()
        .set("class", "ground")
        .set("width", width)
        .set("height", height);
    Group::new().add(Style::new(STYLE)).add(ground)
}

impl Axis {
    /// 0 at the start of the range, 1 at its end.
    fn part(&self, value: f64) -> f64 {
        let on_scale = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.ln(),
        };
        let (start, end) = (on_scale(self.range.start), on_scale(self.range.end));
        (on_scale(value) - start) / (end - start)
    }
}

impl Chart {
    /// The chart with its upper left corner at `(x, y)`.
    pub(crate) fn draw(&self, x: f64, y: f64) -> Group {
        let mut chart = Group::new()
            .set("transform", format!("translate({x} {y})"))
            .add(text(
                &self.title,
                (f64::midpoint(LEFT, RIGHT), 30.0),
                "title middle",
            ))
            .add(self.grid());
        for (index, line) in self.lines.iter().enumerate() {
            chart = chart.add(self.series(index, line));
        }
        chart
    }

    fn grid(&self) -> Group {
        let middle = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
        let mut grid = Group::new();
        for &tick in &self.x.ticks {
            let (x, _) = self.place((tick, self.y.range.start));
            grid = grid.add(stroke((x, TOP), (x, BOTTOM), "grid")).add(text(
                &tick.to_string(),
                (x, BOTTOM + 22.0),
                "middle",
            ));
        }
        for &tick in &self.y.ticks {
            let (_, y) = self.place((self.x.range.start, tick));
            grid = grid.add(stroke((LEFT, y), (RIGHT, y), "grid")).add(text(
                &tick.to_string(),
                (LEFT - 8.0, y + 5.0),
                "end",
            ));
        }
        let y_name = (LEFT - 56.0, middle.1);
        let upwards = format!("rotate(-90 {} {})", y_name.0, y_name.1);
        grid.add(stroke((LEFT, TOP), (LEFT, BOTTOM), "axis"))
            .add(stroke((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis"))
            .add(text(self.x.name, (middle.0, BOTTOM + 48.0), "middle"))
            .add(text(self.y.name, y_name, "middle").set("transform", upwards))
    }

    /// A line with rings at its points and its name in the legend.
    fn series(&self, index: usize, line: &Line) -> Group {
        let places: Vec<(f64, f64)> = line.points.iter().map(|&point| self.place(point)).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let mut series = Group::new()
            .set("class", format!("series series{}", index % COLOURS))
            .add(Polyline::new().set("points", points.join(" ")));
        for (x, y) in places {
            // rings of several sizes, where lines meet
            let ring = Circle::new().set("cx", x).set("cy", y);
            series = series.add(ring.set("r", 4 + 3 * index));
        }
        let height = TOP + 20.0 + 24.0 * index as f64;
        let sample = stroke((LEFT + 16.0, height), (LEFT + 44.0, height), "");
        let name = text(&line.name, (LEFT + 52.0, height + 5.0), "");
        Group::new().add(series.add(sample)).add(name)
    }

    /// Pixels of a point, to a tenth.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let tenth = |pixels: f64| (10.0 * pixels).round() / 10.0;
        (
            tenth(LEFT + (RIGHT - LEFT) * self.x.part(x)),
            tenth(BOTTOM - (BOTTOM - TOP) * self.y.part(y)),
        )
    }
}

fn text(text: &str, (x, y): (f64, f64), class: &str) -> Text {
    Text::new(text).set("class", class).set("x", x).set("y", y)
}

fn stroke((x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) -> Stroke {
    let ends = Stroke::new().set("x1", x1).set("y1", y1);
    ends.set("x2", x2).set("y2", y2).set("class", class)
}
