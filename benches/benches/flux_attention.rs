//! Joint attention at the size of FLUX's blocks: plain, with Conceptrol's structured bias, and with the dense bias it stands for.
//!
//! `cargo bench -p conceptrol-benches --bench flux_attention [-- ROUNDS]`
//!
//! Plain attention and Conceptrol's take turns, so that the ratio of a round compares neighbours. "concept block" is the site that
//! also reads a new mask. The dense form runs once, through Burn's own attention: it is the oracle, and what others do.

use std::time::Instant;

use burn::tensor::{Device, Tensor, module, ops::AttentionModuleOptions};
use conceptrol_benches::{Counting, numbers};
use conceptrol_core::{
    AttentionCall, AttentionPlan, BatchLayout, Concept, Grid, Session, SiteId, SiteSelector,
    TokenLayout,
    kernel::LogitBias,
    pipeline::Fidelity,
    processors::{ConceptrolLayer, JointConditionLayer},
};
use conceptrol_flux::{FluxConfig, attention_sites, pipeline};

#[global_allocator]
static MEMORY: Counting = Counting::new();

const HEADS: usize = 24;
const HEAD_DIM: usize = 128;
const TEXT: usize = 512;
/// Where the words of the concept stand in the text.
const WORDS: std::ops::Range<usize> = 6..8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let rounds: usize = rounds.unwrap_or(7).max(1);
    for edge in [32, 64] {
        let layout = TokenLayout::joint(TEXT, Grid::new(edge, edge), [Grid::new(32, 32)]);
        measure(layout, rounds)?;
    }
    Ok(())
}

/// One way to compute the attention.
struct Way<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Tensor<4> + 'a>,
    seconds: Vec<f64>,
    added: usize,
}

impl<'a> Way<'a> {
    fn new(name: &'static str, run: impl FnMut() -> Tensor<4> + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
            seconds: Vec::new(),
            added: 0,
        }
    }

    fn measure(&mut self) {
        let start = Instant::now();
        let (added, out) = MEMORY.peak_of(&mut self.run);
        self.seconds.push(start.elapsed().as_secs_f64());
        self.added = self.added.max(added);
        drop(out);
    }
}

fn measure(layout: TokenLayout, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let config = FluxConfig::dev();
    let len = layout.conditions[0].range.end;
    let [q, k, v] = [1, 2, 3].map(|seed| {
        numbers::<4>([1, len, HEADS, HEAD_DIM], seed, &device).swap_dims(1, 2) // [1, heads, len, head_dim]
    });
    let call = AttentionCall::joint(q.clone(), k.clone(), v.clone(), layout.clone());

    let concept_block = SiteId::new(config.num_layers - 1);
    let other = SiteId::new(config.num_layers);
    let batch = BatchLayout::unguided(1);
    let sites = attention_sites(&config);
    let plain_plan = AttentionPlan::plain(&sites);
    let mut plain_session = Session::new(&plain_plan, batch, [])?;
    let block = pipeline::concept_block(&config, Fidelity::Paper);
    let plan = AttentionPlan::builder(&sites)
        .layer(SiteSelector::joint(), ConceptrolLayer::new(block))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()?;
    let concept = || Concept::new("concept", [vec![WORDS]]);
    let mut session = Session::new(&plan, batch, [concept()])?;
    let mut publishing = Session::new(&plan, batch, [concept()])?;
    session.attend(concept_block, call.clone())?; // publishes the mask that is in force from here on

    let mask = session.board().latest(0).ok_or("no mask")?.values().clone();
    let (ours, dense) = (
        session.attend(other, call.clone())?,
        dense(&mask, [&q, &k, &v], &layout),
    );
    let deviation = (ours - dense.output).abs().max().into_scalar::<f32>();

    let mut ways = [
        Way::new("plain", || {
            plain_session.attend(other, call.clone()).expect("attends")
        }),
        Way::new("conceptrol", || {
            session.attend(other, call.clone()).expect("attends")
        }),
        Way::new("concept block", || {
            publishing
                .attend(concept_block, call.clone())
                .expect("attends")
        }),
    ];
    for round in 0..=rounds {
        for way in &mut ways {
            way.measure();
            if round == 0 {
                way.seconds.clear(); // the first round warms up
            }
        }
    }

    let activations = (4 * HEADS * len * HEAD_DIM * size_of::<f32>()) as f64; // q, k, v and the output
    let [text, latents, condition] = [TEXT, layout.latents.range.len(), 1024];
    println!(
        "{HEADS} heads of {HEAD_DIM}, {text} text + {latents} latent + {condition} condition tokens, {rounds} rounds, activations {:.0} MB",
        activations / 1e6
    );
    println!(
        "{:<14} {:>8} {:>9} {:>7} {:>15} {:>9} {:>22}",
        "attention",
        "best ms",
        "median ms",
        "/plain",
        "range",
        "added MB",
        "more, % of activations"
    );
    for way in &ways {
        let ratios = sorted(
            way.seconds
                .iter()
                .zip(&ways[0].seconds)
                .map(|(a, b)| a / b)
                .collect(),
        );
        let more = (way.added as f64 - ways[0].added as f64) / activations;
        let seconds = sorted(way.seconds.clone());
        println!(
            "{:<14} {:>8.1} {:>9.1} {:>7.3} {:>6.3} to {:<5.3} {:>9.1} {:>22.2}",
            way.name,
            1e3 * seconds[0],
            1e3 * seconds[rounds / 2],
            ratios[rounds / 2],
            ratios[0],
            ratios[rounds - 1],
            way.added as f64 / 1e6,
            100.0 * more,
        );
    }
    let more = (dense.added as f64 - ways[0].added as f64) / activations;
    println!(
        "{:<14} {:>8.1} {:>41} {:>22.2}",
        "dense bias",
        1e3 * dense.seconds,
        format!("{:.1}", dense.added as f64 / 1e6),
        100.0 * more
    );
    println!("largest deviation of conceptrol from the dense bias: {deviation:.1e}\n");
    assert!(deviation < 1e-5, "the structured bias is not the dense one");
    Ok(())
}

struct Dense {
    output: Tensor<4>,
    seconds: f64,
    added: usize,
}

/// The authors' bias, element by element: words outside the concept do not see the condition, latents weigh it by the mask.
fn dense(mask: &Tensor<2>, [q, k, v]: [&Tensor<4>; 3], layout: &TokenLayout) -> Dense {
    let device = mask.device();
    let [condition, seen] = [layout.conditions[0].range.len(), layout.latents.range.end];
    let blocked = |len| Tensor::<2>::full([1, len], LogitBias::BLOCKED, &device);
    let open = |len| Tensor::<2>::zeros([1, len], &device);
    let start = Instant::now();
    let (added, output) = MEMORY.peak_of(|| {
        let parts = vec![
            blocked(WORDS.start),
            open(WORDS.len()),
            blocked(TEXT - WORDS.end),
            mask.clone().log(),
            open(condition),
        ];
        let rows: Tensor<4> = Tensor::cat(parts, 1).reshape([1, 1, -1, 1]);
        let len = rows.dims()[2];
        let parts = vec![
            Tensor::zeros([1, 1, len, seen], &device),
            rows.expand([1, 1, len, condition]),
        ];
        let matrix = Tensor::cat(parts, 3);
        let options = AttentionModuleOptions::default();
        let [q, k, v] = [q, k, v].map(Tensor::clone);
        module::attention(q, k, v, None, Some(matrix), options)
    });
    Dense {
        output,
        seconds: start.elapsed().as_secs_f64(),
        added,
    }
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}
