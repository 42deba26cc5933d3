//! Text at points, where it hides least.

use std::ops::Range;

use svg::node::element::Group;

use super::draw::text;

/// About the width of a character, and the height of a line.
const CHARACTER: f64 = 5.4;
const HEIGHT: f64 = 10.0;
/// From a point to its text.
const GAP: f64 = 6.0;

/// What is taken: left, top, right, bottom.
type Box = [f64; 4];

/// Writes a text at each point, on the side where it overlaps the fewest texts and points, within `width`.
pub(super) fn labels<'a>(
    labels: impl Iterator<Item = (&'a str, (f64, f64))> + Clone,
    width: &Range<f64>,
) -> Group {
    let points = labels
        .clone()
        .map(|(_, (x, y))| [x - 4.0, y - 4.0, x + 4.0, y + 4.0]);
    let mut taken: Vec<Box> = points.collect();
    let mut group = Group::new();
    for (label, (x, y)) in labels {
        let long = CHARACTER * label.chars().count() as f64;
        let sides = [(1.0, -1.0), (-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
        let placed = sides.map(|(right, down)| {
            let left = if right > 0.0 { x + GAP } else { x - GAP - long };
            let middle = y + 0.8 * down * HEIGHT;
            [
                left,
                middle - HEIGHT / 2.0,
                left + long,
                middle + HEIGHT / 2.0,
            ]
        });
        let cost = |placed: &Box| {
            let outside = placed[0] < width.start || placed[2] > width.end;
            let hidden = taken.iter().filter(|other| overlap(placed, other)).count();
            hidden + 10 * usize::from(outside)
        };
        // the first of the best
        let best = placed.into_iter().min_by_key(cost).expect("four sides");
        let class = if best[0] > x { "label" } else { "label end" };
        let start = if best[0] > x { best[0] } else { best[2] };
        group = group.add(text(label, (start, best[3] - 2.0), class));
        taken.push(best);
    }
    group
}

fn overlap(a: &Box, b: &Box) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}
