//! Control pictures and a picture to edit on the command line.

use std::{error::Error, fmt, path::PathBuf};

use clap::Args;
use conceptrol_core::{StepWindow, models::image::open, pipeline::ConceptGate};
use conceptrol_examples::values::finite;
use conceptrol_sd::pipeline::{ControlRequest, EditRequest, Extra};
use image::RgbImage;

use crate::concepts::{ControlArgument, Phrase, control};

/// Options of control pictures and of a picture to edit.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Control and editing (Stable Diffusion)")]
pub(crate) struct ControlArguments {
    /// A `ControlNet` (a folder of diffusers, or a file) and the picture it reads, with an optional scale:
    /// "`control_canny=edges.png:0.7`". What several add is summed. The first picture's size is the result's, rounded down, if
    /// nothing else says otherwise; pictures of other sizes are resized.
    #[arg(long = "control", value_name = "NET=FILE[:SCALE]", value_parser = control())]
    pub controls: Vec<ControlArgument>,
    /// From which fraction of the steps to which a control acts: "0.1,0.8". One for all controls, or one each.
    #[arg(long = "control-window", value_name = "START,END", requires = "controls", value_parser = window)]
    pub control_windows: Vec<StepWindow>,
    /// Where a control acts: where a phrase of the prompt does, or with "not:" where it does not. One for all controls, or one
    /// each, "" for everywhere.
    #[arg(long = "control-gate", value_name = "[not:]PHRASE[#N]", requires = "controls", value_parser = optional_gate)]
    pub control_gates: Vec<OptionalGate>,
    /// Let controls act without the prompt: on the conditional prediction only, more strongly the deeper.
    #[arg(long, requires = "controls")]
    pub guess_mode: bool,
    /// A picture that the prompt, an instruction, changes; for models that were trained to edit (`InstructPix2Pix`).
    #[arg(long, value_name = "FILE")]
    pub edit: Option<PathBuf>,
    /// How closely the picture to edit is followed [default: 1.5]; below 1 there is no guidance at all.
    #[arg(long, value_name = "SCALE", requires = "edit", value_parser = finite::<f64>)]
    pub image_guidance: Option<f64>,
    /// Where the instruction acts: where a phrase of the prompt does, or with "not:" where it does not.
    #[arg(long, value_name = "[not:]PHRASE[#N]", requires = "edit", value_parser = gate)]
    pub edit_gate: Option<GateArgument>,
}

/// Where something acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GateArgument {
    pub phrase: Phrase,
    pub complement: bool,
}

/// The same, or everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionalGate(Option<GateArgument>);

impl fmt::Display for GateArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.complement { "not:" } else { "" };
        write!(f, "{not}{}", self.phrase)
    }
}

impl fmt::Display for OptionalGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(gate) => gate.fmt(f),
            None => f.write_str("everywhere"),
        }
    }
}

/// Pictures that a run shows beside its results.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    /// The picture that is edited.
    pub before: Option<RgbImage>,
    /// Control pictures with the names of their nets.
    pub controls: Vec<(String, RgbImage)>,
}

impl ControlArguments {
    /// Every phrase at which something acts.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Phrase> {
        let controls = self.control_gates.iter().filter_map(|gate| gate.0.as_ref());
        let gates = controls.chain(&self.edit_gate);
        gates.map(|gate| &gate.phrase)
    }

    /// The first option that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        match (self.controls.is_empty(), &self.edit) {
            (false, _) => Some("--control"),
            (true, Some(_)) => Some("--edit"),
            (true, None) => None,
        }
    }

    /// What they ask of Stable Diffusion; `phrases` are those of the request's concepts.
    pub(crate) fn extra(&self, phrases: &[Phrase]) -> Result<Extra, Box<dyn Error>> {
        let count = self.controls.len();
        for (option, given) in [
            ("--control-window", self.control_windows.len()),
            ("--control-gate", self.control_gates.len()),
        ] {
            if given > 1 && given != count {
                return Err(format!("{option} is given {given} times for {count} controls").into());
            }
        }
        let gate = |asked: &GateArgument| {
            let mut known = phrases.iter();
            let place = known.position(|phrase| phrase.same_words(&asked.phrase));
            let place = place.expect("its phrase is among them");
            match asked.complement {
                true => ConceptGate::outside(place),
                false => ConceptGate::inside(place),
            }
        };
        let mut extra = Extra::default();
        for (index, asked) in self.controls.iter().enumerate() {
            let mut control = ControlRequest::new(index, open(&asked.image)?)
                .scale(asked.scale)
                .guess(self.guess_mode);
            let window = self.control_windows.get(index);
            if let Some(window) = window.or(self.control_windows.first()) {
                control = control.window(*window);
            }
            let place = self.control_gates.get(index);
            let place = place.or(self.control_gates.first());
            control.gate = place.and_then(|place| place.0.as_ref()).map(gate);
            extra.controls.push(control);
        }
        if let Some(file) = &self.edit {
            let mut edit = EditRequest::new(open(file)?);
            edit.image_guidance = self.image_guidance.unwrap_or(edit.image_guidance);
            edit.gate = self.edit_gate.as_ref().map(gate);
            extra.edit = Some(edit);
        }
        Ok(extra)
    }

    /// The pictures of a request, to show.
    pub(crate) fn pictures(&self, extra: &Extra) -> Given {
        let names = self.controls.iter().map(|control| {
            let name = control.net.file_stem().unwrap_or_default();
            name.to_string_lossy().into_owned()
        });
        let pictures = extra.controls.iter().map(|control| control.image.clone());
        Given {
            before: extra.edit.as_ref().map(|edit| edit.image.clone()),
            controls: names.zip(pictures).collect(),
        }
    }
}

fn gate(text: &str) -> Result<GateArgument, String> {
    let inside = text.strip_prefix("not:");
    Ok(GateArgument {
        phrase: Phrase::parse(inside.unwrap_or(text))?,
        complement: inside.is_some(),
    })
}

fn optional_gate(text: &str) -> Result<OptionalGate, String> {
    let gate = (!text.is_empty()).then(|| gate(text)).transpose()?;
    Ok(OptionalGate(gate))
}

fn window(text: &str) -> Result<StepWindow, String> {
    let expected = || "expected START,END, both 0 to 1".to_owned();
    let (start, end) = text.split_once(',').ok_or_else(expected)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| expected());
    StepWindow::new(number(start)?, number(end)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_and_windows_are_parsed() {
        let parsed = gate("not:red cat#2").expect("a gate");
        assert!(parsed.complement);
        assert_eq!(
            (parsed.phrase.text.as_str(), parsed.phrase.occurrence),
            ("red cat", 2)
        );
        assert!(!gate("nothing").expect("a gate").complement);
        assert_eq!(optional_gate(""), Ok(OptionalGate(None)));
        assert!(gate("not:").is_err());
        assert_eq!(
            window("0.1, 0.8"),
            Ok(StepWindow::new(0.1, 0.8).expect("a window"))
        );
        assert!(window("0.1").is_err() && window("0,2").is_err());
    }
}
