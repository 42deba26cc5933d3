//! What reads reference pictures: the model itself, or adapters.

use std::collections::HashMap;

use conceptrol_core::{
    models::lora::{self, LoraFile, LoraTargets},
    pipeline::{AdapterFiles, ConceptRequest, LoadOptions, PipelineError, Slot},
};

use crate::config::FluxConfig;
use crate::mmdit::Adapters;
use crate::pipeline::{FluxOptions, Kind};
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
}

/// All of a model: the model first, if it reads pictures itself, then its adapters in their order.
#[derive(Debug, Default)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// What OminiControl adds to the layers.
    pub(super) additions: Adapters,
}

impl Readers {
    /// Recognises each adapter by its tensors.
    pub(super) fn open(
        kind: Kind,
        config: &FluxConfig,
        options: &LoadOptions<FluxOptions>,
        targets: impl Fn() -> LoraTargets,
    ) -> Result<Self, PipelineError> {
        let mut readers = Self::default();
        if kind.reads_references() {
            readers.all.push(Reader::Kontext);
        }
        for files in &options.adapters {
            let redux = ReduxFiles::open(files, config.joint_attention_dim)?;
            let reader = match redux {
                Some(redux) => Reader::Redux(redux, Slot::new(options.residency)),
                None => {
                    readers.add_omini(files, options, targets())?;
                    Reader::Omini
                }
            };
            readers.all.push(reader);
        }
        Ok(readers)
    }

    fn add_omini(
        &mut self,
        files: &AdapterFiles,
        options: &LoadOptions<FluxOptions>,
        targets: LoraTargets,
    ) -> Result<(), PipelineError> {
        let unsupported = |what: &str| {
            let (family, what) = ("FLUX", what.to_owned());
            Err(PipelineError::Unsupported { family, what })
        };
        let beside = |other: &Reader| !matches!(other, Reader::Redux(..));
        if self.all.iter().any(beside) {
            return unsupported(
                "second reader of pictures beside the latents: OminiControl is one, Kontext another",
            );
        }
        if files.image_encoder.is_some() {
            return unsupported(
                "image encoder for OminiControl, which reads pictures with the autoencoder",
            );
        }
        let adapter = LoraFile::open(&files.weights)?.read(&targets, 1.0)?;
        let mut additions = HashMap::new();
        for (part, deltas) in adapter.parts() {
            if part != lora::Part::Denoiser {
                return unsupported("adapter of text encoders that reads reference pictures");
            }
            additions = deltas.apart(&options.device, options.dtype)?;
        }
        self.additions = Adapters::new(additions);
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The one a concept names; requests are checked before.
    pub(super) fn of(&self, concept: &ConceptRequest) -> Option<&Reader> {
        self.get(concept.adapter)
    }

    pub(super) fn get(&self, number: usize) -> Option<&Reader> {
        self.all.get(number)
    }
}
