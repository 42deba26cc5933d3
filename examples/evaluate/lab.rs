//! What every experiment works with: the model, the data, who measures, and where rows go.

use std::{collections::BTreeMap, error::Error, path::Path};

use burn::tensor::Device;
use conceptrol_core::{
    SiteSelector, StepWindow,
    pipeline::{Fidelity, LoadOptions, Pipeline, Request},
};
use conceptrol_examples::{folder::prepare, model::is_flux, progress::Interrupt, say_err};
use conceptrol_flux::{Flux, pipeline::FluxOptions};
use conceptrol_sd::StableDiffusion;

use crate::{
    arguments::Common,
    data::{Data, Prompt, Subject},
    measure::{Encoder, Oracle, Scorer, Segmenter},
    rows::{Journal, Row, Settings, Setup, Shard},
    watch::Progress,
};

/// A model and what it is measured with.
pub(crate) struct Lab<'a, P: Pipeline> {
    pub(crate) common: &'a Common,
    pub(crate) pipeline: P,
    pub(crate) data: Data,
    pub(crate) oracle: Oracle,
    pub(crate) shard: Shard,
    pub(crate) interrupt: Interrupt,
    /// Fraction of the steps before references act.
    warmup: f64,
}

/// Prompts, and the subjects that they name.
pub(crate) type Chosen = (Vec<Prompt>, BTreeMap<String, Subject>);

/// An experiment, whatever the family of the model.
pub(crate) trait Experiment {
    fn run<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<(), Box<dyn Error>>;
}

/// Opens the model and runs an experiment with it.
pub(crate) fn run(common: &Common, experiment: &impl Experiment) -> Result<(), Box<dyn Error>> {
    let folder = common.model.as_deref().ok_or("no --model")?;
    if is_flux(folder)? {
        let pipeline = Flux::open(folder, options::<FluxOptions>(common, folder)?)?;
        experiment.run(&Lab::new(common, pipeline, 0.0)?)
    } else {
        let pipeline = StableDiffusion::open(folder, options(common, folder)?)?;
        experiment.run(&Lab::new(common, pipeline, 0.2)?)
    }
}

/// Opens a model that must be Stable Diffusion.
pub(crate) fn stable_diffusion(
    common: &Common,
) -> Result<Lab<'_, StableDiffusion>, Box<dyn Error>> {
    let folder = common.model.as_deref().ok_or("no --model")?;
    if is_flux(folder)? {
        return Err("the baseline is trained on Stable Diffusion 1.x only".into());
    }
    let pipeline = StableDiffusion::open(folder, options(common, folder)?)?;
    Lab::new(common, pipeline, 0.2)
}

pub(crate) fn options<X: Default>(
    common: &Common,
    folder: &Path,
) -> Result<LoadOptions<X>, Box<dyn Error>> {
    let options = LoadOptions::new(common.backend.device()?).dtype(common.dtype.into());
    let encoder = folder.join("image_encoder");
    let encoder = common
        .image_encoder
        .clone()
        .or_else(|| encoder.is_dir().then_some(encoder));
    Ok(match (&common.adapter, encoder) {
        (Some(adapter), Some(encoder)) => options.adapter((adapter, encoder)),
        (Some(adapter), None) => options.adapter(adapter.as_path()),
        (None, _) => options,
    })
}

impl<'a, P: Pipeline> Lab<'a, P> {
    /// `warmup` is the family's, for a command line that has none.
    fn new(common: &'a Common, pipeline: P, warmup: f64) -> Result<Self, Box<dyn Error>> {
        let shard = match common.shard {
            Some(shard) => shard,
            None => Shard::from_environment()?,
        };
        if shard != Shard::WHOLE {
            say_err!("shard {shard}");
        }
        for left in prepare(&common.out)? {
            let left = left.display();
            say_err!("removed {left}, which an earlier run had not finished");
        }
        let oracle = match &common.segmenter {
            Some(folder) => Oracle::Segmenter(Box::new(Segmenter::open(folder, &Device::flex())?)),
            None => Oracle::OwnMaps,
        };
        Ok(Self {
            common,
            pipeline,
            data: Data::new(common.data.as_deref().ok_or("no --data")?),
            oracle,
            shard,
            interrupt: Interrupt::listen(&common.out),
            warmup: common.warmup.unwrap_or(warmup),
        })
    }

