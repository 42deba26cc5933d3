//! `sweep`: what scale, warm-up, steps and guidance do, each with the others held, or two at once.

use super::{
    Estimate,
    metric::{CP, OTHERS, PF, PRODUCT},
    sheets::{asked, reference, shot},
    variant::{AXES, SettingsAxis, Variant},
};
use crate::{
    report::{
        part::{Case, Part, Sheet},
        plot::{Axis, Chart, Heat, Line, Lines},
        table::{Cell, Table},
    },
    rows::{self, Picture},
};

/// Units whose pictures are shown along an axis.
const SHOWN: usize = 2;

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) points: Vec<Point>,
    methods: Vec<Base>,
}

/// A method under one setting.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) variant: Variant,
    pub(crate) cp: Option<Estimate>,
    pub(crate) pf: Option<Estimate>,
    pub(crate) product: Option<Estimate>,
    /// CLIP-I, CLIP-T, ...
    others: Vec<Option<Estimate>>,
    /// Product over that of vanilla at the nearest settings.
    pub(crate) ratio: Option<Estimate>,
}

/// What the other settings of a method are while one is varied.
#[derive(Debug)]
struct Base {
    method: String,
    /// In the order of [`AXES`].
    held: [f64; AXES.len()],
}

impl Summary {
    pub(crate) fn of(table: &rows::Table<Picture>) -> Self {
        let variants = Variant::all(table);
        let mut methods: Vec<Base> = Vec::new();
        for variant in &variants {
            if !methods.iter().any(|base| base.method == variant.method) {
                methods.push(Base::of(&variant.method, &variants));
            }
        }
        let point = |variant: &Variant| {
            let baseline = variant.baseline(&variants);
            let ratio = baseline
                .and_then(|baseline| Estimate::product_ratio(&variant.pairs(baseline, table)));
            Point {
                cp: variant.mean(table, CP),
                pf: variant.mean(table, PF),
                product: variant.product(table),
                others: OTHERS.map(|metric| variant.mean(table, metric)).to_vec(),
                ratio,
                variant: variant.clone(),
            }
        };
        Self {
            points: variants.iter().map(point).collect(),
            methods,
        }
    }

    pub(crate) fn parts(&self, table: &rows::Table<Picture>) -> Vec<Part> {
        let mut parts = Vec::new();
        for (index, axis) in AXES.into_iter().enumerate() {
            let lines: Vec<(&Base, Vec<&Point>)> = (self.methods.iter())
                .map(|base| (base, self.along(base, index)))
                .filter(|(_, points)| points.len() > 1)
                .collect();
            if lines.is_empty() {
                continue;
            }
            parts.extend(self.curves(axis, &lines));
            parts.push(Part::Table(self.table(index, &lines)));
            parts.extend(pictures(axis, &lines, table));
        }
        for base in &self.methods {
            parts.extend(self.grids(base));
        }
        parts.push(Part::Table(self.all()));
        parts
    }

    /// A method's points in which only this setting is another than its base, by the setting.
    fn along(&self, base: &Base, axis: usize) -> Vec<&Point> {
        let mut points: Vec<&Point> = (self.points.iter())
            .filter(|point| point.variant.method == base.method && base.only(axis, &point.variant))
            .collect();
        let value = |point: &Point| (AXES[axis].of)(&point.variant.settings);
        points.sort_by(|a, b| value(a).total_cmp(&value(b)));
        points
    }

