//! The plan: which processor computes which site.

use std::sync::Arc;

use crate::{
    concept::Concept,
    mask::MaskBoard,
    processors::Captures,
    seam::{
        ArcProcessor, AttentionSite, AttentionSites, BatchLayout, InstallError, ProcessorLayer,
        ProjectionCache, Sdpa, SiteId, SiteSelector, StepInfo,
    },
};

/// The resolved table of sites and processors: immutable, cheap to clone, shared by threads.
///
/// # Order
///
/// The layer added first sees a call first, as in tower. Conceptrol goes before the adapter
/// whose condition it gates.
///
/// # Example
///
/// ```
/// use conceptrol_core::{AttentionPlan, AttentionSite, AttentionSites, Identity, SiteKind, SiteSelector};
///
/// let sites = AttentionSites::new([AttentionSite::new("attn2", SiteKind::CrossAttention, 8, 40, 1)]);
/// let plan = AttentionPlan::builder(&sites).layer(SiteSelector::cross(), Identity).build()?;
/// assert_eq!(plan.sites().len(), 1);
///
/// let wrong = AttentionPlan::builder(&sites).layer(SiteSelector::named("atn2"), Identity).build();
/// assert_eq!(wrong.unwrap_err().to_string(), "no site matches `atn2`; did you mean `attn2`?");
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AttentionPlan {
    table: Arc<PlanTable>,
}

#[derive(Debug)]
struct PlanTable {
    sites: AttentionSites,
    processors: Vec<ArcProcessor>,
}

impl AttentionPlan {
    /// Starts a plan for a model.
    pub fn builder(sites: &AttentionSites) -> AttentionPlanBuilder<'_> {
        AttentionPlanBuilder {
            sites,
            layers: Vec::new(),
        }
    }

    /// The plan that computes plain attention everywhere.
    pub fn plain(sites: &AttentionSites) -> Self {
        let processors = sites
            .iter()
            .map(|_| Arc::new(Sdpa) as ArcProcessor)
            .collect();
        Self {
            table: Arc::new(PlanTable {
                sites: sites.clone(),
                processors,
            }),
        }
    }

    /// The sites of the model it was built for.
    pub fn sites(&self) -> &AttentionSites {
        &self.table.sites
    }

    /// Site and processor of a number.
    pub(crate) fn entry(&self, id: SiteId) -> Option<(&AttentionSite, &ArcProcessor)> {
        Some((
            self.table.sites.get(id)?,
            self.table.processors.get(id.index())?,
        ))
    }
}

/// Collects the layers of a plan.
#[derive(Debug)]
pub struct AttentionPlanBuilder<'a> {
    sites: &'a AttentionSites,
    layers: Vec<(SiteSelector, Box<dyn ProcessorLayer>)>,
}

impl AttentionPlanBuilder<'_> {
    /// Adds a layer inside those added before.
    pub fn layer(mut self, selector: SiteSelector, layer: impl ProcessorLayer + 'static) -> Self {
        self.layers.push((selector, Box::new(layer)));
        self
    }

    /// Resolves selectors and wraps every site.
    ///
    /// # Errors
    ///
    /// A selector that names no site, or a layer that does not fit the model.
    pub fn build(self) -> Result<AttentionPlan, InstallError> {
        let plan = AttentionPlan::plain(self.sites);
        let mut processors = plan.table.processors.clone();
        for (selector, layer) in self.layers.iter().rev() {
            layer.check(self.sites)?;
            for site in selector.resolve(self.sites)? {
                let inner = processors[site.id.index()].clone();
                processors[site.id.index()] = layer.layer(site, inner)?;
            }
        }
        Ok(AttentionPlan {
            table: Arc::new(PlanTable {
                sites: self.sites.clone(),
                processors,
            }),
        })
    }
}

/// What a processor sees and may change of the running generation.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttentionContext<'a> {
    /// The site that is called.
    pub site: &'a AttentionSite,
    /// The step it is called in.
    pub step: StepInfo,
    /// The rows of the call.
    pub batch: BatchLayout,
    /// The concepts of the generation.
    pub concepts: &'a [Concept],
    /// Strength of the image condition at this step.
    pub condition_strength: f32,
    /// Published concept masks.
    pub board: &'a mut MaskBoard,
    /// Step-invariant keys and values.
    pub cache: &'a mut ProjectionCache,
    /// What was captured for later study.
    pub captures: &'a mut Captures,
}
