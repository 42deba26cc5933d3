//! The method's own source: the map of a concept-specific block, published for all others.

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskNorm, MaskQuery, ResizeFilter},
    seam::{InstallError, Installation, MaskError, SiteSelector},
};

/// Whether the concept block itself already uses the mask it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Publish {
    /// Reads, publishes, then attends with the fresh mask (SD, SDXL).
    BeforeUse,
    /// Attends with the mask before, then publishes the fresh one (FLUX).
    AfterUse,
}

/// The mask of a site before anything was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BeforeFirst {
    /// The site's own map (SD, SDXL).
    Local,
    /// Ones: the condition acts everywhere (FLUX).
    Ones,
}

/// Reads the textual concept mask at a concept-specific block and publishes it for all sites.
///
/// # Source
///
/// Conceptrol (arXiv 2503.06568), sections 3.2 and 3.3; blocks of figure 6.
///
/// ```
/// use conceptrol_core::{SiteSelector, mask::ConceptBlock};
/// let paper = ConceptBlock::sd15();
/// let ablation = ConceptBlock::sd15().at(SiteSelector::under("mid_block"));
/// assert_ne!(paper, ablation);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConceptBlock {
    sites: SiteSelector,
    norm: MaskNorm,
    publish: Publish,
    before_first: BeforeFirst,
    filter: ResizeFilter,
}

impl ConceptBlock {
    /// A UNet's concept block: fresh mask at once, peak 1, local masks before the first.
    pub fn cross(sites: SiteSelector) -> Self {
        Self {
            sites,
            norm: MaskNorm::Max,
            publish: Publish::BeforeUse,
            before_first: BeforeFirst::Local,
            filter: ResizeFilter::Nearest,
        }
    }

    /// An MMDiT's concept block: mask used from the next site on, mean 1, ones before the first.
    pub fn joint(sites: SiteSelector) -> Self {
        Self {
            sites,
            norm: MaskNorm::Mean,
            publish: Publish::AfterUse,
            before_first: BeforeFirst::Ones,
            filter: ResizeFilter::Nearest,
        }
    }

    /// The block of Stable Diffusion 1.5, UP 1.0.0.
    pub fn sd15() -> Self {
        Self::cross(SiteSelector::named(
            "up_blocks.1.attentions.0.transformer_blocks.0.attn2",
        ))
    }

    /// The block of SDXL, UP 0.1.3.
    pub fn sdxl() -> Self {
        Self::cross(SiteSelector::named(
            "up_blocks.0.attentions.1.transformer_blocks.3.attn2",
        ))
    }

    /// The block of FLUX.1, double block 18.
    pub fn flux() -> Self {
        Self::joint(SiteSelector::named("transformer_blocks.18.attn"))
    }

    /// Where masks are read.
    pub const fn sites(&self) -> &SiteSelector {
        &self.sites
    }

    /// Reads the mask elsewhere, for other models and for ablations.
    pub fn at(mut self, sites: SiteSelector) -> Self {
        self.sites = sites;
        self
    }

    /// Sets the normalisation.
    pub const fn norm(mut self, norm: MaskNorm) -> Self {
        self.norm = norm;
        self
    }

    /// Sets whether the block itself uses its fresh mask.
    pub const fn publish(mut self, publish: Publish) -> Self {
        self.publish = publish;
        self
    }

    /// Sets the mask before the first.
    pub const fn before_first(mut self, before_first: BeforeFirst) -> Self {
        self.before_first = before_first;
        self
    }

    /// Sets the filter that brings the mask to other grids.
    pub const fn filter(mut self, filter: ResizeFilter) -> Self {
        self.filter = filter;
        self
    }
}

impl ConceptMaskSource for ConceptBlock {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let fresh = || query.concept_map().map(|map| map.normalized(self.norm));
        if !self.sites.matches(query.probe.site()) {
            return self.published(query, board).map(Some);
        }
        match self.publish {
            Publish::BeforeUse => {
                let mask = fresh()?;
                board.publish(query.index, mask.clone());
                Ok(Some(mask))
            }
            Publish::AfterUse => {
                let before = self.published(query, board)?;
                board.publish(query.index, fresh()?);
                Ok(Some(before))
            }
        }
    }

    fn publishes(&self) -> bool {
        true
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        at.resolve_readable(&self.sites).map(drop)
    }

    fn describe(&self) -> String {
        format!("{}, {:?}", self.sites, self.norm)
    }
}

impl ConceptBlock {
    fn published(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<ConceptMask, MaskError> {
        let grid = query.grid();
        if let Some(mask) = board.latest_on(query.index, grid, self.filter) {
            return Ok(mask);
        }
        match self.before_first {
            BeforeFirst::Local => Ok(query.concept_map()?.normalized(self.norm)),
            BeforeFirst::Ones => {
                let device = query.probe.call().query.device();
                Ok(ConceptMask::ones(grid, &device))
            }
        }
    }
}
