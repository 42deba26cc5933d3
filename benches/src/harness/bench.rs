use std::time::Instant;

use burn::tensor::{DType, Device, FloatDType};

use super::{Common, Environment, Measured, Record, Row, Times, Way};
use crate::{
    Counting, Failure, Peak, Place, consumed,
    device::{Backend, Opened},
};

/// A benchmark that runs: where, how often, and where its rows go.
#[derive(Debug)]
pub struct Bench {
    benchmark: &'static str,
    backend: Backend,
    device: Device,
    dtype: FloatDType,
    rounds: Option<u16>,
    environment: Environment,
    record: Option<Record>,
    memory: Memory,
}

/// How the memory of this machine is measured.
#[derive(Debug, Clone, Copy)]
pub enum Memory {
    /// The peak of resident memory.
    Resident,
    /// What the benchmark's allocator counts, above what was there before. Says something on the CPU only.
    Allocated(&'static Counting),
}

impl Bench {
    pub(super) fn new(
        benchmark: &'static str,
        opened: &Opened,
        common: &Common,
        dtype: FloatDType,
        record: Option<Record>,
    ) -> Self {
        Self {
            benchmark,
            backend: common.backend.clone(),
            device: opened.device().clone(),
            dtype,
            rounds: common.rounds,
            environment: Environment::new(opened, common.dtype, common.small),
            record,
            memory: Memory::Resident,
        }
    }

