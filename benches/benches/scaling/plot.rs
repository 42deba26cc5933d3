use std::{collections::BTreeMap, ops::Range, path::Path};

use conceptrol_benches::Failure;
use svg::{
    Document,
    node::{
        self,
        element::{Description, Title},
    },
};

use crate::{
    chart::{Axis, Chart, HEIGHT, Line, Scale, WIDTH, ground},
    row::Row,
};

/// For who does not see it.
const WHAT: &str = "Seconds and peak memory against latent cells and pictures, for each number of threads: the numbers of scaling.csv";

/// Draws time and memory against latent cells of one picture and against pictures of the smallest side, a line a number of
/// threads. All axes but that of memory are logarithmic.
pub(crate) fn draw(file: &Path, rows: &[Row]) -> Result<(), Failure> {
    let side = rows.iter().map(|row| row.size.side).min();
    let side = side.ok_or("nothing was measured yet")?;
    let of_one = |row: &&Row| row.size.pictures == 1;
    let of_many = |row: &&Row| row.size.side == side;
    let cells = |row: &Row| (row.size.side * row.size.side) as f64;
    let pictures = |row: &Row| row.size.pictures as f64;
    let many = format!("pictures of {side}x{side} latent cells");
    let seconds = |row: &Row| row.cost.seconds;
    let gigabytes = |row: &Row| row.cost.peak as f64 / 1e9;

    let mut document = Document::new()
        .set("viewBox", (0, 0, 2.0 * WIDTH, 2.0 * HEIGHT))
        .set("role", "img")
        .add(Title::new("Scaling of a guided step"))
        .add(Description::new().add(node::Text::new(WHAT)))
        .add(ground(2.0 * WIDTH, 2.0 * HEIGHT));
    for (below, y_axis, y) in [
        (
            0.0,
            time_axis(rows.iter().map(seconds)),
            &seconds as &dyn Fn(&Row) -> f64,
        ),
        (HEIGHT, memory_axis(rows.iter().map(gigabytes)), &gigabytes),
    ] {
        let one: Vec<&Row> = rows.iter().filter(of_one).collect();
        let small: Vec<&Row> = rows.iter().filter(of_many).collect();
        let one = chart("one picture", ("latent cells", &cells), (&y_axis, y), &one);
        let small = chart(&many, ("pictures", &pictures), (&y_axis, y), &small);
        document = document
            .add(one.draw(0.0, below))
            .add(small.draw(WIDTH, below));
    }
    svg::save(file, &document)?;
    Ok(())
}

/// Rows as lines, one a number of threads; ticks where the numbers of the rows are.
fn chart(
    title: &str,
    (x_name, x): (&'static str, &dyn Fn(&Row) -> f64),
    (y_axis, y): (&Axis, &dyn Fn(&Row) -> f64),
    rows: &[&Row],
) -> Chart {
    let mut lines: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows {
        lines.entry(row.threads).or_default().push((x(row), y(row)));
    }
    let mut ticks: Vec<f64> = rows.iter().map(|row| x(row)).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let name = |threads| format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
    Chart {
        title: title.to_owned(),
        x: Axis {
            name: x_name,
            scale: Scale::Logarithmic,
            range: around(ticks.iter().copied()),
            ticks,
        },
        y: y_axis.clone(),
        lines: lines
            .into_iter()
            .map(|(threads, points)| Line {
                name: name(threads),
                points,
            })
            .collect(),
    }
}

fn time_axis(seconds: impl Iterator<Item = f64> + Clone) -> Axis {
    let range = around(seconds);
    Axis {
        name: "seconds a guided step",
        scale: Scale::Logarithmic,
        ticks: steps(&range),
        range,
    }
}

fn memory_axis(gigabytes: impl Iterator<Item = f64>) -> Axis {
    let greatest = 1.3 * gigabytes.fold(0.0, f64::max);
    let ticks = (0..).map(f64::from).take_while(|tick| *tick <= greatest);
    Axis {
        name: "peak memory, GB",
        scale: Scale::Linear,
        ticks: ticks.collect(),
        range: 0.0..greatest,
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
