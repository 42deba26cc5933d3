//! What each way to run a model costs: time of a step and peak memory, modes in turns.

use std::{error::Error, ops::ControlFlow, time::Instant};

use conceptrol_benches::{GuidedStep, Peak, RandomModel};
use conceptrol_core::{
    AttentionPlan, SiteSelector,
    mask::ConceptBlock,
    models::image::open,
    pipeline::{ConceptRequest, Conditioning, Mode, Pipeline, Request, StepReport},
    processors::{CaptureLayer, ConceptrolLayer},
};
use conceptrol_examples::{device::Backend, machine};
use conceptrol_sd::unet::UNet2DConditionModel;

use crate::{
    arguments::{self, FullSize},
    lab::{Experiment, Lab, with_settings},
    rows::{Overhead as Row, Settings, Setup},
};

/// Steps of a turn; the first also makes what is kept for the others, and does not count.
const STEPS: usize = 4;

/// Turns of a UNet of published size, at most.
const FULL_SIZE_TURNS: usize = 2;

/// The plain adapter, Conceptrol and captures against the text alone.
#[derive(Debug)]
pub(crate) struct Overhead(pub(crate) arguments::Overhead);

/// A way to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    TextOnly,
    Adapter,
    Conceptrol,
    Capture,
}

impl Way {
    const ALL: [Self; 4] = [
        Self::TextOnly,
        Self::Adapter,
        Self::Conceptrol,
        Self::Capture,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::TextOnly => "text only",
            Self::Adapter => "adapter",
            Self::Conceptrol => "Conceptrol",
            Self::Capture => "Conceptrol, capture",
        }
    }
}

/// A unit of work: every way is run in turns.
#[derive(Debug, Clone)]
struct Unit {
    backend: Backend,
    full_size: bool,
    threads: usize,
    batch: usize,
}

impl Experiment for Overhead {
    fn run<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<(), Box<dyn Error>> {
        let backends = backends(&lab.common.backend);
        let units = self.units(&backends, lab.common.quick);
        let names: Vec<String> = backends.iter().map(Backend::to_string).collect();
        let setup = Setup::new("overhead")
            .option("backends", names.join(", "))
            .option("machine", machine::processor())
            .option("units", units.len())
            .option("turns", self.0.turns);
        let rows = |_| Way::ALL.len();
        // pipelines of other backends go on
        let own = units
            .iter()
            .rposition(|unit| unit.backend == lab.common.backend);
        let end = own.map_or(0, |last| last + 1);
        lab.each_unit(&setup, end, rows, |number, progress| {
            let unit = units[number].clone();
            let on = unit.backend.to_string();
            progress.begin(format!(
                "{on}, {} threads, batch {}",
                unit.threads, unit.batch
            ));
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(unit.threads)
                .build()?;
            let rows = pool.install(|| {
                let turns = self.0.turns;
                let rows = if unit.full_size {
                    full_size(self.0.full_size, &unit, turns)
                } else {
                    of_pipeline(lab, &unit, turns)
                };
                rows.map_err(|error| error.to_string())
            })?;
            let numbered = rows.into_iter().map(|row| Row {
                unit: number,
                ..row
            });
            Ok(numbered.collect())
        })
    }
}

/// The backends of this program, or the remote one that is asked for.
pub(crate) fn backends(given: &Backend) -> Vec<Backend> {
    if matches!(given, Backend::Remote(_)) {
        return vec![given.clone()];
    }
    let all = Backend::LOCAL.into_iter();
    all.filter(|backend| backend.device().is_ok()).collect()
}

impl Overhead {
    fn units(&self, backends: &[Backend], quick: bool) -> Vec<Unit> {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let mut threads = self.0.threads.clone();
        if threads.is_empty() {
            threads = vec![1, all];
            threads.dedup();
        }
        let mut units = Vec::new();
        for backend in backends {
            let on_cpu = *backend == Backend::Flex;
            // a card does not compute faster with more threads beside it
            let threads = if on_cpu {
                threads.as_slice()
            } else {
                &threads[threads.len() - 1..]
            };
            for full_size in [false, true] {
                if full_size && (quick || !on_cpu || self.0.full_size == FullSize::None) {
                    continue;
                }
                // a published size takes minutes a turn: with all threads only
                let threads = if full_size {
                    &threads[threads.len() - 1..]
                } else {
                    threads
                };
                for &threads in threads {
                    let unit = |&batch| Unit {
                        backend: backend.clone(),
                        full_size,
                        threads,
                        batch,
                    };
                    units.extend(self.0.batches.iter().map(unit));
                }
            }
        }
        units
    }
}

/// Times of every way, in turns.
#[derive(Debug, Default)]
struct Measured {
    seconds: Vec<f64>,
    peak: Option<u64>,
}

fn rows(unit: &Unit, model: &str, dtype: &str, measured: [Measured; 4]) -> Vec<Row> {
    let rows = Way::ALL.into_iter().zip(measured);
    rows.map(|(way, measured)| Row {
        unit: 0,
        machine: machine::processor(),
        model: model.to_owned(),
        backend: unit.backend.to_string(),
        dtype: dtype.to_owned(),
        threads: unit.threads,
        batch: unit.batch,
        mode: way.name().to_owned(),
        seconds: measured.seconds,
        peak: measured.peak,
    })
    .collect()
}

