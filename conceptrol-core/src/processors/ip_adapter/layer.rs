use std::{collections::HashMap, sync::Arc};

use super::{IpProjection, processor::IpAdapter};
use crate::{
    processors::site_scales::{SiteScales, check_scale},
    seam::{ArcProcessor, AttentionSite, InstallError, Installation, ProcessorLayer, SiteSelector},
};

/// Installs an IP-Adapter: `out + sum over concepts of scale * gate * attention(q, k_ip, v_ip)`.
///
/// Queries are those of the site [before they are rotated](crate::AttentionCall::unrotated_query). The sum goes into the
/// attention's output, or [to the end of its block](Self::after_block).
///
/// Keys and values of a picture are projected once per session. While the strength is 0
/// (warm-up) the branch is not computed at all; gates are still taken, so masks go on being read.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::{
///     AttentionPlan, AttentionSite, AttentionSites, SiteKind, SiteSelector, processors::{IpAdapterLayer, IpProjection},
/// };
///
/// let site = |name| AttentionSite::new(name, SiteKind::Joint, 2, 8, 1).with_block_end();
/// let sites = AttentionSites::new([site("double"), site("single")]);
/// let weight = || Tensor::<2>::ones([16, 32], &Device::flex()); // [inner, context]
/// let bias = || Tensor::<1>::zeros([16], &Device::flex());
/// let projection = IpProjection::new(weight(), weight()).biases(bias(), bias());
/// let adapter = IpAdapterLayer::new([("double".to_owned(), projection)]).after_block();
///
/// // without weights for a site it is refused, unless it may leave sites alone
/// let builder = || AttentionPlan::builder(&sites);
/// let error = builder().layer(SiteSelector::joint(), adapter.clone()).build().unwrap_err();
/// assert_eq!(error.to_string(), "the adapter has no weights for single");
/// let plan = builder().layer(SiteSelector::joint(), adapter.sparse()).build()?;
/// assert!(plan.to_string().contains("IpAdapter(scale 1, after the block) > Sdpa"));
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
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
    after_block: bool,
    sparse: bool,
}

impl IpAdapterLayer {
    /// An adapter with weights for these sites, by name.
    pub fn new(projections: impl IntoIterator<Item = (String, IpProjection)>) -> Self {
        Self {
            projections: Arc::new(projections.into_iter().collect()),
            scale: 1.0,
            site_scales: SiteScales::default(),
            adapter: 0,
            after_block: false,
            sparse: false,
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

    /// Serves the concepts whose reference tokens are [for this adapter](crate::ReferenceTokens::adapter()),
    /// when several adapters are installed.
    pub const fn adapter(mut self, adapter: usize) -> Self {
        self.adapter = adapter;
        self
    }

    /// Adds the branch at the [end of the block](crate::BlockEnd) instead of the attention's output (`XLabs`).
    pub const fn after_block(mut self) -> Self {
        self.after_block = true;
        self
    }

    /// Leaves sites alone that it has no weights for, and takes the gates of its concepts there, which have nothing to act
    /// on. Otherwise such a site is an error.
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }
}

impl ProcessorLayer for IpAdapterLayer {
    fn layer(
        &self,
        site: &AttentionSite,
        inner: ArcProcessor,
    ) -> Result<ArcProcessor, InstallError> {
        let wrong = |serves| InstallError::WrongKind {
            site: site.name.clone(),
            kind: site.kind.as_str(),
            layer: "IpAdapter",
            serves,
        };
        if !site.kind.sees_text() {
            return Err(wrong("cross- and joint-attention"));
        }
        let projection = self.projections.get(&site.name).cloned();
        if projection.is_none() && !self.sparse {
            return Err(InstallError::NoWeights {
                site: site.name.clone(),
            });
        }
        if self.after_block && projection.is_some() && !site.has_block_end {
            return Err(InstallError::NoBlockEnd {
                site: site.name.clone(),
            });
        }
        Ok(Arc::new(IpAdapter {
            projection,
            scale: self.scale * self.site_scales.at(site),
            adapter: self.adapter,
            after_block: self.after_block,
            inner,
        }))
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        let adapted = |site: &AttentionSite| self.projections.contains_key(&site.name);
        (self.site_scales).check(at, "that has the adapter", adapted)?;
        check_scale("the scale of the adapter", self.scale)
    }
}
