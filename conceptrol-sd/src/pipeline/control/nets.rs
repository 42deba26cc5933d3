//! The `ControlNets` of a pipeline, loaded when they are first needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use conceptrol_core::pipeline::{LoadOptions, PipelineError, Slot};

use super::request::acting;
use crate::{
    config::UNetConfig,
    controlnet::{ControlNetError, ControlNetFiles, ControlNetModel, PictureEmbedding},
    pipeline::{Request, StableDiffusion},
};

/// The nets that a request uses, by their numbers.
pub(in crate::pipeline) type LoadedNets = BTreeMap<usize, Arc<ControlNetModel>>;

/// All nets of a pipeline.
#[derive(Debug)]
pub(in crate::pipeline) struct Nets(Vec<(ControlNetFiles, Slot<ControlNetModel>)>);

impl Nets {
    /// Opens the files of the options, and compares them with the UNet.
    pub(in crate::pipeline) fn open(
        options: &LoadOptions,
        unet: &UNetConfig,
        latent_channels: usize,
        downscale: usize,
    ) -> Result<Self, PipelineError> {
        let nets = options.controlnets.iter().map(|path| {
            let files = ControlNetFiles::open(path, unet, latent_channels, options)?;
            check_downscale(&files, downscale)?;
            Ok((files, Slot::new(options.residency)))
        });
        Ok(Self(nets.collect::<Result<_, PipelineError>>()?))
    }

    /// Bytes of the nets that a request uses and that are not in memory.
    pub(in crate::pipeline) fn unloaded(&self, request: &Request) -> u64 {
        let used: BTreeSet<usize> = acting(request).map(|control| control.net).collect();
        let nets = used.into_iter().filter_map(|index| self.0.get(index));
        let nets = nets.filter(|(_, net)| !net.is_loaded());
        nets.map(|(files, _)| files.bytes()).sum()
    }
}

impl StableDiffusion {
    /// The files of the `ControlNets`, in the order requests number them.
    pub fn controlnets(&self) -> impl ExactSizeIterator<Item = &ControlNetFiles> {
        self.controlnets.0.iter().map(|(files, _)| files)
    }

    /// A `ControlNet`.
    ///
    /// # Errors
    ///
    /// Those of loading it.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of [`controlnets`](Self::controlnets).
    pub fn controlnet(&self, index: usize) -> Result<Arc<ControlNetModel>, PipelineError> {
        let (files, net) = &self.controlnets.0[index];
        Ok(net.get(|| files.load(&self.options))?)
    }

    /// What a `ControlNet` makes of its picture: that of the net if it is in memory, alone otherwise.
    pub(super) fn picture_embedding(
        &self,
        index: usize,
    ) -> Result<PictureEmbedding, PipelineError> {
        let (files, net) = &self.controlnets.0[index];
        if net.is_loaded() {
            return Ok(self.controlnet(index)?.embedding().clone());
        }
        Ok(files.load_embedding(&self.options)?)
    }

    /// The nets of all controls that act.
    pub(in crate::pipeline) fn nets(&self, request: &Request) -> Result<LoadedNets, PipelineError> {
        let nets = acting(request).map(|control| Ok((control.net, self.controlnet(control.net)?)));
        nets.collect()
    }
}

/// That a net makes of a picture what is as large as latents.
fn check_downscale(files: &ControlNetFiles, expected: usize) -> Result<(), ControlNetError> {
    let found = files.config().downscale();
    if found == expected {
        return Ok(());
    }
    Err(ControlNetError::WrongModel {
        path: files.path().to_owned(),
        axis: "pixels along a side of a latent cell".into(),
        found,
        expected,
    })
}
