//! Numbers of summaries against naive computations over the same rows, and CSV as it is written.

use std::collections::BTreeMap;

use super::invented::{self, METHODS};
use crate::{
    report::{
        csv,
        summary::{Concepts, Estimate, Methods, Overheads, Sweep, Training, blocks},
        table::{Cell, Table},
    },
    rows::{self, Picture, Row, Setup},
};

fn table<R: Row>(rows: Vec<R>) -> rows::Table<R> {
    rows::Table {
        setup: Setup::new("made up"),
        folders: vec![".".into(); rows.len()],
        rows,
    }
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-12,
        "{found}, naive {expected}"
    );
}

fn value(estimate: Option<Estimate>) -> f64 {
    let estimate = estimate.expect("an estimate");
    let (low, high) = estimate.interval.expect("several units");
    assert!(low <= estimate.value && estimate.value <= high);
    estimate.value
}

#[test]
fn methods_have_the_means_of_their_rows() {
    let table = table(invented::pictures(30, &METHODS));
    let of = |method: &str| -> Vec<&Picture> {
        table
            .rows
            .iter()
            .filter(|row| row.method == method)
            .collect()
    };
    let vanilla = of("vanilla");
    let cp = |rows: &[&Picture]| mean(rows.iter().map(|row| row.scores.cp));
    let pf = |rows: &[&Picture]| mean(rows.iter().map(|row| row.scores.pf));
    let summary = Methods::of(&table);
    assert_eq!(summary.methods.len(), METHODS.len());
    for (method, (name, ..)) in summary.methods.iter().zip(METHODS) {
        let rows = of(name);
        assert_eq!((method.name.as_str(), method.units), (name, 30));
        close(value(method.cp), cp(&rows));
        close(value(method.pf), pf(&rows));
        close(value(method.product), cp(&rows) * pf(&rows));
        // the third of the others is the leak, which some pictures do not have
        close(
            value(method.others[2]),
            mean(rows.iter().filter_map(|row| row.scores.leak)),
        );
        let Some(against) = &method.against else {
            assert_eq!(name, "vanilla");
            continue;
        };
        let product = cp(&vanilla) * pf(&vanilla);
        close(value(against.cp), cp(&rows) - cp(&vanilla));
        close(value(against.product), cp(&rows) * pf(&rows) - product);
        close(value(against.ratio), cp(&rows) * pf(&rows) / product);
    }
}

#[test]
fn seeds_of_a_prompt_are_one_unit() {
    // every unit twice, with other seeds: the means stay, the intervals do not get narrower
    let once = invented::pictures(30, &METHODS[..2]);
    let again = once.iter().cloned().map(|row| Picture {
        seed: row.seed + 1000,
        ..row
    });
    let twice = Methods::of(&table(once.iter().cloned().chain(again).collect()));
    let once = Methods::of(&table(once));
    for (a, b) in once.methods.iter().zip(&twice.methods) {
        assert_eq!((a.cp, a.product, a.units), (b.cp, b.product, b.units));
    }
}

#[test]
fn groups_have_their_own_vanilla() {
    let methods = [
        ("text only", 0.3, 0.9),
        ("Base: vanilla", 0.7, 0.5),
        ("Plus: vanilla", 0.8, 0.4),
        ("Plus: concept block", 0.65, 0.7),
        ("LoRA", 0.65, 0.7),
    ];
    let summary = Methods::of(&table(invented::pictures(5, &methods)));
    let baseline = |index: usize| {
        let against = summary.methods[index].against.as_ref()?;
        Some(against.baseline.as_str())
    };
    assert_eq!(baseline(3), Some("Plus: vanilla"));
    assert_eq!([baseline(0), baseline(1), baseline(4)], [None; 3]);
}

#[test]
fn the_best_site_leads_by_paired_pictures() {
    let table = table(invented::attention(12));
    let summary = blocks::Summary::of(&table);
    let source = &summary.sources[0];
    assert_eq!((source.name.as_str(), source.pictures), ("scene", 12));
    let best = summary.best().expect("sites");
    assert!(best.name.starts_with("up_blocks.1.attentions.0"));
    let of = |site: &str| -> BTreeMap<&str, f64> {
        let rows = table.rows.iter().filter(|row| row.source == "scene");
        rows.map(|row| {
            (
                row.picture.as_str(),
                mean(row.auc[site].iter().copied().flatten()),
            )
        })
        .collect()
    };
    let (first, second) = (of(&best.name), of(&source.sites[1].name));
    close(best.auc.value, mean(first.values().copied()));
    let lead = mean(first.iter().map(|(picture, area)| area - second[picture]));
    close(value(source.lead), lead);
    // the first step of picture 3 is missing
    let step = (table.rows.iter().take(12)).filter_map(|row| row.auc[&best.name][0]);
    close(best.curve[0].1, mean(step));
    assert_eq!((best.curve.len(), best.curve[0].0), (10, 981.0));
}

