//! A progress bar, and Ctrl-C.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use conceptrol_core::{Cancel, pipeline::Stage};
use indicatif::{ProgressBar, ProgressStyle};

use crate::folder::remove_unfinished;

/// How long a run may take to stop by itself; then it is ended.
const GRACE: Duration = Duration::from_millis(600);

/// Ctrl-C, SIGTERM and SIGHUP: the run stops by itself, or is ended after a moment, and leaves no half-written file.
#[derive(Debug, Clone)]
pub struct Interrupt(Cancel);

impl Interrupt {
    /// Listens; `out` is the folder that the run writes into.
    pub fn listen(out: &Path) -> Self {
        let cancel = Cancel::new();
        let (switch, out) = (cancel.clone(), PathBuf::from(out));
        // without a handler a signal ends the process, which leaves no more than an unfinished file
        let _ = ctrlc::set_handler(move || {
            if !switch.is_cancelled() {
                switch.cancel();
                thread::sleep(GRACE); // what loads or waits does not look at the switch
            }
            remove_unfinished(&out, |process| process == std::process::id());
            std::process::exit(130);
        });
        Self(cancel)
    }

    /// What stops the run, for its request.
    pub fn cancel(&self) -> Cancel {
        self.0.clone()
    }
}

/// The steps of one generation.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    label: String,
    started: Instant,
    /// When each step was finished.
    finished: Vec<Instant>,
}

impl Steps {
    /// A bar with a label, without a length until the first stage of steps.
    pub fn new(label: &str) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{msg:<12} {bar:30} {pos:>3}/{len} {elapsed_precise} eta {eta_precise}",
        );
        bar.set_style(style.expect("the template is valid"));
        bar.set_message(label.to_owned());
        Self {
            bar,
            label: label.to_owned(),
            started: Instant::now(),
            finished: Vec::new(),
        }
    }

    /// A stage began.
    pub fn stage(&mut self, stage: Stage) {
        match stage {
            Stage::Denoising { total, .. } => {
                self.bar.set_length(total as u64);
                self.bar.set_message(self.label.clone());
            }
            Stage::Loading => self.bar.set_message(format!("{}: loading", self.label)),
            Stage::Decoding { .. } => self.bar.set_message(format!("{}: decoding", self.label)),
            _ => {}
        }
    }

    /// A step was finished.
    pub fn advance(&mut self) {
        self.finished.push(Instant::now());
        self.bar.inc(1);
    }

    /// Ends the bar; the time of the steps after the first, which may also wait for what is made once.
    pub fn finish(self) -> Pace {
        self.bar.set_message(self.label);
        self.bar.finish();
        let between = self.finished.windows(2).map(|pair| pair[1] - pair[0]);
        let mut seconds: Vec<f64> = between.map(|time| time.as_secs_f64()).collect();
        if seconds.is_empty() {
            seconds.push(self.started.elapsed().as_secs_f64());
        }
        seconds.into_iter().collect()
    }
}

/// Times of the steps of a generation, in seconds, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    seconds: Vec<f64>,
    /// How far the medians of the first and the second half of the generation lie apart.
    drift: f64,
}

impl Pace {
    /// The time of the step in the middle.
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// How much slower this is than `other`, as a fraction of it; `None` where that is not above the noise: where the middle
    /// halves of both times overlap, or either changed more than that while it ran.
    ///
    /// ```
    /// use conceptrol_examples::progress::Pace;
    ///
    /// let steady = Pace::from_iter([1.0, 1.02, 1.01, 1.03]);
    /// let slower = Pace::from_iter([1.2, 1.22, 1.21, 1.23]);
    /// assert!(slower.over(&steady).is_some_and(|overhead| (overhead - 0.196).abs() < 0.02));
    /// let restless = Pace::from_iter([0.9, 1.0, 1.1, 1.3]);
    /// assert_eq!(restless.over(&steady), None);
    /// assert_eq!(steady.over(&slower), None, "what does more is not faster");
    /// ```
    pub fn over(&self, other: &Self) -> Option<f64> {
        let difference = self.median() - other.median();
        let apart = self.at(0.25) > other.at(0.75) && difference > self.drift.max(other.drift);
        apart.then(|| difference / other.median())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a short list"
    )]
    fn at(&self, fraction: f64) -> f64 {
        self.seconds[((self.seconds.len() - 1) as f64 * fraction).round() as usize]
    }
}

impl FromIterator<f64> for Pace {
    /// # Panics
    ///
    /// Panics if there is no time at all.
    fn from_iter<I: IntoIterator<Item = f64>>(times: I) -> Self {
        let mut seconds: Vec<f64> = times.into_iter().collect();
        assert!(!seconds.is_empty(), "a pace needs a step");
        let median = |half: &[f64]| {
            let mut half = half.to_vec();
            half.sort_by(f64::total_cmp);
            half.get(half.len() / 2).copied()
        };
        let (first, second) = seconds.split_at(seconds.len() / 2);
        let halves = median(first).zip(median(second));
        let drift = halves.map_or(0.0, |(first, second)| (first - second).abs());
        seconds.sort_by(f64::total_cmp);
        Self { seconds, drift }
    }
}
