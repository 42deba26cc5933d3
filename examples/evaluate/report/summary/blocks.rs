//! `blocks`: which site knows best where the words of a concept act.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Estimate, estimate::mean, paper, variant::paired};
use crate::{
    report::{
        part::Part,
        plot::{Axis, Chart, Dots, Line, Lines},
        table::{Cell, Table},
    },
    rows::{self, Attention},
};

/// Sites of the chart of means; a larger model has 70.
const CHARTED: usize = 16;

#[derive(Debug)]
pub(crate) struct Summary {
    /// How masks of the model are normalised.
    normalization: Option<String>,
    /// Pictures that were given, and pictures of the model's own, apart.
    pub(crate) sources: Vec<Source>,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) pictures: usize,
    /// The best first.
    pub(crate) sites: Vec<Site>,
    /// By how much the best leads the second, over the pictures that both have.
    pub(crate) lead: Option<Estimate>,
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    /// Mean over steps and pictures.
    pub(crate) auc: Estimate,
    /// Against the other objects only.
    pub(crate) of_objects: Option<Estimate>,
    /// (timestep, mean over pictures), in the order of the steps.
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Summary {
    pub(crate) fn of(table: &rows::Table<Attention>) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for row in &table.rows {
            if !names.contains(&row.source.as_str()) {
                names.push(&row.source);
            }
        }
        let source = |name: &str| {
            let rows: Vec<&Attention> = (table.rows.iter())
                .filter(|row| row.source == name)
                .collect();
            Source::of(name, &rows)
        };
        Self {
            normalization: table.setup.options.get("normalization").cloned(),
            sources: names.into_iter().map(source).collect(),
        }
    }

    /// `conceptrol.json` for the folder of the model: its concept block, and the measurement that chose it.
    pub(crate) fn concept_block(&self) -> Option<String> {
        let source = self.sources.first()?;
        let sites = source.sites.iter().map(|site| {
            let of_objects = site.of_objects.as_ref().map(|estimate| estimate.value);
            (site.name.clone(), json!([site.auc.value, of_objects]))
        });
        let json = json!({
            "concept_block": {
                "site": self.best()?.name,
                "normalization": self.normalization.as_ref()?,
                "evidence": {
                    "measure": "ROC-AUC of a concept's map for its object [against everything else, against the other objects], mean over steps and pictures",
                    "pictures": source.pictures,
                    "source": source.name,
                    "sites": sites.collect::<serde_json::Map<_, _>>(),
                },
            },
        });
        Some(format!("{json:#}\n"))
    }

    /// The site with the largest mean, of the first source: the concept-specific block of the model.
    pub(crate) fn best(&self) -> Option<&Site> {
        self.sources.first()?.sites.first()
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.sources.iter().flat_map(Source::parts).collect();
        parts.push(Part::Table(paper::areas()));
        parts
    }
}

