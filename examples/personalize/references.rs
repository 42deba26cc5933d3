//! How reference pictures that are tokens of FLUX's sequence are read, on the command line.

use clap::{Args, ValueEnum};
use conceptrol_core::{
    pipeline::Words,
    processors::{ReferenceSight, TextSight},
};
use conceptrol_examples::values::finite;
use conceptrol_flux::{
    omini::{ConditionSize, Placement},
    pipeline::{FluxOptions, ReduxOptions, ReduxPictures, ReduxText, Request},
};

/// Options of Kontext, OminiControl and Redux.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "FLUX: references in the sequence")]
pub(crate) struct ReferenceArguments {
    /// Where the adapter, or Kontext, was trained to see the reference [default: right, as `subject_512`; Kontext: canvas].
    #[arg(long)]
    pub placement: Option<PlacementArgument>,
    /// Size at which references are read: `own`, `preferred` (Kontext's list), `WIDTHxHEIGHT`, or an edge for its square's area,
    /// aspect kept [default: 512; Kontext: preferred].
    #[arg(long, value_name = "SIZE", value_parser = reference_size)]
    pub reference_size: Option<ConditionSize>,
    /// Tokens of the picture that one of the reference covers along a side, for adapters of OminiControl2 that read
    /// references at a fraction of the size.
    #[arg(long, value_name = "FACTOR", value_parser = finite::<f64>)]
    pub position_scale: Option<f64>,
    /// The adapter was trained with references that see themselves alone (OminiControl2): their keys and values are computed
    /// once.
    #[arg(long)]
    pub independent_conditions: bool,
    /// What references see beside themselves [default: all].
    #[arg(long, value_name = "WHAT")]
    pub references_see: Option<SightArgument>,
    /// Which text sees a reference that keeps to a concept [default: words].
    #[arg(long, value_name = "WHAT")]
    pub seen_by: Option<TextArgument>,
    /// How several pictures of a Redux go together [default: beside].
    #[arg(long, value_name = "HOW")]
    pub redux_pictures: Option<PicturesArgument>,
    /// Let zeros stand for the text before a Redux's pictures; the prompt has to be empty.
    #[arg(long)]
    pub redux_without_text: bool,
    /// Factor on text and pictures of a Redux; one for each picture that is summed.
    #[arg(long, value_name = "FACTOR", value_delimiter = ',', value_parser = finite::<f32>)]
    pub prompt_embeds_scale: Vec<f32>,
    /// Factor on the pooled text; one for each picture that is summed.
    #[arg(long, value_name = "FACTOR", value_delimiter = ',', value_parser = finite::<f32>)]
    pub pooled_prompt_embeds_scale: Vec<f32>,
}

