//! A picture to start from on the command line.

use std::{error::Error, path::PathBuf};

use clap::Args;
use conceptrol_core::{
    models::image::{open, open_mask},
    pipeline::{ConceptPlace, Repaint, Start},
};
use conceptrol_examples::{say_err, values::fraction};

/// Options of a picture to start from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Starting from a picture")]
pub(crate) struct StartArguments {
    /// A picture to start from; its size is the result's, rounded down, if --width and --height do not say otherwise.
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// How far the result may leave it, 0 to 1: the share of the steps that are run [default: 0.8; 1 where a part is repainted].
    #[arg(long, requires = "init", value_parser = fraction)]
    pub strength: Option<f64>,
    /// Repaint only what is white in this mask, which has the picture's size.
    #[arg(
        long,
        value_name = "FILE",
        requires = "init",
        conflicts_with = "inpaint_concept"
    )]
    pub inpaint_mask: Option<PathBuf>,
    /// Repaint only where these words act in the picture: what is there is found without a mask.
    #[arg(long, value_name = "PHRASE", requires = "init")]
    pub inpaint_concept: Option<String>,
    /// What the picture shows, with the phrase of --inpaint-concept in it [default: the prompt].
    #[arg(long, value_name = "TEXT", requires = "inpaint_concept")]
    pub inpaint_prompt: Option<String>,
    /// From which share of the strongest place on a place belongs to the region of --inpaint-concept [default: 0.5].
    #[arg(long, requires = "inpaint_concept", value_parser = fraction)]
    pub inpaint_threshold: Option<f64>,
    /// Pixels by which the region of --inpaint-concept is grown [default: 0].
    #[arg(long, value_name = "PIXELS", requires = "inpaint_concept")]
    pub inpaint_grow: Option<usize>,
    /// Cut the region out with so many pixels around it, repaint that at the full size, and put it back.
    #[arg(long, value_name = "PIXELS", requires = "init")]
    pub inpaint_padding: Option<u32>,
}

impl StartArguments {
    /// The picture and what of it is repainted, read from their files.
    pub(crate) fn start(&self) -> Result<Option<Start>, Box<dyn Error>> {
        let Some(init) = &self.init else {
            return Ok(None);
        };
        let mut start = Start::new(open(init)?);
        start.strength = self.strength;
        let repaint = match (&self.inpaint_mask, &self.inpaint_concept) {
            (Some(mask), _) => {
                let drawn = open_mask(mask)?;
                if let Some(warning) = &drawn.warning {
                    say_err!("warning: {}: {warning}", mask.display());
                }
                Some(Repaint::from(drawn))
            }
            (None, Some(phrase)) => Some(Repaint::from(self.place(phrase))),
            (None, None) => None,
        };
        match (repaint, self.inpaint_padding) {
            (Some(repaint), Some(padding)) => Ok(Some(start.repaint(repaint.padding(padding)))),
            (Some(repaint), None) => Ok(Some(start.repaint(repaint))),
            (None, Some(_)) => {
                Err("--inpaint-padding needs --inpaint-mask or --inpaint-concept".into())
            }
            (None, None) => Ok(Some(start)),
        }
    }

    fn place(&self, phrase: &str) -> ConceptPlace {
        let mut place = ConceptPlace::of(phrase);
        place.prompt.clone_from(&self.inpaint_prompt);
        if let Some(threshold) = self.inpaint_threshold {
            #[expect(clippy::cast_possible_truncation, reason = "a share of a map in f32")]
            let threshold = threshold as f32;
            place = place.threshold(threshold);
        }
        place.grow(self.inpaint_grow.unwrap_or_default())
    }
}
