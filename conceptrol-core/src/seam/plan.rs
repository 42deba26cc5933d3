//! The plan: which processor computes which site.

use std::{fmt, sync::Arc};

use crate::seam::{
    Adaptation, ArcProcessor, AttentionSite, AttentionSites, InstallError, Installation,
    ProcessorLayer, Sdpa, SiteId, SiteKind, SiteSelector, layered, name::Enumeration,
};

/// The resolved table of sites and processors: immutable, cheap to clone, shared by threads.
///
/// # Order
///
/// The layer added first sees a call first, as in tower. Conceptrol goes before the adapter
/// whose condition it gates.
///
/// Its display says what each site computes, outermost layer first; sites with the same stack are one line.
///
/// # Example
///
/// ```
/// use conceptrol_core::{
///     AttentionPlan, AttentionSite, AttentionSites, Identity, SiteKind, SiteSelector, processors::CaptureLayer,
/// };
///
/// let sites = AttentionSites::new([
///     AttentionSite::new("attn1", SiteKind::SelfAttention, 8, 40, 1),
///     AttentionSite::new("attn2", SiteKind::CrossAttention, 8, 40, 1),
/// ]);
/// let plan = AttentionPlan::builder(&sites).layer(SiteSelector::cross(), CaptureLayer::new()).build()?;
/// assert_eq!(plan.to_string(), "\
/// 2 sites
/// 1 self-attention   Sdpa
/// 1 cross-attention  Capture(0..1) > Sdpa");
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
    adaptations: Vec<Adaptation>,
}

impl AttentionPlan {
    /// Starts a plan for a model.
    pub fn builder(sites: &AttentionSites) -> AttentionPlanBuilder<'_> {
        AttentionPlanBuilder {
            sites,
            layers: Vec::new(),
            adaptations: Vec::new(),
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
                adaptations: Vec::new(),
            }),
        }
    }

    /// The sites of the model it was built for.
    pub fn sites(&self) -> &AttentionSites {
        &self.table.sites
    }

    /// The same plan with these additions to the outputs of modules before its own.
    #[cfg(feature = "models")]
    pub(crate) fn upon(&self, mut adaptations: Vec<Adaptation>) -> Self {
        adaptations.extend_from_slice(self.adaptations());
        Self {
            table: Arc::new(PlanTable {
                sites: self.table.sites.clone(),
                processors: self.table.processors.clone(),
                adaptations,
            }),
        }
    }

    /// What is added to the outputs of modules.
    pub fn adaptations(&self) -> &[Adaptation] {
        &self.table.adaptations
    }

    /// Site and processor of a number.
    pub(crate) fn entry(&self, id: SiteId) -> Option<(&AttentionSite, &ArcProcessor)> {
        Some((
            self.table.sites.get(id)?,
            self.table.processors.get(id.index())?,
        ))
    }
}

impl fmt::Display for AttentionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.groups();
        write!(f, "{} sites", self.sites().len())?;
        let digits = self.sites().len().to_string().len();
        for group in &groups {
            let (count, kind) = (group.sites.len(), group.kind.as_str());
            write!(f, "\n{count:digits$} {kind:15}  {}", group.stack)?;
            // the most common stack of a kind needs no names: it is at all the other sites
            let larger = |other: &Group<'_>| other.kind == group.kind && other.sites.len() > count;
            if groups.iter().any(larger) {
                let names = Enumeration(&group.sites);
                write!(f, "\n{:digits$}   at {names}", "")?;
            }
        }
        let mut adaptations = self.adaptations().iter();
        adaptations.try_for_each(|adaptation| write!(f, "\n{adaptation}"))
    }
}

/// Sites of a kind with the same stack, in execution order.
struct Group<'a> {
    kind: SiteKind,
    stack: String,
    sites: Vec<&'a str>,
}

impl AttentionPlan {
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (site, processor) in self.sites().iter().zip(&self.table.processors) {
            let stack = layered::stack(processor).join(" > ");
            let same = |group: &&mut Group<'_>| group.kind == site.kind && group.stack == stack;
            match groups.iter_mut().find(same) {
                Some(group) => group.sites.push(&site.name),
                None => groups.push(Group {
                    kind: site.kind,
                    stack,
                    sites: vec![&site.name],
                }),
            }
        }
        groups
    }
}

/// Collects the layers of a plan.
#[derive(Debug)]
pub struct AttentionPlanBuilder<'a> {
    sites: &'a AttentionSites,
    layers: Vec<(SiteSelector, Box<dyn ProcessorLayer>)>,
    adaptations: Vec<Adaptation>,
}

impl AttentionPlanBuilder<'_> {
    /// Adds a layer inside those added before.
    pub fn layer(mut self, selector: SiteSelector, layer: impl ProcessorLayer + 'static) -> Self {
        self.layers.push((selector, Box::new(layer)));
        self
    }

    /// Adds to the outputs of modules. Several add up.
    pub fn adapt(mut self, adaptation: Adaptation) -> Self {
        self.adaptations.push(adaptation);
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
            let selected = selector.resolve(self.sites)?;
            layer.check(&Installation::on(self.sites, selector))?;
            for site in selected {
                let processor = &mut processors[site.id.index()];
                *processor = layered::install(layer.as_ref(), site, Arc::clone(processor))?;
            }
        }
        Ok(AttentionPlan {
            table: Arc::new(PlanTable {
                sites: self.sites.clone(),
                processors,
                adaptations: self.adaptations,
            }),
        })
    }
}
