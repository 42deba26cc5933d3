//! What the series of a chart are called.

use svg::node::element::Group;

use super::draw::{STYLES, mark, stroke, style, text};

const LINE: f64 = 18.0;

/// Names of several series, one a line; those without a style of their own share one. The group and its height.
pub(super) fn legend(names: &[&str], top: f64) -> (Group, f64) {
    let mut group = Group::new();
    if names.len() < 2 {
        return (group, 0.0); // the title says it
    }
    let mut entries: Vec<String> = (names.iter().take(STYLES))
        .map(|name| (*name).to_owned())
        .collect();
    match names.len().saturating_sub(STYLES) {
        0 => {}
        1 => entries.push(names[STYLES].to_owned()),
        others => entries.push(format!("{others} others")),
    }
    for (index, name) in entries.iter().enumerate() {
        let y = top + LINE * (index as f64 + 0.5);
        let class = format!("line {}", style(index));
        group = group.add(stroke((8.0, y), (32.0, y), &class));
        if index < STYLES {
            group = group.add(mark(index, (20.0, y)));
        }
        group = group.add(text(name, (40.0, y + 4.0), ""));
    }
    (group, LINE * entries.len() as f64)
}
