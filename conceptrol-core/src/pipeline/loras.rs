//! The low-rank adapters of a pipeline: merged into its weights, or kept apart for requests to use.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    models::lora::{Deltas, Lora, LoraError, LoraFile, LoraSummary, LoraTargets, Part},
    pipeline::{LoadOptions, PipelineError, Profile, Residency, Slot},
    seam::{
        Adaptation, AttentionPlan, AttentionPlanBuilder, ConditionSchedule, LowRank, StepWindow,
    },
};

/// How a request uses a low-rank adapter that is [kept apart](LoadOptions::lora_apart).
///
/// ```
/// use conceptrol_core::{StepWindow, pipeline::LoraRequest};
///
/// // the first adapter, where the first concept acts, after the first fifth of the steps
/// let style = LoraRequest::new(0).strength(0.8).concept(0).window(StepWindow::after_warmup(0.2)?);
/// assert_eq!(style.strength, 0.8);
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LoraRequest {
    /// Which of the adapters that are kept apart, counted from 0.
    pub lora: usize,
    /// Factor on what it adds within the window; it may be negative. At 0 every bit is as without it.
    pub strength: f32,
    /// Factor on what it adds to the denoiser outside of the window.
    pub outside: f32,
    /// When it acts on the denoiser. What it changes of text encoders has no steps, and acts with [`strength`](Self::strength).
    pub window: StepWindow,
    /// Where it acts: a concept of the request, by its index, whose mask multiplies what it adds ([`Adaptation`]). Everywhere if
    /// `None`. Where it is a concept, its layers without a place are left out: text encoders, and those that turn time or
    /// pooled text into a vector for the whole picture.
    pub concept: Option<usize>,
}

impl LoraRequest {
    /// Adapter number `lora` everywhere, with strength 1.
    pub const fn new(lora: usize) -> Self {
        Self {
            lora,
            strength: 1.0,
            outside: 0.0,
            window: StepWindow::ALWAYS,
            concept: None,
        }
    }

    /// Sets the factor on what it adds.
    pub const fn strength(mut self, strength: f32) -> Self {
        self.strength = strength;
        self
    }

    /// Sets when it acts.
    pub const fn window(mut self, window: StepWindow) -> Self {
        self.window = window;
        self
    }

    /// Sets the factor outside of the window.
    pub const fn outside(mut self, outside: f32) -> Self {
        self.outside = outside;
        self
    }

    /// Sets the concept where it acts.
    pub const fn concept(mut self, concept: usize) -> Self {
        self.concept = Some(concept);
        self
    }
}

/// What low-rank adapters do to the models of a pipeline.
#[derive(Debug, Default)]
pub struct Loras {
    merged: BTreeMap<Part, Arc<Deltas>>,
    /// Always there, though not merged.
    fixed: Vec<Apart>,
    apart: Vec<Apart>,
    summaries: Vec<LoraSummary>,
}

/// An adapter that is kept apart.
#[derive(Debug)]
struct Apart {
    path: PathBuf,
    lora: Lora,
    /// Its additions to modules of the denoiser.
    modules: Slot<HashMap<String, Vec<LowRank>>>,
}

impl Loras {
    /// Reads headers and strengths of the files of `options`. `targets` is asked only if there are any. Where the denoiser
    /// cannot be `merged` into, what would be is kept apart and acts always.
    ///
    /// # Errors
    ///
    /// [`LoraError`] for a file that cannot be read, or is not for these models.
    pub fn open<X>(
        options: &LoadOptions<X>,
        targets: impl FnOnce() -> LoraTargets,
        merges: bool,
    ) -> Result<Self, LoraError> {
        let mut loras = Self::default();
        if options.loras.is_empty() && options.loras_apart.is_empty() {
            return Ok(loras);
        }
        let targets = targets();
        let mut merged = BTreeMap::<Part, Deltas>::new();
        for option in &options.loras {
            let lora = LoraFile::open(&option.path)?.read(&targets, option.strength)?;
            loras.summaries.push(lora.summary.clone());
            // nothing is added, so that every bit stays
            if option.strength == 0.0 {
                continue;
            }
            for (part, deltas) in lora.parts() {
                if merges || part != Part::Denoiser {
                    merged.entry(part).or_default().append(deltas);
                }
            }
            if !merges {
                (loras.fixed).push(Apart::new(&option.path, lora, options.residency));
            }
        }
        for path in &options.loras_apart {
            let lora = LoraFile::open(path)?.read(&targets, 1.0)?;
            loras.apart.push(Apart::new(path, lora, options.residency));
        }
        let shared = merged.into_iter();
        loras.merged = shared
            .map(|(part, deltas)| (part, Arc::new(deltas)))
            .collect();
        Ok(loras)
    }

