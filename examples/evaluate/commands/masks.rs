//! The paper's second experiment: which mask gates best?

use std::error::Error;

use conceptrol_core::pipeline::Pipeline;

use crate::{
    arguments,
    commands::pictures::{Gate, Variant, compare, each},
    lab::{Experiment, Lab},
};

/// No mask, noise, a block that does not know, each block's own, the concept block's (as it is, in
/// competition, spread), the truth.
#[derive(Debug)]
pub(crate) struct Masks(pub(crate) arguments::Masks);

impl Experiment for Masks {
    fn run<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<(), Box<dyn Error>> {
        let non_specific = self.non_specific(lab)?;
        let setup = lab
            .setup("masks")?
            .option("non-specific block", &non_specific);
        let methods = [
            ("text only", Gate::Closed),
            ("vanilla", Gate::Open),
            ("random", Gate::Random),
            ("non-specific block", Gate::Block(Some(non_specific))),
            ("local", Gate::Local),
            ("concept block", Gate::Block(None)),
            ("competition", Gate::Competition),
            ("spread", Gate::Spread),
            ("oracle", Gate::Truth),
        ];
        let variants = methods.map(|(method, gate)| Variant {
            method: method.to_owned(),
            settings: lab.settings(),
            gate,
        });
        let units = each(lab.prompts(60, 8)?);
        compare(lab, &setup, &variants, units, &mut |_, _, _| Ok(None))
    }
}

impl Masks {
    /// The block that is asked for; the first in the middle of a UNet, the first of a transformer.
    fn non_specific<P: Pipeline>(&self, lab: &Lab<'_, P>) -> Result<String, Box<dyn Error>> {
        let profile = lab.pipeline.profile();
        let sites = profile.conditioned.resolve(&profile.sites)?;
        let names = || sites.iter().map(|site| site.name.as_str());
        if let Some(asked) = &self.0.non_specific {
            return match names().find(|name| name == asked) {
                Some(name) => Ok(name.to_owned()),
                None => {
                    let known: Vec<&str> = names().collect();
                    Err(format!("there is no site {asked}; there are {}", known.join(", ")).into())
                }
            };
        }
        let middle = names().find(|name| name.starts_with("mid_block"));
        let first = middle.or_else(|| names().next());
        Ok(first
            .ok_or("the model has no sites where words are seen")?
            .to_owned())
    }
}
