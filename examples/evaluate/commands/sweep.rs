//! The paper's third experiment: warm-up, scale, and what else can be turned.

use std::error::Error;

use conceptrol_core::pipeline::Pipeline;

use crate::{
    arguments::{self, Axis, Setting},
    commands::pictures::{Gate, Variant, compare, each},
    lab::{Experiment, Lab},
    rows::Settings,
};

/// Axes one after the other, or a grid of those that are given.
#[derive(Debug)]
pub(crate) struct Sweep(pub(crate) arguments::Sweep);

impl Experiment for Sweep {
    fn run<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<(), Box<dyn Error>> {
        let settings = self.settings(&lab.settings(), lab.common.quick);
        let shown: Vec<String> = (self.0.axes.iter()).map(ToString::to_string).collect();
        let setup = lab.setup("sweep")?.option("axes", shown.join("; "));
        let text_only = Variant {
            method: "text only".into(),
            settings: lab.settings(),
            gate: Gate::Closed,
        };
        let methods = [
            ("vanilla", Gate::Open),
            ("concept block", Gate::Block(None)),
        ];
        let variants = settings.iter().flat_map(|settings| {
            methods.iter().map(|(method, gate)| Variant {
                method: (*method).to_owned(),
                settings: settings.clone(),
                gate: gate.clone(),
            })
        });
        let variants: Vec<Variant> = std::iter::once(text_only).chain(variants).collect();
        let units = each(lab.prompts(30, 4)?);
        compare(lab, &setup, &variants, units, &mut |_, _, _| Ok(None))
    }
}

impl Sweep {
    /// Every combination once.
    fn settings(&self, base: &Settings, quick: bool) -> Vec<Settings> {
        if !self.0.axes.is_empty() {
            return (self.0.axes.iter()).fold(vec![base.clone()], |grid, axis| {
                grid.iter().flat_map(|at| along(at, axis)).collect()
            });
        }
        let axis = |setting, values: &[f64]| Axis {
            setting,
            values: values.to_vec(),
        };
        let axes = if quick {
            [
                axis(Setting::Scale, &[0.5, 1.0, 1.5]),
                axis(Setting::Warmup, &[0.0, 0.2, 0.4]),
            ]
        } else {
            [
                axis(Setting::Scale, &[0.5, 0.75, 1.0, 1.25, 1.5]),
                axis(Setting::Warmup, &[0.0, 0.1, 0.2, 0.3, 0.4]),
            ]
        };
        let mut all: Vec<Settings> = Vec::new();
        for settings in axes.iter().flat_map(|axis| along(base, axis)) {
            if !all.contains(&settings) {
                all.push(settings);
            }
        }
        all
    }
}

/// The settings of an axis, the others as in `base`.
fn along(base: &Settings, axis: &Axis) -> Vec<Settings> {
    let values = axis.values.iter().map(|&value| {
        let mut settings = base.clone();
        match axis.setting {
            Setting::Warmup => settings.warmup = value,
            Setting::Scale => settings.scale = value,
            Setting::Guidance => settings.guidance = value,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number of at least 1"
            )]
            Setting::Steps => settings.steps = value as usize,
        }
        settings
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Settings {
        Settings {
            scale: 1.0,
            warmup: 0.2,
            steps: 50,
            guidance: 7.5,
        }
    }

    #[test]
    fn axes_that_are_given_make_a_grid() {
        let axis = |setting, values: &[f64]| Axis {
            setting,
            values: values.to_vec(),
        };
        let axes = vec![
            axis(Setting::Scale, &[0.5, 1.0]),
            axis(Setting::Steps, &[10.0, 20.0, 30.0]),
        ];
        let grid = Sweep(arguments::Sweep { axes }).settings(&base(), false);
        let at: Vec<(f64, usize)> = grid.iter().map(|s| (s.scale, s.steps)).collect();
        assert_eq!(
            at,
            [
                (0.5, 10),
                (0.5, 20),
                (0.5, 30),
                (1.0, 10),
                (1.0, 20),
                (1.0, 30)
            ]
        );
    }

    #[test]
    fn the_default_axes_meet_once() {
        let all = Sweep(arguments::Sweep::default()).settings(&base(), false);
        assert_eq!(all.len(), 9, "two axes of five that share the default");
    }
}
