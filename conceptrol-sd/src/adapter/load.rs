use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::models::weights::{Checkpoint, Weights};
use conceptrol_core::processors::{IpAdapterLayer, IpProjection};
use conceptrol_core::{Adaptation, AttentionSite, AttentionSites, LowRank, SiteKind};

use super::face::{FacePair, face_pairs};
use super::{AdapterError, AdapterKind, ImageProjection, IpAdapterLayout};

/// The weights of an IP-Adapter: the projection to image tokens and the image keys and values of every
/// cross-attention site.
#[derive(Module, Debug)]
pub struct IpAdapterWeights {
    image_proj: ImageProjection,
    layers: Vec<IpAdapterSite>,
    /// The low-rank layers of a `FaceID` adapter.
    pairs: Vec<FacePair>,
    #[module(skip)]
    kind: AdapterKind,
}

/// The image keys and values of one cross-attention site.
#[derive(Module, Debug)]
pub struct IpAdapterSite {
    #[module(skip)]
    name: String,
    to_k_ip: Param<Tensor<2>>,
    to_v_ip: Param<Tensor<2>>,
}

impl IpAdapterSite {
    fn new(site: &AttentionSite, context: usize, w: &Weights) -> Self {
        let shape = [site.heads * site.head_dim, context];
        // Used once a generation; in f32 those of SDXL would take 1.4 GB instead of 0.7.
        let w = &w.keep_half();
        Self {
            name: site.name.clone(),
            to_k_ip: w.at("to_k_ip").tensor("weight", shape),
            to_v_ip: w.at("to_v_ip").tensor("weight", shape),
        }
    }

    /// The site's name as in diffusers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The weights as the processor takes them.
    pub fn projection(&self) -> IpProjection {
        IpProjection::new(self.to_k_ip.val(), self.to_v_ip.val())
    }
}

impl IpAdapterWeights {
    /// Loads a `.safetensors` or `.bin` file of the h94 layout for a model with these sites.
    ///
    /// # Errors
    /// If the file cannot be read, is no IP-Adapter or one of an unsupported kind, was made for another
    /// cross-attention dimension or other sites, or has missing, unexpected or wrongly shaped tensors.
    pub fn load(
        path: impl AsRef<Path>,
        sites: &AttentionSites,
        cross_attention_dim: usize,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Self, AdapterError> {
        let checkpoint = Checkpoint::open(path)?;
        Self::from_checkpoint(checkpoint, sites, cross_attention_dim, device, dtype)
    }

    /// As [`load`](Self::load), from a checkpoint that is open already.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) that are about content.
    pub fn from_checkpoint(
        checkpoint: Checkpoint,
        sites: &AttentionSites,
        cross_attention_dim: usize,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Self, AdapterError> {
        let layout = IpAdapterLayout::of(&checkpoint)?;
        Self::from_layout(
            layout,
            checkpoint,
            sites,
            cross_attention_dim,
            device,
            dtype,
        )
    }

    /// As [`from_checkpoint`](Self::from_checkpoint), for a layout that was read before.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) that are about content.
    pub fn from_layout(
        layout: IpAdapterLayout,
        checkpoint: Checkpoint,
        sites: &AttentionSites,
        cross_attention_dim: usize,
        device: &Device,
        dtype: FloatDType,
    ) -> Result<Self, AdapterError> {
        check_family(checkpoint.path(), &layout, sites, cross_attention_dim)?;
        let weights = Weights::from_checkpoint(checkpoint, device, dtype);
        let adapter = Self::new(layout.kind, sites, &weights);
        weights.finish()?;
        Ok(adapter)
    }

    /// Takes the weights of all cross-attention sites from the root of an adapter's checkpoint.
    pub fn new(kind: AdapterKind, sites: &AttentionSites, w: &Weights) -> Self {
        let layers = numbered(sites).into_iter().map(|(number, site)| {
            IpAdapterSite::new(site, kind.output_dim(), &w.at("ip_adapter").at(number))
        });
        let pairs = match &kind {
            AdapterKind::Face(config) => face_pairs(config, sites, &w.at("ip_adapter")),
            _ => Vec::new(),
        };
        Self {
            layers: layers.collect(),
            pairs,
            image_proj: ImageProjection::new(&kind, &w.at("image_proj")),
            kind,
        }
    }

    /// The projection from the image encoder to image tokens.
    pub fn image_proj(&self) -> &ImageProjection {
        &self.image_proj
    }

    /// The weights of each cross-attention site, in registration order.
    pub fn layers(&self) -> &[IpAdapterSite] {
        &self.layers
    }

    /// The layer that puts the image branch at these sites, with scale 1.
    pub fn layer(&self) -> IpAdapterLayer {
        let site = |site: &IpAdapterSite| (site.name.clone(), site.projection());
        IpAdapterLayer::new(self.layers.iter().map(site))
    }

    /// What it adds to projections beside the image branch, with strength 1; nothing but in `FaceID` adapters.
    pub fn adaptation(&self) -> Option<Adaptation> {
        let pair = |pair: &FacePair| (pair.module.clone(), vec![pair.low_rank()]);
        let modules: HashMap<String, Vec<LowRank>> = self.pairs.iter().map(pair).collect();
        (!modules.is_empty()).then(|| Adaptation::new("FaceID", Arc::new(modules)))
    }

    /// The kind of adapter and its sizes.
    pub fn kind(&self) -> &AdapterKind {
        &self.kind
    }
}

/// Cross-attention sites by the number an adapter file gives them: the position among *all* attention sites in
/// registration order (down, up, then mid), self-attention counted.
fn numbered(sites: &AttentionSites) -> BTreeMap<usize, &AttentionSite> {
    let all = sites.registration_order().enumerate();
    all.filter(|(_, site)| site.kind == SiteKind::CrossAttention)
        .collect()
}

/// Tells an adapter of another family by its sizes, before any tensor is read.
fn check_family(
    path: &Path,
    layout: &IpAdapterLayout,
    sites: &AttentionSites,
    cross_attention_dim: usize,
) -> Result<(), AdapterError> {
    let path = || path.to_owned();
    let adapter = layout.kind.output_dim();
    if adapter != cross_attention_dim {
        return Err(AdapterError::CrossAttentionDim {
            path: path(),
            adapter,
            model: cross_attention_dim,
        });
    }
    let numbered = numbered(sites);
    let in_model = |index: &&usize| !numbered.contains_key(index);
    let in_file = |index: &&usize| !layout.sites.contains(index);
    let lonely = layout
        .sites
        .iter()
        .filter(in_model)
        .chain(numbered.keys().filter(in_file))
        .min();
    match lonely {
        None => Ok(()),
        Some(index) => Err(AdapterError::Sites {
            path: path(),
            adapter: layout.sites.len(),
            model: numbered.len(),
            index: Some(*index),
        }),
    }
}
