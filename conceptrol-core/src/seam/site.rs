//! Attention sites: the operations of a model that a plan can be installed on.

use std::fmt;

/// Number of a site in execution order; what a model holds to say which call it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(usize);

impl SiteId {
    /// The site executed as number `index`, counted from 0.
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Position in execution order, counted from 0.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// What attends to what at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SiteKind {
    /// Latent tokens attend to latent tokens (`attn1`).
    SelfAttention,
    /// Latent tokens attend to text tokens (`attn2`).
    CrossAttention,
    /// Text, latent and condition tokens attend to each other (MMDiT).
    Joint,
}

impl SiteKind {
    /// Whether latent tokens attend to text tokens there, so that a textual map can be read.
    pub const fn sees_text(self) -> bool {
        match self {
            Self::SelfAttention => false,
            Self::CrossAttention | Self::Joint => true,
        }
    }

    /// The kind as a word for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfAttention => "self-attention",
            Self::CrossAttention => "cross-attention",
            Self::Joint => "joint-attention",
        }
    }
}

impl fmt::Display for SiteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One attention operation of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttentionSite {
    /// Number in execution order, set by [`AttentionSites::new`].
    pub id: SiteId,
    /// Name as in diffusers, such as `up_blocks.1.attentions.0.transformer_blocks.0.attn2`.
    pub name: String,
    /// What attends to what.
    pub kind: SiteKind,
    /// Number of heads.
    pub heads: usize,
    /// Channels of one head.
    pub head_dim: usize,
    /// Latent cells per token and axis: 1 at full resolution, 2 after one down-sampling.
    pub downsample: usize,
    /// Whether the model [hands over](crate::Session::end_block) the latent rows at the end of the block this attention is
    /// in, so that processors can [add](crate::BlockEnd) something there.
    pub has_block_end: bool,
}

impl AttentionSite {
    /// A site; its number is set when it enters an [`AttentionSites`].
    pub fn new(
        name: impl Into<String>,
        kind: SiteKind,
        heads: usize,
        head_dim: usize,
        downsample: usize,
    ) -> Self {
        Self {
            id: SiteId(0),
            name: name.into(),
            kind,
            heads,
            head_dim,
            downsample,
            has_block_end: false,
        }
    }

    /// Says that the model hands over the latent rows at the end of its block.
    pub const fn with_block_end(mut self) -> Self {
        self.has_block_end = true;
        self
    }
}

/// All attention sites of a model, in execution order, with the order in which the model
/// registers them (adapter files number their weights by the latter).
///
/// ```
/// use conceptrol_core::{AttentionSite, AttentionSites, SiteKind};
///
/// let cross = |name: &str| AttentionSite::new(name, SiteKind::CrossAttention, 8, 40, 1);
/// // a UNet executes its middle before its up path, and registers it last
/// let sites = AttentionSites::new([cross("down"), cross("mid"), cross("up")])
///     .with_registration_order(["down", "up", "mid"]);
/// assert_eq!(sites.site("up").unwrap().id.index(), 2);
/// assert_eq!(sites.registration_order().map(|s| &s.name).collect::<Vec<_>>(), ["down", "up", "mid"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionSites {
    execution: Vec<AttentionSite>,
    registration: Vec<SiteId>,
}

impl AttentionSites {
    /// The sites in execution order; the registration order is the same until it is given.
    pub fn new(execution_order: impl IntoIterator<Item = AttentionSite>) -> Self {
        let execution: Vec<_> = execution_order
            .into_iter()
            .enumerate()
            .map(|(index, site)| AttentionSite {
                id: SiteId(index),
                ..site
            })
            .collect();
        let registration = execution.iter().map(|site| site.id).collect();
        Self {
            execution,
            registration,
        }
    }

    /// Sets the order in which the model registers its sites.
    ///
    /// # Panics
    ///
    /// Panics unless `names` are exactly the sites' names, each once.
    pub fn with_registration_order<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        let registration: Vec<SiteId> = names
            .into_iter()
            .map(|name| {
                let name = name.as_ref();
                self.site(name)
                    .unwrap_or_else(|| panic!("{name} is not a site"))
                    .id
            })
            .collect();
        let mut sorted = registration.clone();
        sorted.sort_unstable();
        let all: Vec<_> = self.execution.iter().map(|site| site.id).collect();
        assert_eq!(
            sorted, all,
            "the registration order must name every site once"
        );
        self.registration = registration;
        self
    }

    /// Number of sites.
    pub fn len(&self) -> usize {
        self.execution.len()
    }

    /// Whether the model has no attention at all.
    pub fn is_empty(&self) -> bool {
        self.execution.is_empty()
    }

    /// The sites in execution order.
    pub fn iter(&self) -> std::slice::Iter<'_, AttentionSite> {
        self.execution.iter()
    }

    /// The sites in registration order.
    pub fn registration_order(&self) -> impl Iterator<Item = &AttentionSite> {
        self.registration.iter().map(|id| &self.execution[id.0])
    }

    /// The site of this name.
    pub fn site(&self, name: &str) -> Option<&AttentionSite> {
        self.execution.iter().find(|site| site.name == name)
    }

    /// The site of this number.
    pub fn get(&self, id: SiteId) -> Option<&AttentionSite> {
        self.execution.get(id.0)
    }
}

impl<'a> IntoIterator for &'a AttentionSites {
    type Item = &'a AttentionSite;
    type IntoIter = std::slice::Iter<'a, AttentionSite>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
