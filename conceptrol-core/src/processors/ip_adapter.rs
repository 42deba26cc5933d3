//! IP-Adapter: a second cross-attention, to the tokens of a reference picture.

use std::{collections::HashMap, sync::Arc};

use burn::tensor::{FloatDType, Tensor};

use super::site_scales::{SiteScales, check_scale};
use crate::{
    concept::ReferenceTokens,
    kernel,
    seam::{
        ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor,
        AttentionSite, BatchLayout, CacheKey, Gate, InstallError, Installation, ProcessorLayer,
        Projected, SiteKind, SiteSelector,
    },
};

/// The weights of an adapter at one site; cast to the type of the image tokens when keys and values are projected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IpProjection {
    /// `to_k_ip`, `[inner, context]`
    pub key: Tensor<2>,
    /// `to_v_ip`, `[inner, context]`
    pub value: Tensor<2>,
}

impl IpProjection {
    /// The weights `to_k_ip` and `to_v_ip`, `[inner, context]` each.
    pub const fn new(key: Tensor<2>, value: Tensor<2>) -> Self {
        Self { key, value }
    }
}

/// Installs an IP-Adapter: `out + sum over concepts of scale * gate * attention(q, k_ip, v_ip)`.
///
/// Keys and values of a picture are projected once per session. While the strength is 0
/// (warm-up) the branch is not computed at all; gates are still taken, so masks go on being read.
///
/// # Source
///
/// IP-Adapter (arXiv 2308.06721), equation 5; gates: Conceptrol (arXiv 2503.06568), equation 7.
#[derive(Debug, Clone)]
pub struct IpAdapterLayer {
    projections: Arc<HashMap<String, IpProjection>>,
    scale: f32,
    site_scales: SiteScales,
    adapter: usize,
}

impl IpAdapterLayer {
    /// An adapter with weights for these sites, by name.
    pub fn new(projections: impl IntoIterator<Item = (String, IpProjection)>) -> Self {
        Self {
            projections: Arc::new(projections.into_iter().collect()),
            scale: 1.0,
            site_scales: SiteScales::default(),
            adapter: 0,
        }
    }

    /// Sets the factor on the adapter's branch, beside the session's condition strength and each
    /// concept's own scale.
    pub const fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the factor at some sites; sites that no selector names keep 1, the last one that
    /// names a site wins.
    pub fn site_scale(mut self, sites: SiteSelector, scale: f32) -> Self {
        self.site_scales.push(sites, scale);
        self
    }

    /// Serves the concepts whose reference tokens are [for this adapter](ReferenceTokens::adapter()),
    /// when several adapters are installed.
    pub const fn adapter(mut self, adapter: usize) -> Self {
        self.adapter = adapter;
        self
    }
}

impl ProcessorLayer for IpAdapterLayer {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        if site.kind != SiteKind::CrossAttention {
            return Err(InstallError::WrongKind {
                site: site.name.clone(),
                kind: site.kind.as_str(),
                layer: "IpAdapter",
                serves: "cross-attention",
            });
        }
        let Some(projection) = self.projections.get(&site.name) else {
            return Err(InstallError::NoWeights {
                site: site.name.clone(),
            });
        };
        Ok(Arc::new(IpAdapter {
            projection: projection.clone(),
            scale: self.scale * self.site_scales.at(site),
            adapter: self.adapter,
            inner,
        }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        let adapted = |site: &AttentionSite| self.projections.contains_key(&site.name);
        (self.site_scales).check(at, "that has the adapter", adapted)?;
        check_scale("the scale of the adapter", self.scale)
    }
}

#[derive(Debug)]
struct IpAdapter {
    projection: IpProjection,
    scale: f32,
    adapter: usize,
    inner: ArcProcessor,
}

impl AttentionProcessor for IpAdapter {
    fn attend(
        &self,
        mut call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let concepts = cx.concepts;
        let reference = |concept: usize| {
            concepts
                .get(concept)
                .and_then(|concept| concept.reference.as_ref())
        };
        let serves = |reference: &ReferenceTokens| reference.adapter == self.adapter;
        if let Some(gate) = call
            .gates()
            .iter()
            .find(|gate| reference(gate.concept).is_none())
        {
            let concept = concepts
                .get(gate.concept)
                .map_or_else(String::new, |concept| concept.name.clone());
            return Err(AttentionError::NoReference { concept });
        }
        let gates = call.take_gates(|gate| reference(gate.concept).is_some_and(serves));
        let query = call.query.clone();
        let mut out = self.inner.attend(call, cx)?;
        for (index, concept) in concepts.iter().enumerate() {
            let scale = self.scale * cx.condition_strength * concept.scale;
            let Some(reference) = concept
                .reference
                .as_ref()
                .filter(|reference| serves(reference))
            else {
                continue;
            };
            if scale == 0.0 {
                continue;
            }
            let branch = self.branch(query.clone(), index, reference, cx)?; // [rows, heads, q, d]
            out = match gates.iter().find(|gate| gate.concept == index) {
                Some(gate) => {
                    let dtype = FloatDType::from(branch.dtype());
                    out + branch * gate_rows(gate, cx.batch, scale).cast(dtype)
                }
                None => out + branch * scale,
            };
        }
        Ok(out)
    }

    fn describe(&self) -> String {
        match self.adapter {
            0 => format!("IpAdapter(scale {})", self.scale),
            adapter => format!("IpAdapter({adapter}, scale {})", self.scale),
        }
    }
}

impl IpAdapter {
    fn branch(
        &self,
        query: Tensor<4>,
        concept: usize,
        reference: &ReferenceTokens,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        let [_, _, found] = reference.conditional.dims();
        let [_, expected] = self.projection.key.dims();
        if found != expected {
            return Err(AttentionError::WrongReference { found, expected });
        }
        let (batch, heads) = (cx.batch, cx.site.heads);
        let key = CacheKey::new(cx.site.id, Projected::Reference(concept));
        let (key, value) = cx.cache.get_or_project(key, || {
            let tokens = reference.rows(batch); // [rows, tokens, context]
            let dtype = FloatDType::from(tokens.dtype());
            let project = |weight: &Tensor<2>| {
                let weight = weight.clone().cast(dtype);
                split_heads(kernel::linear(tokens.clone(), weight, None), heads)
            };
            (
                project(&self.projection.key),
                project(&self.projection.value),
            )
        });
        Ok(kernel::attention(query, key, value, None))
    }
}

/// `[rows, tokens, heads * d]` to `[rows, heads, tokens, d]`.
fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [rows, tokens, inner] = x.dims();
    x.reshape([rows, tokens, heads, inner / heads])
        .swap_dims(1, 2)
}

/// The gate times `scale` for every row of the batch, those of a picture alike, in f32 as masks are,
/// `[rows, 1, latents, 1]`.
fn gate_rows(gate: &Gate, batch: BatchLayout, scale: f32) -> Tensor<4> {
    let mask = gate.mask.clone() * scale;
    let [rows, latents] = mask.dims();
    // one mask for all rows broadcasts
    let mask = match rows {
        1 => mask,
        _ => batch.by_role(&mask, || mask.clone()),
    };
    mask.reshape([
        -1,
        1,
        i32::try_from(latents).expect("fewer than 2^31 tokens"),
        1,
    ])
}
