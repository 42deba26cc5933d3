//! The models of a pipeline whose modules low-rank files may change.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use burn::tensor::Device;

use super::dialect::{self, Place};
use super::naming::NAMINGS;
use crate::models::weights::{KeyRule, Weights};

/// One of the models of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The UNet or transformer.
    Denoiser,
    /// The text encoder of SD1.5, the first of SDXL and FLUX.
    ClipL,
    /// The second text encoder of SDXL.
    ClipG,
    /// The second text encoder of FLUX.
    T5,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denoiser => "the denoiser",
            Self::ClipL => "CLIP-L",
            Self::ClipG => "CLIP-G",
            Self::T5 => "T5",
        })
    }
}

/// A model with the names and shapes of the weights that can be changed: all with two axes or more.
#[derive(Debug, Clone)]
pub struct LoraTarget {
    pub(super) part: Part,
    /// The folder diffusers keeps it in, `unet`.
    pub(super) folder: &'static str,
    /// Shapes of the weights by the names of diffusers and transformers.
    pub(super) modules: BTreeMap<String, Vec<usize>>,
    /// Other names of its modules.
    dialects: Vec<(&'static str, Vec<(String, Place)>)>,
}

impl LoraTarget {
    /// The model that `build` asks weights for, kept in `folder` of a diffusers folder. Nothing is put on the device.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use conceptrol_core::models::{lora::{LoraTarget, Part}, nn::Linear};
    ///
    /// let device = Device::flex();
    /// let unet = LoraTarget::new(Part::Denoiser, "unet", &device, |w| drop(Linear::new(&w.at("proj_in"), 8, 4, true)));
    /// assert_eq!(unet.modules().collect::<Vec<_>>(), ["proj_in"]);
    /// ```
    pub fn new(
        part: Part,
        folder: &'static str,
        device: &Device,
        build: impl FnOnce(&Weights),
    ) -> Self {
        let names = Weights::names(device);
        build(&names);
        let tensors = names.finish().unwrap_or_default();
        let weight = |name: &str| name.strip_suffix(".weight").map(str::to_owned);
        let modules = tensors.into_iter().filter(|tensor| tensor.shape.len() > 1);
        Self {
            part,
            folder,
            modules: modules
                .filter_map(|tensor| Some((weight(&tensor.name)?, tensor.shape)))
                .collect(),
            dialects: Vec::new(),
        }
    }

    /// Adds the names that a key table maps to the model's own, fused layers included.
    #[must_use]
    pub fn rules(mut self, name: &'static str, rules: &[KeyRule<'_>]) -> Self {
        let places = dialect::of_rules(rules, &self.modules);
        self.dialects.push((name, places));
        self
    }

    /// Adds other names of single modules: what each is called for the model's own name.
    #[must_use]
    pub fn names(mut self, name: &'static str, other: impl Fn(&str) -> Option<String>) -> Self {
        let places = self.modules.keys().filter_map(|module| {
            let place = Place::whole(module);
            other(module).map(|other| (other, place))
        });
        let places = places.collect();
        self.dialects.push((name, places));
        self
    }

    /// The names of its modules.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }
}

/// The models of a pipeline, and every spelling of their modules.
#[derive(Debug, Clone)]
pub struct LoraTargets {
    pub(super) targets: Vec<LoraTarget>,
    spellings: HashMap<String, Vec<Spelling>>,
}

/// What a name in a file may mean.
#[derive(Debug, Clone)]
pub(super) struct Spelling {
    /// The tool that writes it, and whose names it takes where they are not the model's own: `kohya (BFL names)`.
    pub(super) convention: String,
    /// The name without the tool's prefix.
    pub(super) local: String,
    /// Index of the target.
    pub(super) target: usize,
    pub(super) place: Place,
}

impl LoraTargets {
    /// All spellings of the modules of these models.
    pub fn new(targets: Vec<LoraTarget>) -> Self {
        let mut all = Self {
            targets: Vec::new(),
            spellings: HashMap::new(),
        };
        for (index, target) in targets.iter().enumerate() {
            let own = (target.modules.keys()).map(|module| (module.as_str(), Place::whole(module)));
            for (name, place) in own {
                all.spell((index, target.part), None, name, &place);
            }
            for (dialect, places) in &target.dialects {
                for (name, place) in places {
                    all.spell((index, target.part), Some(dialect), name, place);
                }
            }
        }
        all.targets = targets;
        all
    }

    fn spell(
        &mut self,
        (target, part): (usize, Part),
        dialect: Option<&str>,
        name: &str,
        place: &Place,
    ) {
        let namings = NAMINGS.iter().filter(|naming| naming.is_for(part));
        for naming in namings {
            let meanings = self.spellings.entry(naming.spell(name)).or_default();
            // the first tool in the table names it
            let known = |known: &Spelling| known.target == target && known.place == *place;
            if !meanings.iter().any(known) {
                meanings.push(Spelling {
                    convention: naming.convention(dialect),
                    local: name.to_owned(),
                    target,
                    place: place.clone(),
                });
            }
        }
    }

    /// What a layer of this name may be.
    pub(super) fn meanings(&self, name: &str) -> &[Spelling] {
        self.spellings.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every spelling that is known.
    pub(super) fn known(&self) -> impl Iterator<Item = (&str, &Spelling)> {
        (self.spellings.iter())
            .flat_map(|(name, meanings)| meanings.iter().map(move |one| (name.as_str(), one)))
    }
}
