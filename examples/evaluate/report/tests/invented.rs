//! Rows as a run might write them.

use std::{collections::BTreeMap, f64::consts::TAU, fs, path::Path};

use image::{Rgb, RgbImage};

use crate::rows::{
    Attention, Baseline, Concept, Journal, Overhead, Picture, PictureScores, Row, Settings, Setup,
    Shard,
};

/// Numbers that look random and are the same every time (the additive recurrence of the golden ratio, hashed).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0..1
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (a, b) = (self.uniform(), self.uniform());
        mean + deviation * (-2.0 * (1.0 - a).ln()).sqrt() * (TAU * b).cos()
    }

    fn share(&mut self, mean: f64, deviation: f64) -> f64 {
        self.normal(mean, deviation).clamp(0.0, 1.0)
    }
}

/// Writes a command's rows as a run does.
pub(super) fn write<R: Row>(folder: &Path, command: &str, rows: &[R]) {
    let setup = Setup::new(command)
        .option("seed", 0)
        .option("prompts", "a file <with> odd & \"marks\"")
        .option("steps", 50);
    let rows_of = |unit| rows.iter().filter(|row| row.unit() == unit).count();
    let mut journal = Journal::open::<R>(folder, &setup, Shard::WHOLE, rows_of).expect("opened");
    let units = rows.iter().map(R::unit).max().map_or(0, |last| last + 1);
    for unit in 0..units {
        let lines: String = (rows.iter().filter(|row| row.unit() == unit))
            .map(|row| serde_json::to_string(row).expect("text") + "\n")
            .collect();
        let of_unit: Vec<R> = (lines.lines())
            .map(|line| serde_json::from_str(line).expect("the same row"))
            .collect();
        journal.append(&of_unit).expect("written");
    }
}

pub(super) fn attention(pictures: usize) -> Vec<Attention> {
    let sites = [
        ("down_blocks.0.attentions.0", 0.55),
        ("down_blocks.0.attentions.1", 0.57),
        ("down_blocks.1.attentions.0", 0.63),
        ("down_blocks.2.attentions.1", 0.74),
        ("mid_block.attentions.0", 0.81),
        ("up_blocks.1.attentions.0", 0.86),
        ("up_blocks.1.attentions.2", 0.72),
        ("up_blocks.2.attentions.0", 0.66),
        ("up_blocks.3.attentions.2", 0.58),
    ];
    let mut chance = Chance::new(1);
    let mut rows = Vec::new();
    for source in ["scene", "generated"] {
        for picture in 0..pictures {
            let easy = chance.normal(0.0, 0.04);
            let mut areas = |gain: f64| -> BTreeMap<String, Vec<Option<f64>>> {
                (sites.iter())
                    .map(|(site, mean)| {
                        let step = |step: usize| {
                            let lost = picture == 3 && step == 0;
                            let late = 0.06 * step as f64 / 9.0;
                            (!lost).then(|| chance.share(mean + late + easy + gain, 0.03))
                        };
                        let name = format!("{site}.transformer_blocks.0.attn2");
                        (name, (0..10).map(step).collect())
                    })
                    .collect()
            };
            rows.push(Attention {
                unit: rows.len(),
                source: source.to_owned(),
                picture: format!("{source}/{picture:03}.png"),
                phrase: "apple".to_owned(),
                timesteps: (0..10).map(|step| f64::from(981 - 100 * step)).collect(),
                auc: areas(0.0),
                auc_of_objects: areas(0.02),
            });
        }
    }
    rows
}

/// A method: name, CP, PF.
pub(super) const METHODS: [(&str, f64, f64); 7] = [
    ("text only", 0.31, 0.86),
    ("vanilla", 0.78, 0.42),
    ("random", 0.52, 0.61),
    ("non-specific block", 0.55, 0.66),
    ("local", 0.57, 0.68),
    ("concept block", 0.62, 0.77),
    ("oracle", 0.64, 0.79),
];

