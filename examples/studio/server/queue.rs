//! Jobs in the order they came. One thread takes them; a job whose page has gone is taken out.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;
use conceptrol_core::Cancel;
use tokio::sync::watch;

use super::{progress::Progress, refusal::Refusal, settings::Order, upload::Picture};

/// Jobs that may wait.
pub(crate) const MOST_WAITING: usize = 16;

/// Pictures to be made for a page.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) order: Order,
    pub(crate) reference: Option<Arc<Picture>>,
    pub(crate) cancel: Cancel,
    progress: watch::Sender<Progress>,
}

impl Job {
    pub(crate) fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }
}

/// The jobs that wait, and whether one runs.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    line: Mutex<Line>,
    longer: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Arc<Job>>,
    running: bool,
    closed: bool,
}

impl Queue {
    /// Puts a job at the end. It is cancelled when the ticket goes.
    ///
    /// # Errors
    ///
    /// If too many wait.
    pub(crate) fn push(
        self: &Arc<Self>,
        order: Order,
        reference: Option<Arc<Picture>>,
    ) -> Result<Ticket, Refusal> {
        let mut line = self.line();
        if line.waiting.len() >= MOST_WAITING {
            let message = "Too many pictures are waiting. Try again in a moment.";
            return Err(Refusal::whole(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        let job = Arc::new(Job {
            order,
            reference,
            cancel: Cancel::new(),
            progress: watch::Sender::new(Progress::Queued { before: 0 }),
        });
        line.waiting.push_back(Arc::clone(&job));
        line.tell_positions();
        self.longer.notify_one();
        Ok(Ticket {
            queue: Arc::clone(self),
            job,
        })
    }

    /// Waits for the next job; none when the queue is closed. The one before is finished then.
    pub(crate) fn next(&self) -> Option<Arc<Job>> {
        let mut line = self.line();
        line.running = false;
        loop {
            if line.closed {
                return None;
            }
            if let Some(job) = line.waiting.pop_front() {
                line.running = true;
                line.tell_positions();
                return Some(job);
            }
            line = self
                .longer
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets nobody wait any more.
    pub(crate) fn close(&self) {
        let mut line = self.line();
        line.closed = true;
        line.waiting.iter().for_each(|job| job.cancel.cancel());
        line.waiting.clear();
        self.longer.notify_all();
    }

    fn remove(&self, job: &Arc<Job>) {
        let mut line = self.line();
        line.waiting.retain(|waiting| !Arc::ptr_eq(waiting, job));
        line.tell_positions();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn tell_positions(&self) {
        let first = usize::from(self.running);
        for (before, job) in (first..).zip(&self.waiting) {
            job.tell(Progress::Queued { before });
        }
    }
}

/// A page's hold on its job. Without it nobody wants the pictures: the job leaves the queue, or is cancelled.
#[derive(Debug)]
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    job: Arc<Job>,
}

impl Ticket {
    /// What becomes of the job. Who looks seldom sees the newest only.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.job.progress.subscribe()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.job.cancel.cancel();
        self.queue.remove(&self.job);
    }
}