/// Short generations of the model that was opened.
fn of_pipeline<P: Pipeline>(
    lab: &Lab<'_, P>,
    unit: &Unit,
    turns: usize,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let pipeline = &lab.pipeline;
    let (prompts, subjects) = lab.prompts(1, 1)?;
    let prompt = &prompts[0];
    let reference = open(&subjects[&prompt.subject].images[0])?;
    let settings = Settings {
        warmup: 0.0,
        steps: STEPS,
        ..lab.settings()
    };
    let request = Request::new(&prompt.prompt)
        .concept(ConceptRequest::new(&prompt.phrase, reference))
        .images_per_prompt(unit.batch)
        .cancel(lab.interrupt.cancel());
    let request = with_settings(request, &settings)?;
    let conditioning = pipeline.condition(&request)?;
    let mut measured: [Measured; 4] = Default::default();
    for turn in 0..=turns {
        for (way, measured) in Way::ALL.into_iter().zip(&mut measured) {
            let peak = Peak::start();
            let seconds = step_of(pipeline, request.clone(), &conditioning, way)?;
            // the first turn loads what is loaded once
            if turn > 0 {
                measured.seconds.push(seconds);
                measured.peak = measured.peak.max(peak.total());
            }
        }
    }
    let dtype = format!("{:?}", lab.common.dtype).to_lowercase();
    let model = lab
        .common
        .model
        .as_ref()
        .and_then(|model| model.file_name());
    let model = model
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(rows(unit, &model, &dtype, measured))
}

/// The mean time of the steps after the first.
fn step_of<P: Pipeline>(
    pipeline: &P,
    request: Request<P::Extra>,
    conditioning: &Conditioning<P::Encoded>,
    way: Way,
) -> Result<f64, Box<dyn Error>> {
    let request = request.mode(match way {
        Way::TextOnly => Mode::TextOnly,
        Way::Adapter => Mode::Adapter,
        Way::Conceptrol | Way::Capture => Mode::Conceptrol,
    });
    let plan = if way == Way::Capture {
        let sites = pipeline.profile().conditioned.clone();
        pipeline.plan_around(&request, sites, CaptureLayer::new())?
    } else {
        pipeline.plan(&request)?
    };
    let mut ends = Vec::with_capacity(STEPS);
    let mut clock = |report: &StepReport<'_>| {
        // reading a value waits for the step
        let _ = report.latents.clone().slice_dim(0, 0..1).max().into_data();
        ends.push(Instant::now());
        ControlFlow::Continue(())
    };
    pipeline.denoise(&plan, &request, conditioning, &mut clock)?;
    let (first, last) = (ends[0], ends[ends.len() - 1]);
    let steps = (ends.len() - 1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
    Ok((last - first).as_secs_f64() / steps as f64)
}

/// Guided steps of a UNet of published size.
fn full_size(size: FullSize, unit: &Unit, turns: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    let device = unit.backend.device()?;
    let (model, block) = match size {
        FullSize::None => return Err("no full size is asked for".into()),
        FullSize::Sd15 => (RandomModel::sd15(&device), ConceptBlock::sd15()),
        FullSize::Sdxl => (RandomModel::sdxl(&device), ConceptBlock::sdxl()),
    };
    let unet = model.unet()?;
    let sites = unet.attention_sites();
    let adapter = model.adapter(&sites)?;
    let cross = SiteSelector::cross;
    let builder = || AttentionPlan::builder(&sites);
    let plans = [
        builder().build()?,
        builder().layer(cross(), adapter.clone()).build()?,
        builder()
            .layer(cross(), ConceptrolLayer::new(block.clone()))
            .layer(cross(), adapter.clone())
            .build()?,
        builder()
            .layer(cross(), CaptureLayer::new())
            .layer(cross(), ConceptrolLayer::new(block))
            .layer(cross(), adapter)
            .build()?,
    ];
    let mut measured: [Measured; 4] = Default::default();
    for _ in 0..turns.min(FULL_SIZE_TURNS) {
        for (plan, measured) in plans.iter().zip(&mut measured) {
            let (seconds, peak) = guided(&unet, &model, plan, unit.batch)?;
            measured.seconds.push(seconds);
            measured.peak = measured.peak.max(Some(peak));
        }
    }
    let name = format!("{}, 512 x 512, random weights", model.name);
    Ok(rows(unit, &name, "f32", measured))
}

/// The second step of a generation.
fn guided(
    unet: &UNet2DConditionModel,
    model: &RandomModel,
    plan: &AttentionPlan,
    batch: usize,
) -> Result<(f64, u64), Box<dyn Error>> {
    let mut step = GuidedStep::new(model, plan, batch, 64)?;
    step.cost(unet)?;
    let cost = step.cost(unet)?;
    Ok((cost.seconds, cost.peak))
}