    /// CP against PF, and the product against the setting.
    fn curves(&self, axis: SettingsAxis, lines: &[(&Base, Vec<&Point>)]) -> [Part; 2] {
        let value = |point: &Point| (axis.of)(&point.variant.settings);
        let line = |of: fn(&Point) -> Option<(f64, f64)>| {
            (lines.iter())
                .map(|(base, points)| {
                    let all = points
                        .iter()
                        .filter_map(|point| Some((of(point)?, value(point).to_string())));
                    let (points, labels) = all.unzip();
                    Line {
                        name: base.method.clone(),
                        points,
                        labels,
                        joined: true,
                    }
                })
                .collect()
        };
        let against = |(base, points): &(&Base, Vec<&Point>)| Line {
            name: base.method.clone(),
            points: (points.iter())
                .filter_map(|point| Some((value(point), point.product?.value)))
                .collect(),
            labels: Vec::new(),
            joined: true,
        };
        [
            Part::Chart(Chart::Lines(Lines {
                title: format!("CP against PF; {} at the points", axis.name),
                x: Axis::new("PF"),
                y: Axis::new("CP"),
                lines: line(|point| Some((point.pf?.value, point.cp?.value))),
            })),
            Part::Chart(Chart::Lines(Lines {
                title: format!("{PRODUCT} over {}", axis.name),
                x: Axis::new(axis.name),
                y: Axis::new(PRODUCT),
                lines: lines.iter().map(against).collect(),
            })),
        ]
    }

    fn table(&self, axis: usize, lines: &[(&Base, Vec<&Point>)]) -> Table {
        let held: Vec<String> = (lines.iter())
            .map(|(base, _)| format!("{}: {}", base.method, base.others(axis)))
            .collect();
        let rows = lines.iter().flat_map(|(base, points)| {
            points.iter().map(|point| {
                let value = (AXES[axis].of)(&point.variant.settings);
                let mut row = vec![Cell::text(&base.method), Cell::text(value.to_string())];
                row.extend(point.cells());
                row
            })
        });
        Table {
            id: ["scale", "warmup", "steps", "guidance"][axis].to_owned(),
            title: format!("Along {} ({})", AXES[axis].name, held.join("; ")),
            head: head(&["method", AXES[axis].name]),
            rows: rows.collect(),
        }
    }

    /// Heat maps of the pairs of settings that are varied together.
    fn grids(&self, base: &Base) -> Vec<Part> {
        let axes = 0..AXES.len();
        let pairs = axes.flat_map(|x| (x + 1..AXES.len()).map(move |y| [x, y]));
        pairs.filter_map(|pair| self.grid(base, pair)).collect()
    }

    /// None where no point is off the base in both settings.
    fn grid(&self, base: &Base, pair: [usize; 2]) -> Option<Part> {
        let at = |point: &Point| pair.map(|axis| (AXES[axis].of)(&point.variant.settings));
        let on_grid: Vec<&Point> = (self.points.iter())
            .filter(|point| point.variant.method == base.method)
            .filter(|point| base.only_both(pair, &point.variant))
            .collect();
        let held = pair.map(|axis| base.held[axis]);
        let off_both = |point: &&Point| at(point)[0] != held[0] && at(point)[1] != held[1];
        on_grid.iter().find(|point| off_both(point))?;
        let values = |index: usize| {
            let mut values: Vec<f64> = on_grid.iter().map(|point| at(point)[index]).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            values
        };
        let (xs, ys) = (values(0), values(1));
        let product = |x: f64, y: f64| {
            let here = on_grid.iter().find(|point| at(point) == [x, y])?;
            here.product.map(|product| product.value)
        };
        let line = |&y: &f64| xs.iter().map(|&x| product(x, y)).collect();
        let values = ys.iter().map(line).collect();
        let [x, y] = pair.map(|axis| AXES[axis].name);
        Some(Part::Chart(Chart::Heat(Heat {
            title: format!("{PRODUCT} of {} over {x} and {y}", base.method),
            values,
            x: (x.to_owned(), xs),
            y: (y.to_owned(), ys),
        })))
    }

    fn all(&self) -> Table {
        let row = |point: &Point| {
            let mut row = vec![Cell::text(&point.variant.method)];
            row.extend(AXES.map(|axis| Cell::text((axis.of)(&point.variant.settings).to_string())));
            row.extend(point.cells());
            row
        };
        let mut first = vec!["method"];
        first.extend(AXES.map(|axis| axis.name));
        Table {
            id: "all".to_owned(),
            title: "All settings".to_owned(),
            head: head(&first),
            rows: self.points.iter().map(row).collect(),
        }
    }
}