#[test]
fn positions_and_competitors_are_paired_by_concept() {
    let table = table(invented::concepts());
    let summary = Concepts::of(&table);
    let names = |groups: &[crate::report::summary::ConceptGroup]| -> Vec<String> {
        groups.iter().map(|group| group.name.clone()).collect()
    };
    assert_eq!(
        names(&summary.positions),
        ["only", "first", "middle", "last"]
    );
    assert_eq!(names(&summary.competitors), ["0", "1", "2", "3"]);
    assert_eq!(summary.concepts.len(), 50);
    let area = |concept: &str, keep: &dyn Fn(&rows::Concept) -> bool| {
        let rows = table
            .rows
            .iter()
            .filter(|row| row.concept == concept && keep(row));
        let areas: Vec<f64> = rows.filter_map(|row| row.auc).collect();
        (!areas.is_empty()).then(|| mean(areas))
    };
    let mut concepts: Vec<&str> = table.rows.iter().map(|row| row.concept.as_str()).collect();
    concepts.dedup();
    let middle = concepts.iter().filter_map(|concept| {
        let losses = (0..4).filter_map(|competitors| {
            let at = |position: &str| {
                area(concept, &|row| {
                    row.position == position && row.competitors == competitors
                })
            };
            Some(at("first")? - at("middle")?)
        });
        let losses: Vec<f64> = losses.collect();
        (!losses.is_empty()).then(|| mean(losses))
    });
    close(value(summary.positions[2].loss), mean(middle));
    let three = concepts.iter().filter_map(|concept| {
        let with = |competitors: usize| area(concept, &|row| row.competitors == competitors);
        Some(with(0)? - with(3)?)
    });
    close(value(summary.competitors[3].loss), mean(three));
    assert_eq!(summary.competitors[0].loss, None);
}

#[test]
fn a_sweep_holds_what_most_settings_share() {
    let table = table(invented::sweep(6));
    let summary = Sweep::of(&table);
    let text: Vec<String> = (summary.parts(&table).iter())
        .filter_map(|part| match part {
            crate::report::part::Part::Table(table) => {
                Some(format!("{} {}", table.id, table.rows.len()))
            }
            _ => None,
        })
        .collect();
    // 5 scales of two methods, 5 warm-ups of the one that has them, all 30
    assert_eq!(text, ["scale 10", "warmup 5", "all 30"]);
    for point in &summary.points {
        let vanilla = point.variant.is("vanilla");
        assert_eq!(point.ratio.is_none(), vanilla);
    }
}

#[test]
fn ratios_are_of_the_same_turn() {
    let rows = invented::overhead();
    let expected: Vec<f64> = (rows[2].seconds.iter().zip(&rows[0].seconds))
        .map(|(a, b)| a / b)
        .collect();
    let summary = Overheads::of(&table(rows));
    let cost = summary.costs.iter().find(|cost| cost.mode == "Conceptrol");
    let ratio = cost.and_then(|cost| cost.ratios[0]).expect("a ratio");
    let mut sorted = expected;
    sorted.sort_by(f64::total_cmp);
    assert_eq!(
        [ratio.least, ratio.median, ratio.largest],
        [sorted[0], sorted[2], sorted[4]]
    );
}

#[test]
fn losses_are_means_over_steps() {
    let rows = invented::training();
    let losses = |first: usize| mean(rows[first..first + 40].iter().map(|row| row.loss));
    let (first, last) = (losses(0), losses(360));
    let summary = Training::of(&table(rows));
    let subject = &summary.subjects[0];
    assert_eq!(subject.steps, 400);
    close(subject.first.expect("losses"), first);
    close(subject.last.expect("losses"), last);
    assert!(summary.loss.len() <= 60 && summary.prior.len() == summary.loss.len());
}

#[test]
fn csv_is_quoted_and_has_the_ends_of_intervals() {
    let estimate = |interval| Cell::Estimate {
        estimate: Estimate {
            value: 0.25,
            interval,
            units: 2,
        },
        digits: 3,
    };
    let table = Table {
        id: "any".to_owned(),
        title: "Any".to_owned(),
        head: ["name", "n", "score"].map(str::to_owned).to_vec(),
        rows: vec![
            vec![
                Cell::text("a, \"b\"\nc"),
                Cell::count(2),
                estimate(Some((0.125, 0.5))),
            ],
            vec![Cell::text("plain"), Cell::Missing, estimate(None)],
            vec![Cell::text("nothing"), Cell::count(0), Cell::Missing],
        ],
    };
    let expected = "name,n,score,score low,score high\n\
                    \"a, \"\"b\"\"\nc\",2,0.25,0.125,0.5\n\
                    plain,,0.25,,\n\
                    nothing,0,,,\n";
    assert_eq!(
        String::from_utf8(csv::table(&table)).expect("text"),
        expected
    );
    assert!(
        table.to_string().starts_with("Any\n")
            && table.to_string().contains("0.250 [0.125, 0.500]")
    );
}

#[test]
fn rows_are_flat() {
    let mut row = invented::pictures(1, &METHODS[..1]).remove(0);
    row.scores = rows::PictureScores {
        cp: 0.5,
        pf: 0.25,
        clip_i: 0.75,
        clip_t: 0.125,
        leak: None,
        found: true,
        others_found: Some(1.0),
        setting_right: None,
    };
    let expected = "unit,method,scale,warmup,steps,guidance,prompt,subject,phrase,seed,file,reference,cp,pf,clip_i,clip_t,leak,\
                    found,others_found,setting_right\n\
                    0,text only,1,0.2,50,7.5,an apple & a <b>house</b> in the snow,apple_purple_noto,apple,0,\
                    pictures/000.text-only.png,pictures/reference.png,0.5,0.25,0.75,0.125,,true,1,\n";
    assert_eq!(
        String::from_utf8(csv::rows(&[row])).expect("text"),
        expected
    );
    let attention = invented::attention(1).remove(0);
    let lines = csv::rows(&[attention]);
    let text = String::from_utf8(lines).expect("text");
    assert_eq!(text.lines().count(), 1 + 9 * 10);
    assert!(text.lines().nth(1).is_some_and(|line| {
        line.starts_with("0,scene,scene/000.png,apple,down_blocks.0.attentions.0.transformer_blocks.0.attn2,0,981,0.")
    }));
}
