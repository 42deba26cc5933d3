//! Published numbers, to stand beside ours: arXiv 2503.06568.

use super::metric::PRODUCT;
use crate::report::{
    part::Part,
    table::{Cell, Table},
};

/// Table 1 of the paper: model, method, our word for it, CP, PF, product.
const SCORES: [(&str, &str, &str, [f64; 3]); 8] = [
    ("SD 1.5", "DreamBooth", "DreamBooth", [0.496, 0.723, 0.359]),
    ("SD 1.5", "IP-Adapter", "vanilla", [0.881, 0.238, 0.210]),
    (
        "SD 1.5",
        "Conceptrol",
        "concept block",
        [0.500, 0.795, 0.397],
    ),
    (
        "SDXL",
        "DreamBooth LoRA",
        "DreamBooth",
        [0.597, 0.865, 0.517],
    ),
    ("SDXL", "IP-Adapter", "vanilla", [0.835, 0.414, 0.346]),
    ("SDXL", "Conceptrol", "concept block", [0.658, 0.796, 0.524]),
    ("FLUX", "OminiControl", "vanilla", [0.438, 0.910, 0.398]),
    ("FLUX", "Conceptrol", "concept block", [0.556, 0.866, 0.481]),
];

/// The rows of the paper's table for methods that were measured here.
pub(crate) fn scores<'a>(methods: impl Iterator<Item = &'a str> + Clone) -> Vec<Part> {
    let rows: Vec<Vec<Cell>> = (SCORES.iter())
        .filter(|row| methods.clone().any(|method| method.contains(row.2)))
        .map(|(model, method, here, scores)| {
            let mut cells = vec![Cell::text(*model), Cell::text(*method), Cell::text(*here)];
            cells.extend(scores.map(|score| Cell::number(Some(score), 3)));
            cells
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let head = ["model", "method", "called here", "CP", "PF", PRODUCT];
    vec![
        Part::Table(Table {
            id: "paper".to_owned(),
            title: "Published for comparison (arXiv 2503.06568, table 1)".to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows,
        }),
        Part::Note(
            "Published scores are ratings by GPT-4o on DreamBench++, divided by 4; those above are measured by encoders and a \
             segmenter. The order of methods can be compared, the numbers cannot."
                .to_owned(),
        ),
    ]
}

/// Figure 6 of the paper, read off to 0.01: model, block, AUC at the first and at the last of ten steps.
const AREAS: [(&str, &str, f64, f64); 4] = [
    (
        "SD 1.5",
        "up_blocks.1.attentions.0.transformer_blocks.0.attn2",
        0.84,
        0.88,
    ),
    (
        "SD 1.5",
        "mid_block.attentions.0.transformer_blocks.0.attn2 (second)",
        0.81,
        0.86,
    ),
    (
        "SDXL",
        "up_blocks.0.attentions.1.transformer_blocks.3.attn2",
        0.78,
        0.86,
    ),
    ("FLUX", "transformer_blocks.18.attn", 0.84, 0.97),
];

pub(crate) fn areas() -> Table {
    let row = |(model, site, first, last): (&str, &str, f64, f64)| {
        vec![
            Cell::text(model),
            Cell::Name(site.to_owned()),
            Cell::number(Some(first), 2),
            Cell::number(Some(last), 2),
        ]
    };
    let head = ["model", "site", "AUC, first step", "AUC, last step"];
    Table {
        id: "paper".to_owned(),
        title: "Published for comparison (arXiv 2503.06568, figure 6, read off)".to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: AREAS.into_iter().map(row).collect(),
    }
}