impl Point {
    fn cells(&self) -> Vec<Cell> {
        let mut cells = vec![
            Cell::count(self.variant.units.len()),
            Cell::score(self.cp),
            Cell::score(self.pf),
            Cell::score(self.product),
            Cell::score(self.ratio),
        ];
        cells.extend(self.others.iter().copied().map(Cell::score));
        cells
    }
}

fn head(first: &[&str]) -> Vec<String> {
    let scores = ["n", "CP", "PF", PRODUCT, "ratio to vanilla"];
    let others = OTHERS.iter().map(|metric| metric.name);
    let names = first.iter().copied().chain(scores).chain(others);
    names.map(str::to_owned).collect()
}

impl Base {
    /// Of each setting the value that most variants have; of several, the middle one.
    fn of(method: &str, variants: &[Variant]) -> Self {
        let of_method = || variants.iter().filter(|variant| variant.method == method);
        let held = AXES.map(|axis| {
            let mut values: Vec<f64> = of_method()
                .map(|variant| (axis.of)(&variant.settings))
                .collect();
            values.sort_by(f64::total_cmp);
            let groups: Vec<&[f64]> = values.chunk_by(|a, b| a == b).collect();
            let most = groups.iter().map(|group| group.len()).max().unwrap_or(0);
            let of_most: Vec<f64> = (groups.iter())
                .filter(|group| group.len() == most)
                .map(|group| group[0])
                .collect();
            of_most[of_most.len() / 2]
        });
        Self {
            method: method.to_owned(),
            held,
        }
    }

    fn only(&self, axis: usize, variant: &Variant) -> bool {
        self.only_both([axis, axis], variant)
    }

    /// Whether all but two settings are those of the base.
    fn only_both(&self, free: [usize; 2], variant: &Variant) -> bool {
        (AXES.iter().zip(self.held).enumerate()).all(|(index, (axis, held))| {
            free.contains(&index) || (axis.of)(&variant.settings) == held
        })
    }

    /// The settings that are held.
    fn others(&self, varied: usize) -> String {
        let held: Vec<String> = (AXES.iter().zip(self.held).enumerate())
            .filter(|(index, _)| *index != varied)
            .map(|(_, (axis, held))| format!("{} {held}", axis.name))
            .collect();
        held.join(", ")
    }
}

/// Pictures of the first units along an axis, method by method.
fn pictures(
    axis: SettingsAxis,
    lines: &[(&Base, Vec<&Point>)],
    table: &rows::Table<Picture>,
) -> Option<Part> {
    let units = lines.first()?.1.first()?.variant.units.keys();
    let case = |unit: usize, base: &Base, points: &[&Point]| {
        let of_unit = points
            .iter()
            .filter_map(|point| point.variant.units.get(&unit)?.first());
        let rows: Vec<usize> = of_unit.copied().collect();
        let first = *rows.first()?;
        let mut shots = vec![reference(&table.rows[first], &table.folders[first])];
        shots.extend(rows.into_iter().map(|index| {
            let row = &table.rows[index];
            let label = format!("{} {}", axis.name, (axis.of)(&row.settings));
            shot(row, &table.folders[index], label)
        }));
        let caption = format!("{}: {}", base.method, asked(&table.rows[first]));
        Some(Case { caption, shots })
    };
    let cases: Vec<Case> = (units.take(SHOWN))
        .flat_map(|&unit| {
            lines
                .iter()
                .filter_map(move |(base, points)| case(unit, base, points))
        })
        .collect();
    let title = format!("Pictures along {}", axis.name);
    (!cases.is_empty()).then_some(Part::Sheet(Sheet {
        id: axis.name.to_owned(),
        title,
        cases,
    }))
}
