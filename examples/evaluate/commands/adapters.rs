//! Does the gate work on other adapters? The IP-Adapter, and a LoRA that was trained for the subject, each everywhere and gated.

use std::error::Error;

use conceptrol_core::pipeline::{LoadOptions, LoraRequest};
use conceptrol_sd::StableDiffusion;

use crate::{
    arguments,
    commands::{
        baseline::Baseline,
        pictures::{Gate, Tuned, Variant, compare},
    },
    data::Subject,
    lab::{Lab, options},
    watch::Progress,
};

/// The same adapters as [`Baseline`]'s, kept apart.
#[derive(Debug)]
pub(crate) struct Adapters(pub(crate) arguments::Baseline);

impl Adapters {
    pub(crate) fn run(&self, lab: &Lab<'_, StableDiffusion>) -> Result<(), Box<dyn Error>> {
        let baseline = Baseline(self.0.clone());
        let (units, subjects) = baseline.units(lab)?;
        let setup = baseline.options(lab, lab.setup("adapters")?);
        let setup = setup.option("subjects", units.len());
        let apart = LoraRequest::new(0);
        let methods = [
            ("text only", Gate::Closed),
            ("IP-Adapter: vanilla", Gate::Open),
            ("IP-Adapter: concept block", Gate::Block(None)),
            ("LoRA: vanilla", Gate::Tuned(vec![apart])),
            ("LoRA: concept block", Gate::Tuned(vec![apart.concept(0)])),
        ];
        let variants = methods.map(|(method, gate)| Variant {
            method: method.to_owned(),
            settings: lab.settings(),
            gate,
        });
        let mut tune = |_: usize, subject: &Subject, progress: &mut Progress| {
            let trained = baseline.train(lab, subject, progress)?;
            let folder = lab.common.model.as_deref().ok_or("no --model")?;
            let options: LoadOptions = options(lab.common, folder)?;
            let pipeline = StableDiffusion::open(folder, options.lora_apart(&trained.path))?;
            Ok(Some(Tuned {
                pipeline,
                token: self.0.token.clone(),
            }))
        };
        compare(lab, &setup, &variants, (units, subjects), &mut tune)
    }
}
