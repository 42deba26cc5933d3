//! Where masks come from, on the command line.

use std::{error::Error, sync::Arc};

use clap::{Args, ValueEnum};
use conceptrol_core::{
    SiteSelector,
    mask::{Competition, ConceptBlock, ConceptMaskSource, MaskNorm, Spread},
    pipeline::{Fidelity, Pipeline},
};
use conceptrol_examples::values::{finite, fraction};

/// Temperature of a soft competition, of masks whose peak is 1.
const SHARING: f32 = 0.2;

/// How masks are read, and what becomes of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Masks")]
pub(crate) struct MaskSourceArguments {
    /// The site whose attention the masks are read from, in place of the model's own.
    #[arg(long, value_name = "SITE")]
    pub concept_block: Option<String>,
    /// How masks are normalised [default: a peak of 1 where they multiply, a mean of 1 where they move logits].
    #[arg(long, value_name = "NORM")]
    pub mask_norm: Option<NormArgument>,
    /// Let concepts compete for places, so that two that look alike do not act on one region.
    #[arg(long, value_name = "RULE")]
    pub compete: Option<CompeteArgument>,
    /// A level from 0 to 1 that the background competes with: places where no concept reaches it belong to nobody.
    #[arg(long, value_name = "LEVEL", requires = "compete", value_parser = fraction)]
    pub background: Option<f64>,
    /// Spread masks over what looks like the places where words act most; the lower the temperature, the narrower.
    #[arg(long, value_name = "TEMPERATURE", num_args = 0..=1, default_missing_value = "0.1", value_parser = finite::<f32>)]
    pub spread: Option<f32>,
}

impl MaskSourceArguments {
    /// Each option, and whether it is given.
    pub(crate) fn given(&self) -> [(&'static str, bool); 5] {
        [
            ("--concept-block", self.concept_block.is_some()),
            ("--mask-norm", self.mask_norm.is_some()),
            ("--compete", self.compete.is_some()),
            ("--background", self.background.is_some()),
            ("--spread", self.spread.is_some()),
        ]
    }

    /// The source, if it is not the model's own as it is.
    pub(crate) fn source<P: Pipeline>(
        &self,
        pipeline: &P,
        fidelity: Fidelity,
    ) -> Result<Option<Arc<dyn ConceptMaskSource>>, Box<dyn Error>> {
        if self.given().iter().all(|(_, given)| !given) {
            return Ok(None);
        }
        let profile = pipeline.profile();
        let mut block: ConceptBlock = match &self.concept_block {
            Some(site) => profile.block_at(SiteSelector::named(site)),
            None => pipeline
                .concept_block(fidelity)
                .ok_or("the concept block of this model is not known: --concept-block names one")?,
        };
        let norm = self.mask_norm.map_or(profile.gating.norm(), MaskNorm::from);
        if self.mask_norm.is_some() {
            block = block.norm(norm);
        }
        let source: Arc<dyn ConceptMaskSource> = match self.spread {
            Some(temperature) => Arc::new(Spread::over(block, norm).temperature(temperature)?),
            None => Arc::new(block),
        };
        let Some(rule) = self.compete else {
            return Ok(Some(source));
        };
        let mut competition = match rule {
            CompeteArgument::Soft => Competition::softmax(source, SHARING)?,
            CompeteArgument::Hard => Competition::partition(source),
        };
        if let Some(level) = self.background {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a level of two or three digits"
            )]
            let level = level as f32;
            competition = competition.background(level)?;
        }
        Ok(Some(Arc::new(competition)))
    }

    /// What is written beside the pictures.
    pub(crate) fn parameters(&self) -> Vec<String> {
        let site = self
            .concept_block
            .as_ref()
            .map(|site| format!("Concept block: {site}"));
        let norm = self.mask_norm.map(|norm| format!("Mask norm: {norm:?}"));
        let rule = self.compete.map(|rule| format!("Competition: {rule:?}"));
        let level = self.background.map(|level| format!("Background: {level}"));
        let spread = self.spread.map(|spread| format!("Spread: {spread}"));
        [site, norm, rule, level, spread]
            .into_iter()
            .flatten()
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormArgument {
    /// A peak of 1.
    Max,
    /// A mean of 1.
    Mean,
    /// As read.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompeteArgument {
    /// Each has its share of a place.
    Soft,
    /// Every place belongs to one.
    Hard,
}

impl From<NormArgument> for MaskNorm {
    fn from(norm: NormArgument) -> Self {
        match norm {
            NormArgument::Max => Self::Max,
            NormArgument::Mean => Self::Mean,
            NormArgument::None => Self::None,
        }
    }
}
