//! The IP-Adapters of a pipeline: opened with it, loaded when they are needed.

use std::{path::Path, path::PathBuf, sync::Arc};

use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_core::pipeline::{AdapterFiles, LoadOptions, PipelineError, Slot};
use conceptrol_core::{AttentionPlanBuilder, SiteSelector};

use crate::adapter::{
    AdapterError, AdapterKind, ImageEncoder, ImageEncoderConfig, ImageProjection, IpAdapterLayout,
    IpAdapterSites, find_encoder,
};
use crate::config::FluxConfig;
use crate::pipeline::{Flux, FluxOptions, Request};
use crate::sites::attention_sites;

/// An IP-Adapter: its files, and its parts where they are in memory.
#[derive(Debug)]
pub(super) struct IpAdapter {
    layout: IpAdapterLayout,
    config: FluxConfig,
    file: PathBuf,
    encoder_path: PathBuf,
    encoder: Slot<ImageEncoder>,
    projection: Slot<ImageProjection>,
    sites: Slot<IpAdapterSites>,
}

impl IpAdapter {
    /// Compares the files of adapter and image encoder with what they are to be, without reading tensors.
    pub(super) fn open(
        files: &AdapterFiles,
        (layout, checkpoint): (IpAdapterLayout, Checkpoint),
        config: &FluxConfig,
        model: &Path,
        options: &LoadOptions<FluxOptions>,
    ) -> Result<Self, PipelineError> {
        layout.check(&checkpoint, config)?;
        options.check(checkpoint, options.dtype, |w| {
            drop(ImageProjection::new(&layout, w));
            drop(IpAdapterSites::new(&layout, config, w));
        })?;
        let encoder_path = match &files.image_encoder {
            Some(path) => path.clone(),
            None => find_encoder(layout.kind, &files.weights, model)?,
        };
        let encoder = Checkpoint::open(&encoder_path)?;
        let encoder_config = encoder_config(&layout, &encoder_path, &encoder)?;
        options.check(encoder, options.dtype, |w| {
            ImageEncoder::new(&encoder_config, w)
        })?;
        Ok(Self {
            layout,
            config: config.clone(),
            file: files.weights.clone(),
            encoder_path,
            encoder: Slot::new(options.residency),
            projection: Slot::new(options.residency),
            sites: Slot::new(options.residency),
        })
    }

    /// Who made it.
    pub(super) const fn kind(&self) -> AdapterKind {
        self.layout.kind
    }

    /// Whether it has weights for one of these sites.
    pub(super) fn acts_at(&self, sites: &SiteSelector) -> bool {
        let all = attention_sites(&self.config);
        (all.iter().take(self.layout.blocks)).any(|site| sites.matches(site))
    }

    /// What it sees pictures with.
    pub(super) fn encoder(
        &self,
        options: &LoadOptions<FluxOptions>,
    ) -> Result<Arc<ImageEncoder>, PipelineError> {
        self.encoder.get(|| {
            let file = Checkpoint::open_as(&self.encoder_path, options.files)?;
            let config = encoder_config(&self.layout, &self.encoder_path, &file)?;
            let encoder = |w: &_| ImageEncoder::new(&config, w);
            Ok(options.load(file, options.dtype, encoder)?)
        })
    }

    /// What makes image tokens of what the encoder sees.
    pub(super) fn projection(
        &self,
        options: &LoadOptions<FluxOptions>,
    ) -> Result<Arc<ImageProjection>, PipelineError> {
        self.projection.get(|| {
            let rest = self.layout.kind.blocks();
            self.part(options, rest, |w| ImageProjection::new(&self.layout, w))
        })
    }

    /// The weights of the image branch.
    pub(super) fn sites(
        &self,
        options: &LoadOptions<FluxOptions>,
    ) -> Result<Arc<IpAdapterSites>, PipelineError> {
        self.sites.get(|| {
            let rest = self.layout.kind.projection();
            let sites = |w: &_| IpAdapterSites::new(&self.layout, &self.config, w);
            self.part(options, rest, sites)
        })
    }

    /// A part of the file, which has the `rest` as well.
    fn part<M>(
        &self,
        options: &LoadOptions<FluxOptions>,
        rest: &str,
        build: impl FnOnce(&Weights) -> M,
    ) -> Result<M, PipelineError> {
        let file = Checkpoint::open_as(&self.file, options.files)?;
        let weights = options.weights(file, options.dtype);
        weights.ignore_unexpected(&format!("{rest}."));
        Ok(weights.build(build)?)
    }
}

impl Flux {
    /// Adds the layers of the IP-Adapters that the request's concepts use.
    pub(super) fn install_ip_adapters<'a>(
        &self,
        mut builder: AttentionPlanBuilder<'a>,
        request: &Request,
    ) -> Result<AttentionPlanBuilder<'a>, PipelineError> {
        let carries = |index| (request.conditioned()).any(|concept| concept.adapter == index);
        let used = self.readers.terms();
        let used: Vec<_> = used.filter(|(index, _)| carries(*index)).collect();
        for &(index, adapter) in &used {
            let layer = adapter.sites(&self.options)?.layer(request.extra.text_rows);
            // what is meant for another adapter alone is not for this one; what is for none, its layer refuses
            let elsewhere = |sites: &SiteSelector| {
                !adapter.acts_at(sites) && used.iter().any(|(_, other)| other.acts_at(sites))
            };
            let scales = request.site_scales.iter();
            let scales = scales.filter(|(sites, _)| !elsewhere(sites)).cloned();
            let layer = scales.fold(layer.adapter(index), |layer, (sites, scale)| {
                layer.site_scale(sites, scale)
            });
            builder = builder.layer(SiteSelector::joint(), layer);
        }
        Ok(builder)
    }
}

/// The configuration of an image encoder, which must give what the adapter reads.
fn encoder_config(
    layout: &IpAdapterLayout,
    path: &Path,
    file: &Checkpoint,
) -> Result<ImageEncoderConfig, AdapterError> {
    let config = ImageEncoderConfig::of(layout.kind, path, file)?;
    let (expected, actual) = (layout.embedding_dim, config.embedding_dim());
    if expected == actual {
        return Ok(config);
    }
    Err(AdapterError::Encoder { expected, actual })
}
