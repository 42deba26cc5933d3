//! A step of FLUX.1 of full size with its weights in few bytes, against reading them from disk at every step.
//!
//! `cargo bench -p conceptrol-benches --bench flux_memory [-- [--dir DIR] [--dtype f32|bf16] [--blocks DOUBLE SINGLE] [--text 512] [ROW..]]`:
//! 512 x 512 pixels and a reference of as many (2560 tokens), random weights. Rows, the first four if none is named:
//!
//! - `computing`: a step by the numbers of the blocks, from the mean of five steps with two double blocks, with four single ones and with
//!   none, bf16 weights in memory
//! - `reading`: all tensors of a bf16 file, one after the other
//! - `streamed`: a step with that file, each block read while the one before it computes; `waited` is what of it blocks were waited for
//! - `q4_0`, or `q8_0`: a step with rounded weights in memory; `bf16`: with those of the file, for fewer blocks or more memory
//!
//! The file, 24 GB with all blocks, is written to DIR (the system's temporary folder) and removed. Each row is a process of its own,
//! so that its peak is not that of another; seconds are of a second step, whose processor time and waiting stand beside them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use burn::tensor::{Device, FloatDType};
use conceptrol_benches::{Failure, FluxInputs, Peak, Place, processor_time, write_repeating};
use conceptrol_core::{
    AttentionPlan, BatchLayout, Concept, Session, SiteSelector,
    models::weights::{Checkpoint, Keep, Weights},
    processors::JointConditionLayer,
};
use conceptrol_flux::{FluxConfig, attention_sites, mmdit::FluxTransformer};

/// Pixels of a side.
const SIDE: usize = 512;

/// What is measured.
#[derive(Debug, Clone)]
struct Setting {
    config: FluxConfig,
    dtype: FloatDType,
    /// Tokens.
    text: usize,
    folder: PathBuf,
    rows: Vec<String>,
    /// Whether this process measures its only row.
    child: bool,
}

fn main() -> Result<(), Failure> {
    let setting = Setting::parse(std::env::args().skip(1))?;
    if setting.child {
        return setting.measure();
    }
    let (config, file) = (&setting.config, setting.file());
    println!(
        "{} double and {} single blocks, {:?}",
        config.num_layers, config.num_single_layers, setting.dtype
    );
    let needs_file = |row: &String| !row.starts_with('q');
    if setting.rows.iter().any(needs_file) {
        write(&file, config)?;
    }
    println!("row        loading s   step s   waited s   processor s   peak GB");
    let outcome = (setting.rows.iter()).try_for_each(|row| setting.in_child(row));
    let _ = fs::remove_file(file);
    outcome
}

