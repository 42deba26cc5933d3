//! How the command line's prompts are read, and which phrase `auto` is.

use std::error::Error;

use clap::{Args, ValueEnum};
use conceptrol_core::pipeline::only_subject;
use conceptrol_examples::{phrase::places, say_err};
use conceptrol_sd::pipeline::{Reading, Weighting};

use crate::{arguments::Arguments, concepts::Phrase};

/// The phrase that stands for the only subject of the prompt.
const AUTO: &str = "auto";

/// Options of prompts that only Stable Diffusion has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Prompts of Stable Diffusion")]
pub(crate) struct PromptArguments {
    /// Read prompts to their end, in chunks of 75 tokens, instead of the first 75 tokens only.
    #[arg(long)]
    pub long_prompts: bool,
    /// Read (word:1.3), (word) and [word] in prompts as weights.
    #[arg(long, value_name = "AS")]
    pub prompt_weights: Option<WeightingArgument>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightingArgument {
    /// Away from the empty prompt, as ComfyUI does.
    Comfy,
    /// Multiplied, with the mean kept, as A1111 does.
    A1111,
}

impl PromptArguments {
    pub(crate) fn reading(&self) -> Reading {
        let reading = match self.long_prompts {
            true => Reading::long(),
            false => Reading::default(),
        };
        match self.prompt_weights {
            None => reading,
            Some(WeightingArgument::Comfy) => reading.weighted(Weighting::FromEmpty),
            Some(WeightingArgument::A1111) => reading.weighted(Weighting::KeepMean),
        }
    }

    /// The first option that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let weights = self.prompt_weights.map(|_| "--prompt-weights");
        self.long_prompts.then_some("--long-prompts").or(weights)
    }
}

impl Arguments {
    /// With the phrase that `auto` is in its place. A prompt that has the word itself means the word.
    pub(crate) fn with_auto(mut self) -> Result<Self, Box<dyn Error>> {
        let prompt = self.prompt.clone().unwrap_or_default();
        let of_concepts = self.concepts.iter().map(|concept| &concept.phrase);
        let of_faces = self.identities.iter().map(|identity| &identity.phrase);
        let references: Vec<&Phrase> = of_concepts.chain(of_faces).collect();
        let is_auto = |phrase: &Phrase| phrase.text == AUTO;
        if !references.iter().any(|phrase| is_auto(phrase)) || !places(&prompt, AUTO).is_empty() {
            return Ok(self);
        }
        if references.len() > 1 {
            return Err("`auto` is for a single reference: name the phrase of each".into());
        }
        let subject = only_subject(&prompt)?;
        let occurrence = places(&prompt[..subject.bytes.start], &subject.text).len() + 1;
        say_err!(
            "auto: the reference is of `{}`, the only phrase the prompt shows as its subject",
            subject.text
        );
        let concepts = self.concepts.iter_mut().map(|concept| &mut concept.phrase);
        let faces = self.identities.iter_mut().map(|face| &mut face.phrase);
        let masks = self.masks.iter_mut().map(|mask| &mut mask.phrase);
        let places = self.loras_at.iter_mut().map(|lora| &mut lora.phrase);
        let more = self.more_images.iter_mut().map(|more| &mut more.phrase);
        let all = concepts.chain(faces).chain(masks).chain(places).chain(more);
        for phrase in all.filter(|phrase| is_auto(phrase)) {
            phrase.text.clone_from(&subject.text);
            phrase.occurrence = occurrence;
        }
        Ok(self)
    }
}
