//! Elements that every chart is made of.

use svg::{
    Node,
    node::element::{Circle, Element, Group, Line, Polygon, Rectangle, Text},
};

/// Width of every chart. One unit is about a pixel on a phone.
pub(super) const WIDTH: f64 = 360.0;
/// Series that have a colour and a mark of their own.
pub(super) const STYLES: usize = 4;
const RADIUS: f64 = 3.5;

/// An `svg` element of a page. A page's elements need no namespace.
pub(super) fn document(height: f64, content: Group) -> Element {
    let mut document = Element::new("svg");
    document.assign("viewBox", (0.0, 0.0, WIDTH, height));
    document.assign("role", "img");
    document.append(content);
    document
}

pub(super) fn text(text: &str, (x, y): (f64, f64), class: &str) -> Text {
    let element = Text::new(text).set("x", x).set("y", y);
    if class.is_empty() {
        return element;
    }
    element.set("class", class)
}

pub(super) fn stroke((x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) -> Line {
    let ends = Line::new().set("x1", x1).set("y1", y1);
    ends.set("x2", x2).set("y2", y2).set("class", class)
}

/// The class of a series' colour.
pub(super) fn style(series: usize) -> String {
    match series < STYLES {
        true => format!("s{series}"),
        false => "muted".to_owned(),
    }
}

/// The mark of a series: its form tells it apart where colours do not.
pub(super) fn mark(series: usize, (x, y): (f64, f64)) -> Element {
    let class = format!("mark {}", style(series));
    let polygon = |corners: &[(f64, f64)]| {
        let points: Vec<String> = (corners.iter())
            .map(|(dx, dy)| format!("{:.1},{:.1}", x + RADIUS * dx, y + RADIUS * dy))
            .collect();
        let polygon = Polygon::new().set("points", points.join(" "));
        polygon.set("class", class.as_str()).into()
    };
    match series % STYLES {
        0 => {
            let circle = Circle::new().set("cx", x).set("cy", y).set("r", RADIUS);
            circle.set("class", class).into()
        }
        1 => {
            let (x, y) = (x - 0.9 * RADIUS, y - 0.9 * RADIUS);
            let square = Rectangle::new().set("x", x).set("y", y);
            let square = square
                .set("width", 1.8 * RADIUS)
                .set("height", 1.8 * RADIUS);
            square.set("class", class).into()
        }
        2 => polygon(&[(0.0, -1.2), (1.1, 0.9), (-1.1, 0.9)]),
        _ => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
    }
}