    /// What is merged into a model.
    pub fn merged(&self, part: Part) -> Arc<Deltas> {
        self.merged.get(&part).cloned().unwrap_or_default()
    }

    /// The same with what adapters that are kept apart change of a text encoder, if a request uses any that do.
    pub fn merged_for(&self, requests: &[LoraRequest], part: Part) -> Option<Arc<Deltas>> {
        let everywhere = requests.iter().filter(|request| request.concept.is_none());
        let used = everywhere.filter_map(|request| {
            let lora = &self.apart.get(request.lora)?.lora;
            let (_, deltas) = lora.parts().find(|(of, _)| *of == part)?;
            (request.strength != 0.0).then(|| deltas.scaled(f64::from(request.strength)))
        });
        let used: Vec<Deltas> = used.collect();
        if used.is_empty() {
            return None;
        }
        let mut all = (*self.merged(part)).clone();
        used.iter().for_each(|deltas| all.append(deltas));
        Some(Arc::new(all))
    }

    /// What each file that is merged is, in the order of the options.
    pub fn summaries(&self) -> &[LoraSummary] {
        &self.summaries
    }

    /// What each file that is kept apart is, in the order of the options.
    pub fn apart(&self) -> impl ExactSizeIterator<Item = &LoraSummary> {
        self.apart.iter().map(|apart| &apart.lora.summary)
    }

    /// A plan with what is part of the model, though it is not merged, whoever made the plan.
    pub(super) fn beneath(
        &self,
        plan: &AttentionPlan,
        profile: &Profile,
    ) -> Result<AttentionPlan, PipelineError> {
        let fixed = self.fixed.iter().map(|fixed| fixed.adaptation(profile));
        let fixed: Vec<_> = fixed.collect::<Result<_, _>>()?;
        Ok(plan.upon(fixed.into_iter().flatten().collect()))
    }

    /// Adds what a request uses to a plan.
    pub(super) fn install<'a>(
        &self,
        mut builder: AttentionPlanBuilder<'a>,
        requests: &[LoraRequest],
        profile: &Profile,
    ) -> Result<AttentionPlanBuilder<'a>, PipelineError> {
        let acts = |request: &&LoraRequest| request.strength != 0.0 || request.outside != 0.0;
        for request in requests.iter().filter(acts) {
            let Some(adaptation) = self.apart[request.lora].adaptation(profile)? else {
                continue;
            };
            let strength = ConditionSchedule::new(request.strength, request.window);
            let adaptation = adaptation.strength(strength.outside(request.outside));
            builder = builder.adapt(match request.concept {
                Some(concept) => adaptation.concept(concept),
                None => adaptation,
            });
        }
        Ok(builder)
    }
}

impl Apart {
    fn new(path: &Path, lora: Lora, residency: Residency) -> Self {
        Self {
            path: path.to_owned(),
            lora,
            modules: Slot::new(residency),
        }
    }

    /// What it adds to the denoiser; nothing if it is for text encoders only.
    fn adaptation(&self, profile: &Profile) -> Result<Option<Adaptation>, PipelineError> {
        let mut parts = self.lora.parts();
        let Some((_, deltas)) = parts.find(|(part, _)| *part == Part::Denoiser) else {
            return Ok(None);
        };
        let modules = (self.modules).get(|| deltas.apart(&profile.device, profile.dtype))?;
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Some(Adaptation::new(name, modules)))
    }
}
