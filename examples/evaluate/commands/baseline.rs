//! Zero-shot against fine-tuned: a LoRA trained here for each subject, on the same prompts and seeds.

use std::{collections::BTreeMap, error::Error, path::Path};

use conceptrol_core::{models::image::open, pipeline::PipelineError};
use conceptrol_sd::StableDiffusion;

use crate::{
    arguments,
    baseline::{
        self, Losses, TrainedLora, TrainingError, TrainingRequest, load_with_lora, train,
        with_rare_word,
    },
    commands::pictures::{Gate, Tuned, Units, Variant, compare},
    data::{Prompt, Subject},
    lab::{Lab, options},
    rows::{Baseline as Row, Journal, Setup},
    watch::Progress,
};

/// Trains a LoRA for each subject, and compares.
#[derive(Debug)]
pub(crate) struct Baseline(pub(crate) arguments::Baseline);

impl Baseline {
    pub(crate) fn run(&self, lab: &Lab<'_, StableDiffusion>) -> Result<(), Box<dyn Error>> {
        let (units, subjects) = self.units(lab)?;
        let setup = lab.setup("baseline")?;
        let setup = self.options(lab, setup).option("subjects", units.len());
        let methods = [
            ("text only", Gate::Closed),
            ("vanilla", Gate::Open),
            ("concept block", Gate::Block(None)),
            ("DreamBooth LoRA", Gate::Tuned(Vec::new())),
        ];
        let variants = methods.map(|(method, gate)| Variant {
            method: method.to_owned(),
            settings: lab.settings(),
            gate,
        });
        let training = self.options(lab, lab.setup("training")?);
        let steps = self.request(lab, Vec::new(), "", "", Path::new("")).steps;
        let rows = |_| steps;
        let mut curve = Journal::open::<Row>(&lab.common.out, &training, lab.shard, rows)?;
        let mut tune = |unit: usize, subject: &Subject, progress: &mut Progress| {
            let trained = self.train(lab, subject, progress)?;
            if curve.remaining(unit + 1).next() == Some(unit) {
                curve.append(&of_curve(unit, subject, &trained.losses))?;
            }
            let folder = lab.common.model.as_deref().ok_or("no --model")?;
            let pipeline = load_with_lora(folder, options(lab.common, folder)?, &trained.path)?;
            Ok(Some(Tuned {
                pipeline,
                token: self.0.token.clone(),
            }))
        };
        compare(lab, &setup, &variants, (units, subjects), &mut tune)
    }

    /// The prompts of the first subjects; a unit of work is a subject.
    pub(super) fn units(&self, lab: &Lab<'_, StableDiffusion>) -> Result<Units, Box<dyn Error>> {
        let (prompts, subjects) = lab.prompts(usize::MAX, usize::MAX)?;
        let mut units: Vec<Vec<Prompt>> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for prompt in prompts {
            let next = units.len();
            let unit = *known.entry(prompt.subject.clone()).or_insert(next);
            if unit == next {
                units.push(Vec::new());
            }
            units[unit].push(prompt);
        }
        let usual = if lab.common.quick { 1 } else { 4 };
        units.truncate(self.0.subjects.unwrap_or(usual));
        Ok((units, subjects))
    }

    fn request(
        &self,
        lab: &Lab<'_, StableDiffusion>,
        pictures: Vec<image::RgbImage>,
        instance: &str,
        class: &str,
        folder: &Path,
    ) -> TrainingRequest {
        let mut request = TrainingRequest::new(pictures, instance, class, folder);
        if lab.common.quick {
            request.steps = 60;
            request.class_pictures = 8;
        }
        request.steps = self.0.training_steps.unwrap_or(request.steps);
        request.rank = self.0.rank.unwrap_or(request.rank);
        request.learning_rate = self.0.learning_rate.unwrap_or(request.learning_rate);
        request.cancel = lab.interrupt.cancel();
        request
    }

    /// What the training depends on.
    pub(super) fn options(&self, lab: &Lab<'_, StableDiffusion>, setup: Setup) -> Setup {
        let request = self.request(lab, Vec::new(), "", "", Path::new(""));
        setup
            .option("training steps", request.steps)
            .option("rare word", &self.0.token)
            .option("rank", request.rank)
            .option("learning rate", request.learning_rate)
            .option("class pictures", request.class_pictures)
    }

    /// Trains, or finds that it is done; a run that was killed goes on.
    pub(super) fn train(
        &self,
        lab: &Lab<'_, StableDiffusion>,
        subject: &Subject,
        progress: &mut Progress,
    ) -> Result<TrainedLora, Box<dyn Error>> {
        let pictures = subject
            .images
            .iter()
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        let class = &subject.phrase;
        let article = if class.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        let folder = lab.common.out.join("training").join(&subject.id);
        let class = format!("{article} {class}");
        let instance = with_rare_word(&class, &subject.phrase, &self.0.token);
        let instance = instance.ok_or_else(|| format!("`{class}` has no words"))?;
        let request = self.request(lab, pictures, &instance, &class, &folder);
        progress.begin(format!("{}: class pictures", subject.id));
        let trained = train(&lab.pipeline, &request, &mut |at| match at {
            baseline::Progress::Class { done, total } => {
                progress.begin(format!("{}: class picture {done}/{total}", subject.id));
            }
            baseline::Progress::Step {
                done,
                total,
                losses,
            } => {
                let loss = losses.instance;
                progress.begin(format!(
                    "{}: step {done}/{total}, loss {loss:.3}",
                    subject.id
                ));
            }
        });
        trained.map_err(|error| match error {
            TrainingError::Cancelled { step: done } => {
                let stage = conceptrol_core::pipeline::Stage::Denoising {
                    done,
                    total: request.steps,
                };
                PipelineError::Cancelled { stage }.into()
            }
            error => error.into(),
        })
    }
}

fn of_curve(unit: usize, subject: &Subject, losses: &[Losses]) -> Vec<Row> {
    let rows = losses.iter().enumerate().map(|(step, losses)| Row {
        unit,
        subject: subject.id.clone(),
        step: step + 1,
        loss: losses.instance.into(),
        prior_loss: losses.prior.map(f64::from),
    });
    rows.collect()
}
