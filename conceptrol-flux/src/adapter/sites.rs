use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::AttentionSite;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::processors::{IpAdapterLayer, IpProjection};

use super::{AdapterKind, IpAdapterLayout};
use crate::config::FluxConfig;
use crate::sites::attention_sites;

/// Epsilon of `InstantX`'s norm of keys (the default of its `RMSNorm`).
const KEY_NORM_EPS: f64 = 1e-5;

/// The image keys and values of the blocks of a transformer.
#[derive(Module, Debug)]
pub struct IpAdapterSites {
    sites: Vec<Site>,
    #[module(skip)]
    kind: AdapterKind,
    #[module(skip)]
    double_blocks: usize,
}

/// Those of one block.
#[derive(Module, Debug)]
struct Site {
    #[module(skip)]
    name: String,
    key: Param<Tensor<2>>,
    value: Param<Tensor<2>>,
    key_bias: Option<Param<Tensor<1>>>,
    value_bias: Option<Param<Tensor<1>>>,
}

impl IpAdapterSites {
    /// Takes the weights of every block from the root of an adapter's file.
    pub fn new(layout: &IpAdapterLayout, config: &FluxConfig, w: &Weights) -> Self {
        let sites = attention_sites(config);
        let w = w.at(layout.kind.blocks());
        let site = |(block, site): (usize, &AttentionSite)| {
            Site::new(layout, config, &site.name, &w.at(block))
        };
        Self {
            sites: sites
                .iter()
                .take(layout.blocks)
                .enumerate()
                .map(site)
                .collect(),
            kind: layout.kind,
            double_blocks: config.num_layers,
        }
    }

    /// Who made it.
    pub const fn kind(&self) -> AdapterKind {
        self.kind
    }

    /// The layer that puts the image branch at its blocks, with scale 1. With `text_rows` the text rows of `InstantX`'s single
    /// blocks look at the picture as well, as in the official code; no concept mask gates those.
    pub fn layer(&self, text_rows: bool) -> IpAdapterLayer {
        let sites = self.sites.iter().enumerate().map(|(block, site)| {
            let single = block >= self.double_blocks;
            let projection = site.projection(self.kind).text_rows(single && text_rows);
            (site.name.clone(), projection)
        });
        let layer = IpAdapterLayer::new(sites).sparse();
        match self.kind {
            AdapterKind::XLabs => layer.after_block(),
            AdapterKind::InstantX => layer,
        }
    }
}

impl Site {
    fn new(layout: &IpAdapterLayout, config: &FluxConfig, name: &str, w: &Weights) -> Self {
        let inner = config.inner_dim();
        // used once a generation; in f32 those of InstantX would take 5.7 GB
        let w = w.keep_half();
        let [key, value] = match layout.kind {
            AdapterKind::XLabs => ["k", "v"].map(|which| {
                w.at("processor")
                    .at(format!("ip_adapter_double_stream_{which}_proj"))
            }),
            AdapterKind::InstantX => ["to_k_ip", "to_v_ip"].map(|which| w.at(which)),
        };
        let bias =
            |w: &Weights| (layout.kind == AdapterKind::XLabs).then(|| w.tensor("bias", [inner]));
        Self {
            name: name.to_owned(),
            key_bias: bias(&key),
            value_bias: bias(&value),
            key: key.tensor("weight", [inner, layout.context_dim]),
            value: value.tensor("weight", [inner, layout.context_dim]),
        }
    }

    fn projection(&self, kind: AdapterKind) -> IpProjection {
        let projection = IpProjection::new(self.key.val(), self.value.val());
        let projection = match (&self.key_bias, &self.value_bias) {
            (Some(key), Some(value)) => projection.biases(key.val(), value.val()),
            _ => projection,
        };
        match kind {
            AdapterKind::XLabs => projection,
            AdapterKind::InstantX => projection.key_norm(KEY_NORM_EPS),
        }
    }
}