impl ReferenceArguments {
    /// Each option, and whether it is given.
    pub(crate) fn given(&self) -> [(&'static str, bool); 10] {
        [
            ("--placement", self.placement.is_some()),
            ("--reference-size", self.reference_size.is_some()),
            ("--position-scale", self.position_scale.is_some()),
            ("--independent-conditions", self.independent_conditions),
            ("--references-see", self.references_see.is_some()),
            ("--seen-by", self.seen_by.is_some()),
            ("--redux-pictures", self.redux_pictures.is_some()),
            ("--redux-without-text", self.redux_without_text),
            (
                "--prompt-embeds-scale",
                !self.prompt_embeds_scale.is_empty(),
            ),
            (
                "--pooled-prompt-embeds-scale",
                !self.pooled_prompt_embeds_scale.is_empty(),
            ),
        ]
    }

    /// What was trained.
    pub(crate) fn set_options(&self, options: &mut FluxOptions) {
        options.placement = self.placement.map(Placement::from);
        if let Some(scale) = self.position_scale {
            options.position_scale = scale;
        }
        options.independent_conditions = self.independent_conditions;
    }

    /// What is asked for.
    pub(crate) fn set(&self, request: &mut Request) {
        let extra = &mut request.extra;
        extra.condition_size = self.reference_size;
        if let Some(sight) = self.references_see {
            extra.references_see = sight.into();
        }
        if let Some(text) = self.seen_by {
            extra.seen_by = text.into();
        }
        let mut redux = ReduxOptions::default();
        if self.redux_pictures == Some(PicturesArgument::Summed) {
            redux = redux.pictures(ReduxPictures::Summed);
        }
        if !self.prompt_embeds_scale.is_empty() {
            redux = redux.prompt_embeds_scales(self.prompt_embeds_scale.iter().copied());
        }
        if !self.pooled_prompt_embeds_scale.is_empty() {
            let scales = self.pooled_prompt_embeds_scale.iter().copied();
            redux = redux.pooled_prompt_embeds_scales(scales);
        }
        if self.redux_without_text {
            redux = redux.text(ReduxText::Zeros);
            for concept in &mut request.concepts {
                concept.words = Words::Everywhere;
            }
        }
        extra.redux = redux;
    }

    /// What is written beside the pictures.
    pub(crate) fn parameters(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(placement) = self.placement {
            lines.push(format!("Placement: {placement:?}"));
        }
        if let Some(size) = self.reference_size {
            lines.push(format!("Reference size: {size:?}"));
        }
        if let Some(scale) = self.position_scale {
            lines.push(format!("Position scale: {scale}"));
        }
        if self.independent_conditions {
            lines.push("Independent conditions".into());
        }
        if let Some(sight) = self.references_see {
            lines.push(format!("References see: {sight:?}"));
        }
        if let Some(text) = self.seen_by {
            lines.push(format!("Seen by: {text:?}"));
        }
        if let Some(pictures) = self.redux_pictures {
            lines.push(format!("Redux pictures: {pictures:?}"));
        }
        if self.redux_without_text {
            lines.push("Redux without text".into());
        }
        if !self.prompt_embeds_scale.is_empty() {
            lines.push(format!(
                "Prompt embeds scale: {:?}",
                self.prompt_embeds_scale
            ));
        }
        if !self.pooled_prompt_embeds_scale.is_empty() {
            let scales = &self.pooled_prompt_embeds_scale;
            lines.push(format!("Pooled prompt embeds scale: {scales:?}"));
        }
        lines
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlacementArgument {
    /// Right of the picture, as `subject_512`.
    Right,
    /// Left of the picture, as `subject_1024_beta`.
    Left,
    /// On top of it, as the adapters for depth and edges.
    Aligned,
    /// On a plane of their own, several as in one stitched picture.
    #[value(alias = "offset")]
    Canvas,
    /// Each on a plane of its own.
    #[value(alias = "index")]
    Planes,
    /// Beyond the picture's lower right corner, each beyond the one before.
    #[value(alias = "uxo")]
    Diagonal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SightArgument {
    /// Text, picture and the other references.
    All,
    /// Text and picture.
    Apart,
    /// Nothing.
    Alone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextArgument {
    /// The words of its concept.
    Words,
    /// All of it.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PicturesArgument {
    /// Each has tokens of its own.
    Beside,
    /// Their sequences are added, as in diffusers.
    Summed,
}

impl From<PlacementArgument> for Placement {
    fn from(placement: PlacementArgument) -> Self {
        match placement {
            PlacementArgument::Right => Self::RightOfPicture,
            PlacementArgument::Left => Self::LeftOfPicture,
            PlacementArgument::Aligned => Self::Aligned,
            PlacementArgument::Canvas => Self::Canvas,
            PlacementArgument::Planes => Self::Planes,
            PlacementArgument::Diagonal => Self::Diagonal,
        }
    }
}

impl From<SightArgument> for ReferenceSight {
    fn from(sight: SightArgument) -> Self {
        match sight {
            SightArgument::All => Self::All,
            SightArgument::Apart => Self::NotEachOther,
            SightArgument::Alone => Self::Themselves,
        }
    }
}

impl From<TextArgument> for TextSight {
    fn from(text: TextArgument) -> Self {
        match text {
            TextArgument::Words => Self::Words,
            TextArgument::All => Self::All,
        }
    }
}

fn reference_size(text: &str) -> Result<ConditionSize, String> {
    let number = |text: &str| match text.parse::<usize>() {
        Ok(edge) if (16..=8192).contains(&edge) => Ok(edge),
        _ => {
            Err("expected own, preferred, WIDTHxHEIGHT or an edge of 16 to 8192 pixels".to_owned())
        }
    };
    match text {
        "own" => Ok(ConditionSize::Own),
        "preferred" => Ok(ConditionSize::Preferred),
        _ => match text.split_once('x') {
            Some((width, height)) => {
                let (width, height) = (number(width)?, number(height)?);
                Ok(ConditionSize::Exact { height, width })
            }
            None => Ok(ConditionSize::Area(number(text)?.pow(2))),
        },
    }
}
