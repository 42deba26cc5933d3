//! A progress bar that Ctrl-C stops.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Set by Ctrl-C.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C; the second one ends the process at once.
    pub fn listen() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&flag);
        // without a handler Ctrl-C ends the process, which leaves no half-written file either
        let _ = ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        Self(flag)
    }

    /// Whether to go on.
    pub fn check(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// The steps of one generation.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    started: Instant,
    /// When the first and the last step so far were finished.
    span: Option<(Instant, Instant)>,
    done: u32,
}

impl Steps {
    /// A bar of `total` steps, labelled.
    pub fn new(label: &str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        let style = ProgressStyle::with_template(
            "{msg:<12} {bar:30} {pos:>3}/{len} {elapsed_precise} eta {eta_precise}",
        );
        bar.set_style(style.expect("the template is valid"));
        bar.set_message(label.to_owned());
        Self {
            bar,
            started: Instant::now(),
            span: None,
            done: 0,
        }
    }

    /// A step was finished.
    pub fn advance(&mut self) {
        self.done += 1;
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
        self.bar.inc(1);
    }

    /// Ends the bar; the mean time of the steps after the first, which also loads the model.
    pub fn finish(self) -> Duration {
        self.bar.finish();
        match self.span {
            Some((first, last)) if self.done > 1 => (last - first) / (self.done - 1),
            _ => self.started.elapsed() / self.done.max(1),
        }
    }
}
