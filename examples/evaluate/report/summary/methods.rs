//! `masks`, `adapters`, `baseline`: methods side by side, paired with vanilla.

use super::{
    Estimate,
    metric::{CP, OTHERS, PF, PRODUCT},
    paper, sheets,
    variant::{CONCEPT_BLOCK, Variant, names},
};
use crate::{
    report::{
        part::Part,
        plot::{Axis, Chart, Dots, Line, Lines},
        table::{Cell, Table},
    },
    rows::{self, Picture},
};

#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) methods: Vec<Method>,
}

/// A method's means over units.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) units: usize,
    pub(crate) cp: Option<Estimate>,
    pub(crate) pf: Option<Estimate>,
    pub(crate) product: Option<Estimate>,
    /// In the order of [`OTHERS`].
    pub(crate) others: Vec<Option<Estimate>>,
    pub(crate) against: Option<Against>,
    /// Whether it is the method of the paper.
    proposed: bool,
}

/// A method minus its vanilla, over the units that both have.
#[derive(Debug)]
pub(crate) struct Against {
    pub(crate) baseline: String,
    pub(crate) cp: Option<Estimate>,
    pub(crate) pf: Option<Estimate>,
    pub(crate) product: Option<Estimate>,
    /// The method's product over vanilla's.
    pub(crate) ratio: Option<Estimate>,
    pub(crate) others: Vec<Option<Estimate>>,
}

impl Summary {
    pub(crate) fn of(table: &rows::Table<Picture>) -> Self {
        let variants = Variant::all(table);
        let names = names(&variants);
        let method = |(variant, name): (&Variant, &String)| {
            let baseline = variant.baseline(&variants);
            let index = baseline.and_then(|b| variants.iter().position(|v| std::ptr::eq(v, b)));
            let against = baseline.zip(index).map(|(baseline, index)| {
                let pairs = variant.pairs(baseline, table);
                let difference = |metric| variant.difference(baseline, table, metric);
                Against {
                    baseline: names[index].clone(),
                    cp: difference(CP),
                    pf: difference(PF),
                    product: Estimate::product_difference(&pairs),
                    ratio: Estimate::product_ratio(&pairs),
                    others: OTHERS.into_iter().map(difference).collect(),
                }
            });
            let mean = |metric| variant.mean(table, metric);
            Method {
                name: name.clone(),
                units: variant.units.len(),
                cp: mean(CP),
                pf: mean(PF),
                product: variant.product(table),
                others: OTHERS.into_iter().map(mean).collect(),
                against,
                proposed: variant.is(CONCEPT_BLOCK),
            }
        };
        Self {
            methods: variants.iter().zip(&names).map(method).collect(),
        }
    }

    pub(crate) fn parts(&self, table: &rows::Table<Picture>) -> Vec<Part> {
        let mut parts = self.findings();
        parts.push(Part::Chart(self.plane()));
        parts.push(Part::Chart(self.chart()));
        parts.push(Part::Table(self.means()));
        parts.extend(self.differences().map(Part::Table));
        parts.extend(paper::scores(
            self.methods.iter().map(|method| method.name.as_str()),
        ));
        parts.extend(sheets::to_look_at(table));
        parts
    }

    /// What the ratios say, for the method of the paper.
    fn findings(&self) -> Vec<Part> {
        let finding = |method: &Method| {
            let against = method.proposed.then_some(method.against.as_ref()?)?;
            let ratio = against.ratio?;
            let percent = |value: f64| format!("{:+.0} %", 100.0 * (value - 1.0));
            let interval = match ratio.interval {
                Some((low, high)) => format!(" (95 %: {} to {})", percent(low), percent(high)),
                None => String::new(),
            };
            let sure = ratio.doubt(
                1.0,
                " The interval does not exclude that there is no difference.",
            );
            Some(Part::Finding(format!(
                "{PRODUCT} of {} against {}: {}{interval}, over {} units.{sure}",
                method.name,
                against.baseline,
                percent(ratio.value),
                ratio.units,
            )))
        };
        self.methods.iter().filter_map(finding).collect()
    }

    /// Both scores at once: what copies the reference is on the upper left, what ignores it on the lower right.
    fn plane(&self) -> Chart {
        let scored = self.methods.iter().filter_map(|method| {
            let point = (method.pf?.value, method.cp?.value);
            Some((point, method.name.clone()))
        });
        let (points, labels) = scored.unzip();
        Chart::Lines(Lines {
            title: "CP against PF: up and right is better".to_owned(),
            x: Axis::new("PF"),
            y: Axis::new("CP"),
            lines: vec![Line {
                name: "methods".to_owned(),
                points,
                labels,
                joined: false,
            }],
        })
    }

    fn chart(&self) -> Chart {
        let of = |name: &str, value: fn(&Method) -> Option<Estimate>| {
            let points = (self.methods.iter()).map(|method| (method.name.clone(), value(method)));
            Dots::series(name, points)
        };
        Chart::Dots(Dots {
            title: "Scores of methods, with 95 % intervals".to_owned(),
            axis: "score".to_owned(),
            series: vec![
                of(PRODUCT, |method| method.product),
                of("CP", |method| method.cp),
                of("PF", |method| method.pf),
            ],
        })
    }

    fn means(&self) -> Table {
        let row = |method: &Method| {
            let mut row = vec![
                Cell::text(&method.name),
                Cell::count(method.units),
                Cell::score(method.cp),
                Cell::score(method.pf),
                Cell::score(method.product),
            ];
            row.extend(method.others.iter().copied().map(Cell::score));
            row
        };
        Table {
            id: "methods".to_owned(),
            title: "Means over units".to_owned(),
            head: head(&["method", "n", "CP", "PF", PRODUCT]),
            rows: self.methods.iter().map(row).collect(),
        }
    }

    fn differences(&self) -> Option<Table> {
        let row = |method: &Method| {
            let against = method.against.as_ref()?;
            let mut row = vec![
                Cell::text(&method.name),
                Cell::text(&against.baseline),
                Cell::count(against.cp.map_or(0, |cp| cp.units)),
                Cell::score(against.ratio),
                Cell::score(against.product),
                Cell::score(against.cp),
                Cell::score(against.pf),
            ];
            row.extend(against.others.iter().copied().map(Cell::score));
            Some(row)
        };
        let rows: Vec<_> = self.methods.iter().filter_map(row).collect();
        let ratio = format!("{PRODUCT} ratio");
        let columns = ["method", "minus", "n", &ratio, PRODUCT, "CP", "PF"];
        (!rows.is_empty()).then(|| Table {
            id: "differences".to_owned(),
            title: "Differences to vanilla, paired by unit".to_owned(),
            head: head(&columns),
            rows,
        })
    }
}

/// Names of columns, followed by the other metrics.
fn head(first: &[&str]) -> Vec<String> {
    let others = OTHERS.iter().map(|metric| metric.name);
    let names = first.iter().copied().chain(others);
    names.map(str::to_owned).collect()
}