impl Setting {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut setting = Self {
            config: FluxConfig::dev(),
            dtype: FloatDType::F32,
            text: 512,
            folder: std::env::temp_dir(),
            rows: Vec::new(),
            child: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} has no value"));
            match argument.as_str() {
                "--bench" => {}
                "--child" => setting.child = true,
                "--dir" => setting.folder = value()?.into(),
                "--dtype" => {
                    setting.dtype = match value()?.as_str() {
                        "f32" => FloatDType::F32,
                        "bf16" => FloatDType::BF16,
                        other => return Err(format!("no type {other}").into()),
                    }
                }
                "--text" => setting.text = value()?.parse()?,
                "--blocks" => {
                    setting.config.num_layers = value()?.parse()?;
                    setting.config.num_single_layers = value()?.parse()?;
                }
                row => setting.rows.push(row.to_owned()),
            }
        }
        if setting.rows.is_empty() {
            let all = ["computing", "reading", "streamed", "q4_0"];
            setting.rows = all.map(str::to_owned).to_vec();
        }
        Ok(setting)
    }

    /// Measures a row in a process of its own.
    fn in_child(&self, row: &str) -> Result<(), Failure> {
        let dtype = match self.dtype {
            FloatDType::BF16 => "bf16",
            _ => "f32",
        };
        let blocks = [self.config.num_layers, self.config.num_single_layers];
        let status = Command::new(std::env::current_exe()?)
            .args([
                "--child",
                "--dtype",
                dtype,
                "--text",
                &self.text.to_string(),
            ])
            .arg("--blocks")
            .args(blocks.map(|count| count.to_string()))
            .arg("--dir")
            .arg(&self.folder)
            .arg(row)
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{row}: {status}").into()),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("conceptrol-flux-bf16.safetensors")
    }

    fn measure(&self) -> Result<(), Failure> {
        match self.rows[0].as_str() {
            "computing" => self.computing(),
            "reading" => self.reading(),
            "streamed" => self.row(|weights| FluxTransformer::streamed(&self.config, weights)),
            "bf16" | "q4_0" | "q8_0" => {
                self.row(|weights| FluxTransformer::new(&self.config, weights))
            }
            other => Err(format!("no row {other}").into()),
        }
    }

    fn weights(&self) -> Result<Weights, Failure> {
        let device = Device::flex();
        let keep = match self.rows[0].as_str() {
            "q4_0" => Keep::Q4_0,
            "q8_0" => Keep::Q8_0,
            _ => {
                let weights = Weights::open(self.file(), &device, self.dtype)?;
                return Ok(weights.keeping(Keep::Stored));
            }
        };
        Ok(Weights::random(1, &device, self.dtype).keeping(keep))
    }

    /// Loads a model, and takes two steps.
    fn row(&self, load: impl FnOnce(&Weights) -> FluxTransformer) -> Result<(), Failure> {
        let peak = Peak::start();
        let start = Instant::now();
        let model = load(&self.weights()?);
        let loading = start.elapsed().as_secs_f64();
        let step = self.step(&model, 1)?;
        self.print(loading, step, &peak);
        Ok(())
    }

    fn reading(&self) -> Result<(), Failure> {
        let peak = Peak::start();
        let (file, device) = (Checkpoint::open(self.file())?, Device::flex());
        let step = Step::timed(|| -> Result<(), Failure> {
            for tensor in file.tensors() {
                let name = &tensor.name;
                match tensor.shape[..] {
                    [rows, columns] => {
                        let shape = [rows, columns];
                        let kept = file.load_compact(name, shape, Keep::Stored, self.dtype)?;
                        if kept.is_none() {
                            drop(file.load::<2>(name, &device, self.dtype)?);
                        }
                    }
                    _ => drop(file.load::<1>(name, &device, self.dtype)?),
                }
            }
            Ok(())
        })?;
        self.print(0.0, step, &peak);
        Ok(())
    }

    /// A step of all blocks with weights in memory, from models of few: all 57 do not fit into the memory of most machines.
    fn computing(&self) -> Result<(), Failure> {
        let peak = Peak::start();
        let of = |double, single| {
            let config = FluxConfig {
                num_layers: double,
                num_single_layers: single,
                ..self.config.clone()
            };
            self.step(&FluxTransformer::new(&config, &self.weights()?), 5)
        };
        let [double, single] = [self.config.num_layers, self.config.num_single_layers];
        let [few_double, few_single] = [double.min(2), single.min(4)];
        let around = of(0, 0)?;
        let mut sum = around;
        for (few, all, step) in [
            (few_double, double, of(few_double, 0)?),
            (few_single, single, of(0, few_single)?),
        ] {
            let times = all as f64 / few.max(1) as f64;
            sum.seconds += times * (step.seconds - around.seconds);
            sum.processor += times * (step.processor - around.processor);
        }
        self.print(0.0, sum, &peak);
        Ok(())
    }

    /// The mean of some evaluations of a model, after one that warms up.
    fn step(&self, model: &FluxTransformer, evaluations: usize) -> Result<Step, Failure> {
        let (config, device) = (model.config(), Device::flex());
        let place = Place {
            device,
            dtype: self.dtype,
        };
        let inputs = FluxInputs::new(config, SIDE, self.text, 1, &place);
        let mut session = session(config)?;
        inputs.run(model, &mut session)?;
        let waited = model.waited();
        let all = Step::timed(|| {
            (0..evaluations).try_for_each(|_| inputs.run(model, &mut session).map(drop))
        })?;
        let of = |all: f64| all / evaluations as f64;
        Ok(Step {
            seconds: of(all.seconds),
            processor: of(all.processor),
            waited: of((model.waited() - waited).as_secs_f64()),
        })
    }

    fn print(&self, loading: f64, step: Step, peak: &Peak) {
        println!(
            "{:9} {loading:10.1} {:8.1} {:10.1} {:13.1} {:9.2}",
            self.rows[0],
            step.seconds,
            step.waited,
            step.processor,
            peak.total().unwrap_or(0) as f64 / 1e9
        );
    }
}

/// What an evaluation takes.
#[derive(Debug, Clone, Copy)]
struct Step {
    seconds: f64,
    processor: f64,
    /// Seconds in which blocks were waited for.
    waited: f64,
}

impl Step {
    fn timed<T>(mut work: impl FnMut() -> Result<T, Failure>) -> Result<Self, Failure> {
        let (start, mut outcome) = (Instant::now(), None);
        let processor = processor_time(1, || outcome = Some(work()));
        outcome.ok_or("nothing was measured")??;
        Ok(Self {
            seconds: start.elapsed().as_secs_f64(),
            processor: processor.unwrap_or(0.0) / 1e3,
            waited: 0.0,
        })
    }
}

fn session(config: &FluxConfig) -> Result<Session, Failure> {
    let plan = AttentionPlan::builder(&attention_sites(config))
        .layer(SiteSelector::joint(), JointConditionLayer::new())
        .build()?;
    let concept = Concept::new("a concept", [vec![0..1]]);
    Ok(Session::new(&plan, BatchLayout::unguided(1), [concept])?)
}

/// Writes weights of the model's names and shapes, in the order a step reads them.
fn write(path: &Path, config: &FluxConfig) -> Result<(), Failure> {
    let names = Weights::names(&Device::flex());
    drop(FluxTransformer::new(config, &names));
    write_repeating(path, &names.finish()?)
}
