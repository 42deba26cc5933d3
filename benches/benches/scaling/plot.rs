use std::{collections::BTreeMap, ops::Range, path::Path};

use conceptrol_benches::Failure;
use epaint_default_fonts::UBUNTU_LIGHT;
use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
    style::register_font,
};

use crate::row::Row;

const PIXELS: (u32, u32) = (1280, 960);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 4] = [
    RGBColor(214, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(90, 90, 90),
];

/// A quarter of the picture: what it shows of which rows.
struct Panel<'a> {
    title: &'a str,
    x_name: &'a str,
    y_name: &'a str,
    x: fn(&Row) -> f64,
    y: fn(&Row) -> f64,
    rows: &'a [&'a Row],
}

/// Draws time and memory against latent cells of one picture and against pictures of the smallest side, a line a number of
/// threads. All axes but that of memory are logarithmic.
pub(crate) fn draw(file: &Path, rows: &[Row]) -> Result<(), Failure> {
    register_font(FONT, FontStyle::Normal, UBUNTU_LIGHT).map_err(|_| "the font is no font")?;
    let root = BitMapBackend::new(file, PIXELS).into_drawing_area();
    root.fill(&WHITE)?;
    let side = rows.iter().map(|row| row.size.side).min();
    let one = rows.iter().filter(|row| row.size.pictures == 1);
    let small = rows.iter().filter(|row| Some(row.size.side) == side);
    let (one, small): (Vec<_>, Vec<_>) = (one.collect(), small.collect());
    let many = format!("pictures of {0}x{0} latent cells", side.unwrap_or(0));
    for (quarter, area) in root.split_evenly((2, 2)).iter().enumerate() {
        let of_time = |title, x_name, x, rows| Panel {
            title,
            x_name,
            y_name: "seconds a guided step",
            x,
            y: |row| row.cost.seconds,
            rows,
        };
        let panel = if quarter % 2 == 0 {
            let cells: fn(&Row) -> f64 = |row| (row.size.side * row.size.side) as f64;
            of_time("one picture", "latent cells", cells, &one)
        } else {
            of_time(&many, "pictures", |row| row.size.pictures as f64, &small)
        };
        if quarter < 2 {
            let range = around(rows.iter().map(panel.y));
            panel.draw(
                area,
                range.clone().log_scale().with_key_points(steps(&range)),
            )?;
        } else {
            let gigabytes: fn(&Row) -> f64 = |row| row.cost.peak as f64 / 1e9;
            let greatest = rows.iter().map(gigabytes).fold(0.0, f64::max);
            let panel = Panel {
                y_name: "peak memory, GB",
                y: gigabytes,
                ..panel
            };
            panel.draw(area, 0.0..1.3 * greatest)?;
        }
    }
    root.present()?;
    Ok(())
}

impl Panel<'_> {
    fn draw<B: DrawingBackend, Y: AsRangedCoord<Value = f64>>(
        &self,
        area: &DrawingArea<B, Shift>,
        y_axis: Y,
    ) -> Result<(), Failure>
    where
        B::ErrorType: 'static,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut lines: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for row in self.rows {
            let line = lines.entry(row.threads).or_default();
            line.push(((self.x)(row), (self.y)(row)));
        }
        let mut ticks: Vec<f64> = self.rows.iter().map(|row| (self.x)(row)).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let x_axis = around(ticks.iter().copied()).log_scale();
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 26))
            .margin(16)
            .x_label_area_size(52)
            .y_label_area_size(72)
            .build_cartesian_2d(x_axis.with_key_points(ticks), y_axis)?;
        chart
            .configure_mesh()
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .x_label_formatter(&|x| format!("{x}"))
            .y_label_formatter(&|y| format!("{y}"))
            .label_style((FONT, 20))
            .light_line_style(WHITE)
            .draw()?;
        for (index, (threads, line)) in lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let name = format!("{threads} thread{}", if *threads == 1 { "" } else { "s" });
            chart
                .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(2))
                });
            // rings of several sizes, where lines meet
            let ring =
                |at: &(f64, f64)| Circle::new(*at, 4 + 3 * index as i32, colour.stroke_width(2));
            chart.draw_series(line.iter().map(ring))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, 20))
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE)
            .draw()?;
        Ok(())
    }
}

/// From a little below the least to a little above the greatest.
fn around(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    0.85 * least..1.2 * values.fold(0.0, f64::max)
}

/// Round numbers within a range: 1, 2 and 5 times powers of ten.
fn steps(range: &Range<f64>) -> Vec<f64> {
    let decades = -2..4;
    let numbers =
        decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)));
    numbers.filter(|number| range.contains(number)).collect()
}
