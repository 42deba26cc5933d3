//! The thread that owns the model: it opens what a job asks for, and carries out one job after the other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use axum::http::StatusCode;
use conceptrol_core::{
    message::{chain, shown},
    pipeline::PipelineError,
};
use conceptrol_examples::say_err;

use super::{
    catalogue::Adapter,
    painter::{Pace, Painter, open},
    progress::{Made, Progress},
    queue::Job,
    refusal::{Places, Refusal},
    settings::Method,
    state::Shared,
};

/// Starts the thread. It ends when the queue is closed.
pub(crate) fn start(shared: Arc<Shared>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut worker = Worker {
            shared: Arc::clone(&shared),
            open: None,
        };
        while let Some(job) = shared.queue.next() {
            if job.cancel.is_cancelled() {
                job.tell(Progress::Cancelled);
                continue;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| worker.carry_out(&job)));
            job.tell(match outcome {
                _ if job.cancel.is_cancelled() => Progress::Cancelled,
                Ok(Ok(pictures)) => Progress::Done { pictures },
                Ok(Err(refusal)) => Progress::Failed(refusal),
                Err(_) => {
                    // whatever it left behind is not used again
                    worker.open = None;
                    let message = "The generation failed in a way it should not; the terminal of the server says more.";
                    Progress::Failed(Refusal::whole(StatusCode::INTERNAL_SERVER_ERROR, message))
                }
            });
        }
    })
}

struct Worker {
    shared: Arc<Shared>,
    open: Option<(Choice, Box<dyn Painter>)>,
}

/// What is open.
type Choice = (String, Option<String>);

impl Worker {
    fn carry_out(&mut self, job: &Job) -> Result<Vec<Made>, Refusal> {
        let settings = &job.order.settings;
        let known = |method: &Method| self.shared.results.get(&settings.id(*method));
        let found: Vec<_> = job.order.methods.iter().map(known).collect();
        let wanted: Vec<Method> = (job.order.methods.iter().zip(&found))
            .filter(|(_, found)| found.is_none())
            .map(|(method, _)| *method)
            .collect();
        let mut pace = Pace {
            before: 0,
            total: settings.steps * wanted.len(),
        };
        let shared = Arc::clone(&self.shared);
        let places = &shared.catalogue.places;
        let refusal = |error: PipelineError, field| {
            if !job.cancel.is_cancelled() {
                say_err!("refused: {}", chain(&error));
            }
            Refusal::of_pipeline(&error, field, places)
        };
        if !wanted.is_empty() {
            let painter = self.painter(job)?;
            for method in &wanted {
                painter
                    .check(job, *method)
                    .map_err(|error| refusal(error, Some("adapter")))?;
            }
        }
        let mut pictures = Vec::new();
        for (method, found) in job.order.methods.iter().zip(found) {
            if let Some(found) = found {
                pictures.push(found.made(true));
                continue;
            }
            job.tell(Progress::Encoding);
            let painted = self.painter(job)?.paint(job, *method, &mut pace);
            let painted = painted.map_err(|error| refusal(error, None))?;
            pictures.push(painted.made(false));
            let (id, bytes) = (settings.id(*method), painted.bytes());
            shared.results.put(&id, bytes, painted);
        }
        Ok(pictures)
    }

    /// The model that a job asks for. Another one that is open is closed first.
    fn painter(&mut self, job: &Job) -> Result<&mut dyn Painter, Refusal> {
        let settings = &job.order.settings;
        let shared = Arc::clone(&self.shared);
        let adapter = shared
            .catalogue
            .adapter(&settings.model, settings.adapter.as_deref())?;
        let choice = (
            settings.model.clone(),
            adapter.map(|adapter| adapter.label.clone()),
        );
        if self.open.as_ref().is_none_or(|(open, _)| *open != choice) {
            self.open = None;
            job.tell(Progress::Opening);
            let painter = self.shared.open(&settings.model, adapter)?;
            self.open = Some((choice, painter));
        }
        let (_, painter) = self.open.as_mut().expect("it was opened");
        Ok(&mut **painter)
    }
}

impl Shared {
    fn open(&self, model: &str, adapter: Option<&Adapter>) -> Result<Box<dyn Painter>, Refusal> {
        let (path, places) = self.locate(model)?;
        open(&path, adapter, &self.machine).map_err(|error| {
            let message = chain(&*error);
            say_err!("cannot open {}: {message}", shown(model));
            let of_adapter = |adapter: &Adapter| message.contains(&*adapter.path.to_string_lossy());
            let field = match adapter.is_some_and(of_adapter) {
                true => "adapter",
                false => "model",
            };
            match error.downcast_ref::<PipelineError>() {
                Some(error) => Refusal::of_pipeline(error, Some(field), &places),
                None => Refusal::of(field, places.hidden(&message)),
            }
        })
    }

    /// Where a model is: in the catalogue, or on the hub if that is allowed.
    fn locate(&self, model: &str) -> Result<(PathBuf, Places), Refusal> {
        let mut places = self.catalogue.places.clone();
        if let Some(known) = self.catalogue.model(model) {
            return Ok((known.path.clone(), places));
        }
        let missing = || Refusal::of("model", format!("There is no model `{}`.", shown(model)));
        if !self.catalogue.hub {
            return Err(missing());
        }
        let path = from_hub(model).ok_or_else(missing)?.map_err(|error| {
            say_err!("cannot fetch {}: {}", shown(model), chain(&*error));
            Refusal::of("model", places.hidden(&chain(&*error)))
        })?;
        places.name(&path, model);
        Ok((path, places))
    }
}

type Fetched = Result<PathBuf, Box<dyn std::error::Error>>;

/// The folder of a model of the hub, if that is what the text names.
#[cfg(feature = "hub")]
fn from_hub(model: &str) -> Option<Fetched> {
    let id = model.parse().ok()?;
    Some(conceptrol_examples::hub::fetch(&id, None))
}

#[cfg(not(feature = "hub"))]
fn from_hub(_: &str) -> Option<Fetched> {
    None
}