    /// Measures memory of this machine in another way.
    pub fn set_memory(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// The device.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The type to compute in.
    pub const fn dtype(&self) -> FloatDType {
        self.dtype
    }

    /// Bytes of so many numbers in that type.
    pub fn bytes_of(&self, numbers: u64) -> u64 {
        numbers * DType::from(self.dtype).size() as u64
    }

    /// Device and type: where inputs go.
    pub fn place(&self) -> Place {
        Place {
            device: self.device.clone(),
            dtype: self.dtype,
        }
    }

    /// Rounds after the first: those of the command line, or `usual`.
    pub fn rounds(&self, usual: usize) -> usize {
        self.rounds.map_or(usual, usize::from)
    }

    /// Prints what this runs on. Not where a peer reads the answers.
    pub fn heading(&self) {
        let at = &self.environment;
        let driver = at
            .driver
            .as_ref()
            .map(|driver| format!(", driver {driver}"));
        println!(
            "{}: {} on {} ({}{}), commit {}",
            self.benchmark,
            at.dtype,
            at.backend,
            at.device,
            driver.unwrap_or_default(),
            at.commit.as_deref().unwrap_or("unknown")
        );
    }

    /// Runs every way once unmeasured, and `usual` rounds in turns, or as many as the command line says. Clocks start and stop when
    /// the device has nothing left to do.
    ///
    /// # Errors
    ///
    /// If a way fails, or the device.
    pub fn measure(&self, usual: usize, ways: &mut [Way<'_>]) -> Result<Vec<Measured>, Failure> {
        let mut all: Vec<Measured> = ways
            .iter()
            .map(|way| Measured {
                name: way.name.clone(),
                flops: way.flops,
                ..Measured::default()
            })
            .collect();
        for round in 0..=self.rounds(usual) {
            for (way, measured) in ways.iter_mut().zip(&mut all) {
                let once = self.once(way)?;
                if round > 0 {
                    measured.seconds.push(once.seconds);
                    measured.processor.extend(once.processor);
                }
                measured.host_peak = measured.host_peak.max(once.host_peak);
                measured.device_peak = measured.device_peak.max(once.device_peak);
                measured.traffic = once.traffic;
            }
        }
        Ok(all)
    }

    /// Measures ways, prints their table with each over the way number `base`, and keeps a row of each, its case `title` and the
    /// way's name.
    ///
    /// # Errors
    ///
    /// If a way fails, the device, or the file.
    pub fn compare(
        &mut self,
        title: &str,
        usual: usize,
        base: usize,
        ways: &mut [Way<'_>],
    ) -> Result<Vec<Measured>, Failure> {
        let all = self.measure(usual, ways)?;
        println!("\n{title}");
        println!("{}", Self::HEADER);
        for measured in &all {
            println!("{}", line(measured, all.get(base)));
        }
        for measured in &all {
            let mut row = self.row_of(title, measured);
            if all.len() > 1
                && let Some(ratio) = all.get(base).and_then(|base| measured.over(base))
            {
                row.numbers
                    .insert(format!("over {}", all[base].name), ratio.median);
            }
            self.put(row)?;
        }
        Ok(all)
    }

    /// Measures one thing, prints its line without a heading, and keeps its row.
    ///
    /// # Errors
    ///
    /// If it fails, the device, or the file.
    pub fn single(&mut self, usual: usize, way: Way<'_>) -> Result<Measured, Failure> {
        let mut all = self.measure(usual, &mut [way])?;
        let measured = all.remove(0);
        println!("{}", line(&measured, None));
        let row = self.row_of("", &measured);
        self.put(row)?;
        Ok(measured)
    }

    /// What is above the lines of [`single`](Self::single) and [`compare`](Self::compare).
    pub const HEADER: &str = "                                                    best ms  median ms  spread     cpu ms   GFLOP/s   host MB  device MB   to the base, range";

    /// A row of this benchmark on this device, without results.
    pub fn row(&self, case: impl Into<String>) -> Row {
        Row::new(self.benchmark, case, self.environment.clone())
    }

    /// Keeps a row, if the command line names a file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn put(&mut self, row: Row) -> Result<(), Failure> {
        self.record
            .as_mut()
            .map_or(Ok(()), |record| record.put(row))
    }

    fn row_of(&self, title: &str, measured: &Measured) -> Row {
        let case = match title {
            "" => measured.name.clone(),
            title => format!("{title}: {}", measured.name),
        };
        let traffic = measured.traffic.iter();
        Row {
            numbers: traffic
                .map(|(name, count)| ((*name).to_owned(), *count as f64))
                .collect(),
            seconds: measured.times(),
            processor_seconds: Times::of(&measured.processor),
            flops: (measured.flops > 0.0).then_some(measured.flops),
            host_peak: measured.host_peak,
            device_peak: measured.device_peak,
            ..self.row(case)
        }
    }

    fn once(&self, way: &mut Way<'_>) -> Result<Once, Failure> {
        self.finish()?;
        let traffic = self.backend.traffic();
        let mut run = || -> Result<(f64, Option<f64>), Failure> {
            let (before, start) = (consumed(), Instant::now());
            let result = way.run()?;
            self.finish()?;
            let seconds = start.elapsed().as_secs_f64();
            let processor = consumed()
                .zip(before)
                .map(|(after, before)| (after - before) as f64 / 1e9);
            drop(result);
            Ok((seconds, processor))
        };
        let (host_peak, measured) = match self.memory {
            Memory::Resident => {
                let peak = Peak::start();
                let measured = run();
                (peak.total(), measured)
            }
            Memory::Allocated(counting) => {
                let (peak, measured) = counting.peak_of(run);
                (Some(peak as u64), measured)
            }
        };
        let (seconds, processor) = measured?;
        let usage = self.device.memory_pool_usage();
        let traffic = self.backend.traffic().into_iter().zip(traffic);
        Ok(Once {
            traffic: traffic
                .map(|((name, after), (_, before))| (name, after - before))
                .collect(),
            seconds,
            processor,
            host_peak,
            device_peak: usage.map(|usage| usage.bytes_reserved),
        })
    }

    /// Waits until the device has nothing left to do.
    fn finish(&self) -> Result<(), Failure> {
        let synced = self.device.sync();
        synced.map_err(|error| format!("the device failed: {error}").into())
    }
}

struct Once {
    traffic: Vec<(&'static str, u64)>,
    seconds: f64,
    processor: Option<f64>,
    host_peak: Option<u64>,
    device_peak: Option<u64>,
}

fn line(measured: &Measured, base: Option<&Measured>) -> String {
    let number = |value: Option<f64>, digits: usize| match value {
        // very small operations take microseconds
        Some(value) if value < 1.0 && digits > 0 => format!("{value:.4}"),
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let milliseconds = |times: Option<f64>| times.map(|seconds| 1e3 * seconds);
    let megabytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1e6);
    let times = measured.times();
    let flops = times.filter(|_| measured.flops > 0.0);
    let ratio = base.and_then(|base| measured.over(base));
    let of_processor = base.and_then(|base| measured.processor_over(base));
    let of_processor = of_processor.map(|ratio| format!("; cpu {:.3}", ratio.median));
    let ratio = ratio.map(|ratio| {
        format!(
            "{:.3}, {:.3} to {:.3}{}",
            ratio.median,
            ratio.best,
            ratio.worst,
            of_processor.unwrap_or_default()
        )
    });
    let traffic: Vec<String> = measured
        .traffic
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let line = format!(
        "{:<48} {:>10} {:>10} {:>6}% {:>10} {:>9} {:>9} {:>10}   {}",
        measured.name,
        number(milliseconds(times.map(|times| times.best)), 2),
        number(milliseconds(times.map(|times| times.median)), 2),
        number(times.map(|times| 100.0 * times.spread()), 0),
        number(
            milliseconds(Times::of(&measured.processor).map(|times| times.median)),
            2
        ),
        number(flops.map(|times| measured.flops / times.best / 1e9), 0),
        number(megabytes(measured.host_peak), 1),
        number(megabytes(measured.device_peak), 1),
        ratio.unwrap_or_default()
    );
    match traffic.is_empty() {
        true => line,
        false => format!("{line}\n    {}", traffic.join(", ")),
    }
}