pub(super) fn pictures(units: usize, methods: &[(&str, f64, f64)]) -> Vec<Picture> {
    let mut chance = Chance::new(2);
    let mut rows = Vec::new();
    for unit in 0..units {
        let (hard, odd) = (chance.normal(0.0, 0.08), chance.normal(0.0, 0.1));
        for &(method, cp, pf) in methods {
            let settings = Settings {
                scale: 1.0,
                warmup: 0.2,
                steps: 50,
                guidance: 7.5,
            };
            let means = (cp + hard, pf + odd);
            rows.push(picture(&mut chance, unit, method, settings, means));
        }
    }
    rows
}

fn picture(
    chance: &mut Chance,
    unit: usize,
    method: &str,
    settings: Settings,
    (cp, pf): (f64, f64),
) -> Picture {
    let (cp, pf) = (chance.share(cp, 0.08), chance.share(pf, 0.1));
    Picture {
        unit,
        method: method.to_owned(),
        settings,
        prompt: "an apple & a <b>house</b> in the snow".to_owned(),
        subject: "apple_purple_noto".to_owned(),
        phrase: "apple".to_owned(),
        seed: unit as u64,
        file: format!("pictures/{unit:03}.{}.png", method.replace(' ', "-")),
        reference: "pictures/reference.png".to_owned(),
        scores: PictureScores {
            cp,
            pf,
            clip_i: chance.share(0.5 + 0.4 * cp, 0.03),
            clip_t: chance.share(0.15 + 0.2 * pf, 0.02),
            leak: (!unit.is_multiple_of(9)).then(|| chance.share(0.6 * cp, 0.05)),
            found: chance.uniform() < 0.5 + pf / 2.0,
            others_found: (!unit.is_multiple_of(7)).then(|| chance.uniform().round()),
            setting_right: (!unit.is_multiple_of(5)).then(|| chance.uniform() < 0.4 + pf / 2.0),
        },
    }
}

/// Scale and warm-up one at a time, and both on a grid.
pub(super) fn sweep(units: usize) -> Vec<Picture> {
    let mut chance = Chance::new(3);
    let mut rows = Vec::new();
    let scales = [0.5, 0.75, 1.0, 1.25, 1.5];
    let warmups = [0.0, 0.1, 0.2, 0.3, 0.4];
    for unit in 0..units {
        for scale in scales {
            let settings = |warmup| Settings {
                scale,
                warmup,
                steps: 50,
                guidance: 7.5,
            };
            let means = (0.45 + 0.33 * scale, 0.85 - 0.43 * scale);
            rows.push(picture(&mut chance, unit, "vanilla", settings(0.0), means));
            for warmup in warmups {
                let means = (
                    0.42 + 0.22 * scale - 0.2 * warmup,
                    0.88 - 0.13 * scale + 0.1 * warmup,
                );
                let settings = settings(warmup);
                rows.push(picture(&mut chance, unit, "concept block", settings, means));
            }
        }
    }
    rows
}

pub(super) fn concepts() -> Vec<Concept> {
    let mut chance = Chance::new(4);
    let mut rows = Vec::new();
    for concept in 0..50 {
        let kind = ["object", "object", "scene", "attribute"][concept % 4];
        let easy = chance.normal(0.0, 0.05);
        let mut add = |competitors: usize, position: &str, loss: f64| {
            let found = chance.uniform() < 0.95;
            rows.push(Concept {
                unit: rows.len(),
                concept: format!("concept {concept:02}"),
                kind: kind.to_owned(),
                prompt: "an apple and a house".to_owned(),
                position: position.to_owned(),
                competitors,
                seed: concept as u64,
                auc: found.then(|| chance.share(0.92 + easy - loss, 0.03)),
            });
        };
        add(0, "only", 0.0);
        for competitors in 1..4_usize {
            let loss = 0.03 * competitors as f64;
            add(competitors, "first", loss);
            if competitors > 1 {
                add(competitors, "middle", loss + 0.04);
            }
            add(competitors, "last", loss + 0.02);
        }
    }
    rows
}

