//! Parts of a section.

use maud::{Markup, PreEscaped, html};

use crate::report::{
    part::{Case, Part, Sheet, Shot},
    picture::data_uri,
    plot::Chart,
    table::{Cell, Table},
};

/// More pictures of a case are smaller.
const FEW: usize = 4;
/// Longer tables are folded.
const LONG: usize = 24;

pub(super) fn show(part: &Part) -> Markup {
    match part {
        Part::Finding(text) => html! { p .finding { (text) } },
        Part::Note(text) => html! { p .note { (text) } },
        Part::Table(table) if table.rows.len() > LONG => html! {
            details { summary { (table.title) " (" (table.rows.len()) " rows)" } (rows(table)) }
        },
        Part::Table(table) => html! { h3 { (table.title) } (rows(table)) },
        Part::Chart(chart) => drawn(chart),
        Part::Sheet(sheet) => pictures(sheet),
    }
}

/// A table that scrolls within itself where it is wider than the page.
fn rows(table: &Table) -> Markup {
    let right = |column: usize| {
        let first = table.rows.first().and_then(|row| row.get(column));
        first.is_some_and(Cell::is_number).then_some("n")
    };
    html! {
        div .scroll tabindex="0" role="region" aria-label=(table.title) {
            table {
                thead { tr {
                    @for (column, name) in table.head.iter().enumerate() {
                        th scope="col" class=[right(column)] { (name) }
                    }
                } }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (value(cell)) } }
                                @else { td class=[cell.is_number().then_some("n")] { (value(cell)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn value(cell: &Cell) -> Markup {
    match cell {
        Cell::Name(name) => html! {
            span .site {
                @for (index, part) in name.split('.').enumerate() {
                    @if index > 0 { "." wbr; }
                    (part)
                }
            }
        },
        Cell::Estimate { estimate, digits } => html! {
            (crate::report::table::decimal(estimate.value, *digits))
            @if let Some(bounds) = estimate.bounds(*digits) { small { (bounds) } }
        },
        Cell::Missing => html! { span .missing { "\u{2013}" } },
        Cell::Text(_) | Cell::Number { .. } => html! { (cell) },
    }
}

fn drawn(chart: &Chart) -> Markup {
    html! {
        @if let Some(svg) = chart.svg() {
            figure .chart {
                figcaption { (chart.title()) }
                (PreEscaped(svg))
            }
        }
    }
}

fn pictures(sheet: &Sheet) -> Markup {
    html! {
        h3 { (sheet.title) }
        div .cases { @for case in &sheet.cases { (row(case)) } }
    }
}

fn row(case: &Case) -> Markup {
    html! {
        figure .case .many[case.shots.len() > FEW] {
            figcaption { (case.caption) }
            div .shots { @for shot in &case.shots { (picture(case, shot)) } }
        }
    }
}

fn picture(case: &Case, shot: &Shot) -> Markup {
    html! {
        figure {
            @match data_uri(&shot.files) {
                Ok(address) => img src=(address) alt={ (shot.label) ": " (case.caption) };,
                Err(why) => div .none { (why) },
            }
            figcaption { (shot.label) small { (shot.detail) } }
        }
    }
}