impl Source {
    fn of(name: &str, rows: &[&Attention]) -> Self {
        let mut names: Vec<&str> = (rows.iter())
            .flat_map(|row| row.auc.keys().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        let site = |name: &str| {
            let sample: Vec<f64> = of_pictures(rows, |row| &row.auc, name, None)
                .into_values()
                .collect();
            let objects = of_pictures(rows, |row| &row.auc_of_objects, name, None);
            Some(Site {
                name: name.to_owned(),
                auc: Estimate::mean(&sample)?,
                of_objects: Estimate::mean(&objects.into_values().collect::<Vec<_>>()),
                curve: curve(rows, name),
            })
        };
        let mut sites: Vec<Site> = names.into_iter().filter_map(site).collect();
        // equals stay in the order of their names
        sites.sort_by(|a, b| b.auc.value.total_cmp(&a.auc.value));
        let lead = match sites.as_slice() {
            [best, second, ..] => {
                let best = of_pictures(rows, |row| &row.auc, &best.name, None);
                let second = of_pictures(rows, |row| &row.auc, &second.name, None);
                Estimate::difference(&paired(best, &second))
            }
            _ => None,
        };
        let mut pictures: Vec<&str> = rows.iter().map(|row| row.picture.as_str()).collect();
        pictures.sort_unstable();
        pictures.dedup();
        Self {
            name: name.to_owned(),
            pictures: pictures.len(),
            sites,
            lead,
        }
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        if let [best, second, ..] = self.sites.as_slice() {
            let lead = match self.lead {
                Some(lead) => {
                    let sure =
                        lead.doubt(0.0, " The interval does not exclude that they are alike.");
                    format!(
                        ": {} above {}, the second (paired over {} pictures).{sure}",
                        lead.shown(3),
                        second.name,
                        lead.units
                    )
                }
                None => ".".to_owned(),
            };
            parts.push(Part::Finding(format!(
                "Source {}, {} pictures: {} has the largest AUC, {}{lead}",
                self.name,
                self.pictures,
                best.name,
                best.auc.shown(3),
            )));
        }
        parts.push(Part::Chart(self.curves()));
        parts.push(Part::Chart(self.means()));
        parts.push(Part::Table(self.table()));
        parts
    }

    fn table(&self) -> Table {
        let row = |site: &Site| {
            vec![
                Cell::Name(site.name.clone()),
                Cell::count(site.auc.units),
                Cell::score(Some(site.auc)),
                Cell::score(site.of_objects),
                Cell::number(site.curve.first().map(|point| point.1), 3),
                Cell::number(site.curve.last().map(|point| point.1), 3),
            ]
        };
        let head = [
            "site",
            "n",
            "AUC",
            "AUC of objects",
            "first step",
            "last step",
        ];
        // part of a file's name
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        Table {
            id: format!("sites-{}", self.name.chars().map(plain).collect::<String>()),
            title: format!(
                "AUC of every site, mean over steps and pictures, source {}",
                self.name
            ),
            head: head.map(str::to_owned).to_vec(),
            rows: self.sites.iter().map(row).collect(),
        }
    }

    fn curves(&self) -> Chart {
        let line = |site: &Site| Line {
            name: short(&site.name),
            points: site.curve.clone(),
            labels: Vec::new(),
            joined: true,
        };
        Chart::Lines(Lines {
            title: format!("AUC over the steps, source {}", self.name),
            x: Axis::new("timestep (noise on the left)").reversed(),
            y: Axis::new("AUC"),
            lines: self.sites.iter().map(line).collect(),
        })
    }

    fn means(&self) -> Chart {
        let charted = || self.sites.iter().take(CHARTED);
        let all = charted().map(|site| (short(&site.name), Some(site.auc)));
        let objects = charted().map(|site| (short(&site.name), site.of_objects));
        let title = match self.sites.len() > CHARTED {
            true => format!("AUC of the best {CHARTED} sites, source {}", self.name),
            false => format!("AUC of sites, source {}", self.name),
        };
        Chart::Dots(Dots {
            title,
            axis: "AUC, with 95 % intervals".to_owned(),
            series: vec![
                Dots::series("against everything else", all),
                Dots::series("against the other objects", objects),
            ],
        })
    }
}

/// Site -> AUC at every step.
type Areas = BTreeMap<String, Vec<Option<f64>>>;

/// Mean over phrases, and over all steps or of one, of each picture that has a value.
fn of_pictures<'a>(
    rows: &[&'a Attention],
    areas: fn(&Attention) -> &Areas,
    site: &str,
    step: Option<usize>,
) -> BTreeMap<&'a str, f64> {
    let mut of_rows: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let steps = areas(row).get(site).into_iter().flatten().enumerate();
        let steps = steps.filter(|(index, _)| step.is_none_or(|step| step == *index));
        let values: Vec<f64> = steps.filter_map(|(_, area)| *area).collect();
        of_rows
            .entry(&row.picture)
            .or_default()
            .extend(mean(&values));
    }
    (of_rows.into_iter())
        .filter_map(|(picture, values)| Some((picture, mean(&values)?)))
        .collect()
}

/// (timestep, mean over pictures) for each step.
fn curve(rows: &[&Attention], site: &str) -> Vec<(f64, f64)> {
    let longest = rows.iter().max_by_key(|row| row.timesteps.len());
    let timesteps = longest.into_iter().flat_map(|row| &row.timesteps);
    let point = |(step, &timestep): (usize, &f64)| {
        let pictures = of_pictures(rows, |row| &row.auc, site, Some(step));
        Some((timestep, mean(&pictures.into_values().collect::<Vec<_>>())?))
    };
    timesteps.enumerate().filter_map(point).collect()
}

/// A site's name for charts: `up 1.0.0` for `up_blocks.1.attentions.0.transformer_blocks.0.attn2`.
fn short(site: &str) -> String {
    let site = site.trim_end_matches(".attn2").trim_end_matches(".attn");
    site.replace("mid_block.attentions", "mid")
        .replace("mid_block", "mid")
        .replace(".attentions.", ".")
        .replace(".transformer_blocks.", ".")
        .replace("single_transformer_blocks.", "single ")
        .replace("transformer_blocks.", "block ")
        .replace("_blocks.", " ")
}
