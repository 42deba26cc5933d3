//! Following a generation: steps, the time that is left, and previews.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use conceptrol_core::{
    models::image::encode_png,
    pipeline::{Observer, Pipeline, Request, Silent, Stage, StepReport},
};
use image::{RgbImage, imageops};

use super::{
    painter::Pace,
    progress::{Preview, Progress},
    queue::Job,
    settings::Method,
};

/// Previews may take one part in so many of the time.
const SHARE: u32 = 6;
/// Edge of a preview, in pixels.
const PREVIEW_EDGE: u32 = 256;

/// What follows one generation.
pub(crate) struct Watch<'a, P: Pipeline> {
    pipeline: &'a P,
    request: &'a Request<P::Extra>,
    job: &'a Job,
    method: Method,
    pace: &'a Pace,
    /// Steps of this picture that are finished.
    done: usize,
    /// When the first step was finished, which may also wait for what is made once.
    first: Option<Instant>,
    started: Instant,
    /// What previews took so far.
    previewing: Duration,
    preview: Option<Preview>,
}

impl<'a, P: Pipeline> Watch<'a, P> {
    pub(crate) fn new(
        pipeline: &'a P,
        request: &'a Request<P::Extra>,
        job: &'a Job,
        method: Method,
        pace: &'a Pace,
    ) -> Self {
        Self {
            pipeline,
            request,
            job,
            method,
            pace,
            done: 0,
            first: None,
            started: Instant::now(),
            previewing: Duration::ZERO,
            preview: None,
        }
    }

    fn tell(&self) {
        let (method, total) = (self.method, self.pace.total);
        let done = self.pace.before + self.done;
        self.job.tell(Progress::Denoising {
            method,
            done,
            total,
            left: self.left(total - done),
            preview: self.preview.clone(),
        });
    }

    /// Seconds for so many steps, as those after the first took.
    #[expect(clippy::cast_precision_loss, reason = "numbers of steps")]
    fn left(&self, steps: usize) -> Option<f64> {
        let since = self.first?.elapsed().as_secs_f64();
        (self.done > 1).then(|| since / (self.done - 1) as f64 * steps as f64)
    }

    /// Decodes what the step stands for, as long as previews take no more than their share of the time.
    fn look(&mut self, report: &StepReport<'_>) {
        let last = report.done == report.total;
        if last || self.previewing * SHARE > self.started.elapsed() {
            return;
        }
        let begun = Instant::now();
        let latents = report.denoised.denoised().slice_dim(0, 0..1);
        // a preview that fails is none; what is wrong shows at the end
        let pictures = self.pipeline.pictures(latents, self.request, &mut Silent);
        if let Some(picture) = pictures.ok().and_then(|mut pictures| pictures.pop()) {
            self.preview = png(&picture).map(|picture| Preview {
                step: report.done,
                picture,
            });
        }
        self.previewing += begun.elapsed();
    }
}

impl<P: Pipeline> Observer for Watch<'_, P> {
    fn on_step(&mut self, report: &StepReport<'_>) -> ControlFlow<()> {
        // reading a value waits for the step, so that the page hears the truth on every backend
        let _ = report.latents.clone().slice_dim(0, 0..1).max().into_data();
        if report.finishes_step {
            self.done = report.done;
            self.first.get_or_insert_with(Instant::now);
            self.look(report);
            self.tell();
        }
        ControlFlow::Continue(())
    }

    fn on_stage(&mut self, stage: Stage) {
        match stage {
            Stage::Denoising { .. } => self.tell(),
            Stage::Decoding { .. } => self.job.tell(Progress::Decoding {
                method: self.method,
                done: self.pace.before + self.done,
                total: self.pace.total,
            }),
            Stage::Loading => self.job.tell(Progress::Opening),
            _ => {}
        }
    }
}

/// A picture within the edge of previews, as a `data:` URL.
fn png(picture: &RgbImage) -> Option<Arc<str>> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let bytes = match longest > PREVIEW_EDGE {
        false => encode_png(picture, &[]),
        true => {
            let scaled = |edge: u32| (edge * PREVIEW_EDGE / longest).max(1);
            let filter = imageops::FilterType::Triangle;
            encode_png(
                &imageops::resize(picture, scaled(width), scaled(height), filter),
                &[],
            )
        }
    };
    Some(format!("data:image/png;base64,{}", STANDARD.encode(bytes.ok()?)).into())
}