    /// What the rows of every command depend on.
    pub(crate) fn setup(&self, command: &str) -> Result<Setup, Box<dyn Error>> {
        let common = self.common;
        let files = [
            ("model", common.model.as_deref()),
            ("segmenter", common.segmenter.as_deref()),
        ];
        let setup = with_files(Setup::new(command), files)?;
        let data = self.data.parts();
        let data = data
            .iter()
            .map(|(name, path)| (*name, Some(path.as_path())));
        let settings = self.settings();
        Ok(with_files(setup, data)?
            .option("backend", common.backend.feature())
            .option("dtype", format!("{:?}", common.dtype).to_lowercase())
            .option("steps", settings.steps)
            .option("guidance", settings.guidance)
            .option("first seed", common.seed))
    }

    /// What rows depend on beside that where references act and likeness is measured.
    pub(crate) fn with_references(&self, setup: Setup) -> Result<Setup, Box<dyn Error>> {
        let common = self.common;
        let files = [
            ("adapter", common.adapter.as_deref()),
            ("image encoder", common.image_encoder.as_deref()),
            ("encoder", common.encoder.as_deref()),
        ];
        let settings = self.settings();
        Ok(with_files(setup, files)?
            .option("scale", settings.scale)
            .option("warmup", settings.warmup)
            .option("seeds", common.seeds()))
    }

    /// Computes the units below `total` that are still to be done, and writes their rows unit by unit; `rows_of` is the number
    /// of rows of each.
    pub(crate) fn each_unit<R: Row>(
        &self,
        setup: &Setup,
        total: usize,
        rows_of: impl Fn(usize) -> usize,
        mut compute: impl FnMut(usize, &mut Progress) -> Result<Vec<R>, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut journal = Journal::open::<R>(&self.common.out, setup, self.shard, rows_of)?;
        let own = (0..total).filter(|unit| self.shard.has(*unit)).count();
        let mut progress = Progress::new(&setup.command, journal.done(), own);
        for unit in journal.remaining(total) {
            let rows = compute(unit, &mut progress)?;
            journal.append(&rows)?;
            progress.advance();
        }
        progress.finish();
        Ok(())
    }

    /// The sites whose maps the model's masks are read from.
    pub(crate) fn concept_sites(&self) -> Result<SiteSelector, Box<dyn Error>> {
        let block = self.pipeline.concept_block(Fidelity::default());
        let block = block.ok_or(
            "the model's concept block is not known: find it with `evaluate blocks`, and put conceptrol.json beside model_index.json",
        )?;
        Ok(block.sites().clone())
    }

    /// The settings of the command line.
    pub(crate) fn settings(&self) -> Settings {
        let defaults = self.pipeline.profile().defaults;
        let quick = if self.common.quick {
            20
        } else {
            defaults.steps
        };
        Settings {
            scale: self.common.scale,
            warmup: self.warmup,
            steps: self.common.steps.unwrap_or(quick.min(defaults.steps)),
            guidance: self.common.guidance.unwrap_or(defaults.guidance),
        }
    }

    /// Prompts with their subjects, as many as are asked for.
    pub(crate) fn prompts(&self, usual: usize, quick: usize) -> Result<Chosen, Box<dyn Error>> {
        let subjects = self.data.subjects()?;
        let mut prompts = self.data.prompts(&subjects)?;
        prompts.truncate(self.common.count_of(prompts.len(), usual, quick));
        Ok((prompts, subjects))
    }

    /// Who measures pictures of these prompts.
    pub(crate) fn scorer(&self, prompts: &[Prompt]) -> Result<Scorer, Box<dyn Error>> {
        let folder = self.common.encoder.as_ref();
        let folder =
            folder.ok_or("likeness is measured by a CLIP: give its folder by --encoder")?;
        Ok(Scorer::new(
            Encoder::open(folder, &Device::flex())?,
            prompts,
        ))
    }
}

fn with_files<'a>(
    setup: Setup,
    files: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
) -> Result<Setup, Box<dyn Error>> {
    let mut given = files
        .into_iter()
        .filter_map(|(role, path)| Some((role, path?)));
    given.try_fold(setup, |setup, (role, path)| {
        let setup = setup.file(role, path);
        setup.map_err(|error| format!("{}: {error}", path.display()).into())
    })
}

/// Applies settings to a request.
pub(crate) fn with_settings<X>(
    request: Request<X>,
    settings: &Settings,
) -> Result<Request<X>, Box<dyn Error>> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "requests have single precision"
    )]
    let scale = settings.scale as f32;
    Ok(request
        .scale(scale)
        .window(StepWindow::after_warmup(settings.warmup)?)
        .steps(settings.steps)
        .guidance_scale(settings.guidance))
}
