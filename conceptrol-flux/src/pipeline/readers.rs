//! What reads reference pictures: the model itself, or adapters.

use std::{collections::HashMap, path::Path};

use conceptrol_core::{
    models::{
        lora::{self, LoraFile, LoraTargets},
        weights::Checkpoint,
    },
    pipeline::{AdapterFiles, ConceptRequest, LoadOptions, PipelineError, Slot},
};

use crate::adapter::AdapterFile;
use crate::config::FluxConfig;
use crate::mmdit::Adapters;
use crate::pipeline::{FluxOptions, Kind, ip_adapters::IpAdapter};
use crate::redux::{Redux, ReduxFiles};

/// One that concepts name by its number.
#[derive(Debug)]
pub(super) enum Reader {
    /// The transformer, from tokens beside the latents.
    Kontext,
    /// OminiControl's additions for condition tokens.
    Omini,
    /// Tokens of the text stream.
    Redux(ReduxFiles, Slot<Redux>),
    /// An IP-Adapter, with terms of a branch of its own.
    Terms(Box<IpAdapter>),
}

/// All of a model: the model first, if it reads pictures itself, then its adapters in their order.
#[derive(Debug, Default)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// What OminiControl adds to the layers.
    pub(super) additions: Adapters,
}

impl Readers {
    /// Recognises each adapter by its tensors, and checks it. `model` is the folder that image encoders are looked for in.
    pub(super) fn open(
        kind: Kind,
        config: &FluxConfig,
        model: &Path,
        options: &LoadOptions<FluxOptions>,
        targets: impl Fn() -> LoraTargets,
    ) -> Result<Self, PipelineError> {
        let mut readers = Self::default();
        if kind.reads_references() {
            readers.all.push(Reader::Kontext);
        }
        for files in &options.adapters {
            if files.face_shortcut.is_some() {
                return unsupported("shortcut: it is no FaceID plus");
            }
            let reader = readers.recognise(files, config, model, options, &targets)?;
            readers.all.push(reader);
        }
        let omini = |reader: &Reader| matches!(reader, Reader::Omini);
        if options.extra.independent_conditions && !readers.all.iter().all(omini) {
            return unsupported("independent conditions but those of OminiControl");
        }
        let terms = readers.terms().count();
        // one mask for each concept is read, and normalised in one way
        if terms != 0 && terms != readers.all.len() {
            return unsupported("ip-adapter beside what reads pictures as tokens");
        }
        Ok(readers)
    }

    fn recognise(
        &mut self,
        files: &AdapterFiles,
        config: &FluxConfig,
        model: &Path,
        options: &LoadOptions<FluxOptions>,
        targets: impl Fn() -> LoraTargets,
    ) -> Result<Reader, PipelineError> {
        if let Some(redux) = ReduxFiles::open(files, config.joint_attention_dim)? {
            return Ok(Reader::Redux(redux, Slot::new(options.residency)));
        }
        // a folder is of diffusers or peft, which the low-rank reader knows
        if files.weights.is_file() {
            let checkpoint = Checkpoint::open(&files.weights)?;
            if let AdapterFile::Ip(layout) = AdapterFile::of(&checkpoint)? {
                let file = (layout, checkpoint);
                let adapter = IpAdapter::open(files, file, config, model, options)?;
                return Ok(Reader::Terms(Box::new(adapter)));
            }
        }
        let beside = |other: &Reader| matches!(other, Reader::Kontext | Reader::Omini);
        if self.all.iter().any(beside) {
            return unsupported(
                "second reader of pictures beside the latents: OminiControl is one, Kontext another",
            );
        }
        self.additions = condition_adapter(files, options, targets())?;
        Ok(Reader::Omini)
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.all.len()
    }

    /// The one a concept names; requests are checked before.
    pub(super) fn of(&self, concept: &ConceptRequest) -> Option<&Reader> {
        self.get(concept.adapter)
    }

    pub(super) fn get(&self, number: usize) -> Option<&Reader> {
        self.all.get(number)
    }

    /// The IP-Adapters, with their numbers.
    pub(super) fn terms(&self) -> impl Iterator<Item = (usize, &IpAdapter)> {
        let numbered = self.all.iter().enumerate();
        numbered.filter_map(|(number, reader)| match reader {
            Reader::Terms(adapter) => Some((number, &**adapter)),
            _ => None,
        })
    }

    pub(super) fn has_terms(&self) -> bool {
        self.terms().next().is_some()
    }

    /// What each is called.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|reader| match reader {
            Reader::Kontext => "kontext",
            Reader::Omini => "ominicontrol",
            Reader::Redux(..) => "redux",
            Reader::Terms(_) => "ip_adapter",
        })
    }
}

/// The additions of OminiControl.
fn condition_adapter(
    files: &AdapterFiles,
    options: &LoadOptions<FluxOptions>,
    targets: LoraTargets,
) -> Result<Adapters, PipelineError> {
    if files.image_encoder.is_some() {
        return unsupported("image encoder: OminiControl reads pictures with the autoencoder");
    }
    let adapter = LoraFile::open(&files.weights)?.read(&targets, 1.0)?;
    let mut additions = HashMap::new();
    for (part, deltas) in adapter.parts() {
        if part != lora::Part::Denoiser {
            return unsupported("adapter of text encoders that reads reference pictures");
        }
        additions = deltas.apart(&options.device, options.dtype)?;
    }
    Ok(Adapters::new(additions))
}

fn unsupported<T>(what: &str) -> Result<T, PipelineError> {
    Err(PipelineError::Unsupported {
        family: "FLUX",
        what: what.to_owned(),
    })
}