pub(super) fn overhead() -> Vec<Overhead> {
    let mut chance = Chance::new(5);
    let modes = [
        ("text only", 1.0),
        ("adapter", 1.08),
        ("Conceptrol", 1.10),
        ("Conceptrol, capture", 1.16),
    ];
    let mut rows = Vec::new();
    for (unit, batch) in [1_usize, 2, 4, 8].into_iter().enumerate() {
        let slow: Vec<f64> = (0..5).map(|_| chance.normal(1.0, 0.05)).collect();
        for (mode, factor) in modes {
            let turn = |slow: &f64| 0.011 * batch as f64 * factor * slow * chance.normal(1.0, 0.01);
            rows.push(Overhead {
                unit,
                machine: "Some Processor, 2 cores".to_owned(),
                model: "embedded".to_owned(),
                backend: "flex".to_owned(),
                dtype: "f32".to_owned(),
                threads: 2,
                batch,
                mode: mode.to_owned(),
                seconds: slow.iter().map(turn).collect(),
                peak: (batch != 8).then_some(200 << 20),
            });
        }
    }
    rows
}

pub(super) fn training() -> Vec<Baseline> {
    let mut chance = Chance::new(6);
    let mut rows = Vec::new();
    for (unit, subject) in ["apple_purple_noto", "car_purple_fluent"]
        .into_iter()
        .enumerate()
    {
        for step in 1..=400 {
            let falling = 0.06 + 0.1 * (-f64::from(step - 1) / 80.0).exp();
            rows.push(Baseline {
                unit,
                subject: subject.to_owned(),
                step: step as usize,
                loss: chance.normal(falling, 0.02).abs(),
                prior_loss: Some(chance.normal(0.08, 0.02).abs()),
            });
        }
    }
    rows
}

/// Files of rows of every command, and some of their pictures.
pub(super) fn everything(folder: &Path) {
    let tuned = [
        METHODS[0],
        METHODS[1],
        METHODS[5],
        ("DreamBooth LoRA", 0.7, 0.6),
    ];
    let adapters = [
        ("text only", 0.31, 0.86),
        ("Base: vanilla", 0.7, 0.5),
        ("Base: concept block", 0.6, 0.75),
        ("Plus: vanilla", 0.8, 0.4),
        ("Plus: concept block", 0.65, 0.7),
        ("LoRA: vanilla", 0.6, 0.6),
        ("LoRA: concept block", 0.5, 0.7),
    ];
    write(folder, "blocks", &attention(24));
    write(folder, "masks", &pictures(60, &METHODS));
    write(folder, "sweep", &sweep(12));
    write(folder, "concepts", &concepts());
    write(folder, "adapters", &pictures(40, &adapters));
    write(folder, "baseline", &pictures(40, &tuned));
    write(folder, "training", &training());
    write(folder, "overhead", &overhead());
    fs::create_dir(folder.join("pictures")).expect("a folder");
    let mut chance = Chance::new(7);
    let files = (0..60).flat_map(|unit| {
        let of_method =
            move |(method, ..): (&str, f64, f64)| format!("{unit:03}.{}", method.replace(' ', "-"));
        METHODS.map(of_method)
    });
    for name in files.chain(["reference".to_owned()]) {
        let [r, g, b] = [(); 3].map(|()| (255.0 * chance.uniform()) as u8);
        let picture = RgbImage::from_fn(64, 64, |x, y| {
            let inside = (x as f64 - 32.0).hypot(y as f64 - 36.0) < 18.0;
            Rgb(if inside {
                [r, g, b]
            } else {
                [b / 2 + 90, 200, (3 * y) as u8]
            })
        });
        let file = folder.join(format!("pictures/{name}.png"));
        picture.save(file).expect("written");
    }
}
