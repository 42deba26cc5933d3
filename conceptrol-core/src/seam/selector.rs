//! Choosing sites by kind and name, with set algebra.

use std::fmt;

use crate::seam::{AttentionSite, AttentionSites, InstallError, SiteKind};

/// Which sites a layer, a scale or a mask source means.
///
/// ```
/// use conceptrol_core::{AttentionSite, AttentionSites, SiteKind, SiteSelector};
///
/// let sites = AttentionSites::new([
///     AttentionSite::new("down_blocks.0.attn1", SiteKind::SelfAttention, 8, 40, 1),
///     AttentionSite::new("down_blocks.0.attn2", SiteKind::CrossAttention, 8, 40, 1),
///     AttentionSite::new("mid_block.attn2", SiteKind::CrossAttention, 8, 40, 2),
/// ]);
/// let selector = SiteSelector::cross().except(SiteSelector::under("mid_block"));
/// let names: Vec<_> = selector.resolve(&sites)?.iter().map(|s| s.name.clone()).collect();
/// assert_eq!(names, ["down_blocks.0.attn2"]);
///
/// let error = SiteSelector::named("mid_block.attn3").resolve(&sites).unwrap_err();
/// assert_eq!(error.to_string(), "no site matches `mid_block.attn3`; did you mean `mid_block.attn2`?");
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSelector(Expr);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expr {
    All,
    Kind(SiteKind),
    Named(String),
    Under(String),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

impl SiteSelector {
    /// Every site.
    pub const fn all() -> Self {
        Self(Expr::All)
    }

    /// The cross-attention sites.
    pub const fn cross() -> Self {
        Self(Expr::Kind(SiteKind::CrossAttention))
    }

    /// The self-attention sites.
    pub const fn self_attention() -> Self {
        Self(Expr::Kind(SiteKind::SelfAttention))
    }

    /// The joint-attention sites of an MMDiT.
    pub const fn joint() -> Self {
        Self(Expr::Kind(SiteKind::Joint))
    }

    /// The one site of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Expr::Named(name.into()))
    }

    /// The sites whose name starts with these dotted segments, such as `up_blocks.1`.
    pub fn under(prefix: impl Into<String>) -> Self {
        Self(Expr::Under(prefix.into()))
    }

    /// The sites in both.
    pub fn and(self, other: Self) -> Self {
        Self(Expr::And(Box::new(self.0), Box::new(other.0)))
    }

    /// The sites in either.
    pub fn or(self, other: Self) -> Self {
        Self(Expr::Or(Box::new(self.0), Box::new(other.0)))
    }

    /// The sites of this one that are not in `other`.
    pub fn except(self, other: Self) -> Self {
        self.and(Self(Expr::Not(Box::new(other.0))))
    }

    /// Whether this site is selected.
    pub fn matches(&self, site: &AttentionSite) -> bool {
        self.0.matches(site)
    }

    /// The selected sites in execution order.
    ///
    /// # Errors
    ///
    /// [`InstallError::UnknownSite`] when a name or a prefix within the selector matches no site
    /// of the model, with the closest existing name.
    pub fn resolve<'a>(
        &self,
        sites: &'a AttentionSites,
    ) -> Result<Vec<&'a AttentionSite>, InstallError> {
        self.0.check(sites)?;
        Ok(sites.iter().filter(|site| self.matches(site)).collect())
    }

    /// The selected sites that `serves` accepts, in execution order: what a source that can only use some sites asks.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve), and [`InstallError::Unserved`] when the selection, or a name or prefix in it,
    /// has no such site. `needs` says in the message what those sites are: "that sees words".
    pub fn resolve_where<'a>(
        &self,
        sites: &'a AttentionSites,
        needs: &'static str,
        serves: impl Fn(&AttentionSite) -> bool,
    ) -> Result<Vec<&'a AttentionSite>, InstallError> {
        let selected = self.resolve(sites)?;
        let mut parts = Vec::new();
        self.0.parts(&mut parts);
        let idle = parts
            .into_iter()
            .find(|part| !sites.iter().any(|site| part.matches(site) && serves(site)));
        let served: Vec<_> = selected.into_iter().filter(|site| serves(site)).collect();
        let idle = idle.or(served.is_empty().then_some(&self.0));
        match idle {
            None => Ok(served),
            Some(part) => Err(part.unserved(sites, needs, &serves)),
        }
    }
}

impl fmt::Display for SiteSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all sites"),
            Self::Kind(kind) => write!(f, "{kind}"),
            Self::Named(name) => f.write_str(name),
            Self::Under(prefix) => write!(f, "{prefix}.*"),
            Self::And(a, b) => match &**b {
                Self::Not(b) => write!(f, "({a} except {b})"),
                b => write!(f, "({a} and {b})"),
            },
            Self::Or(a, b) => write!(f, "({a} or {b})"),
            Self::Not(a) => write!(f, "not {a}"),
        }
    }
}

impl Expr {
    fn matches(&self, site: &AttentionSite) -> bool {
        match self {
            Self::All => true,
            Self::Kind(kind) => site.kind == *kind,
            Self::Named(name) => site.name == *name,
            Self::Under(prefix) => is_under(&site.name, prefix),
            Self::And(a, b) => a.matches(site) && b.matches(site),
            Self::Or(a, b) => a.matches(site) || b.matches(site),
            Self::Not(a) => !a.matches(site),
        }
    }

    fn check(&self, sites: &AttentionSites) -> Result<(), InstallError> {
        match self {
            Self::All | Self::Kind(_) => Ok(()),
            Self::Named(name) | Self::Under(name) => {
                if sites.iter().any(|site| self.matches(site)) {
                    return Ok(());
                }
                let suggestion = closest(name, sites);
                Err(InstallError::UnknownSite {
                    name: name.clone(),
                    suggestion,
                })
            }
            Self::And(a, b) | Self::Or(a, b) => a.check(sites).and_then(|()| b.check(sites)),
            Self::Not(a) => a.check(sites),
        }
    }

    /// The names and prefixes that add sites to the selection.
    fn parts<'a>(&'a self, parts: &mut Vec<&'a Self>) {
        match self {
            Self::Named(_) | Self::Under(_) => parts.push(self),
            Self::And(a, b) | Self::Or(a, b) => {
                a.parts(parts);
                b.parts(parts);
            }
            Self::All | Self::Kind(_) | Self::Not(_) => {}
        }
    }

    fn unserved(
        &self,
        sites: &AttentionSites,
        needs: &'static str,
        serves: &dyn Fn(&AttentionSite) -> bool,
    ) -> InstallError {
        let selector = self.to_string();
        let kind = match self {
            Self::Named(name) => sites.site(name).map(|site| site.kind.as_str()),
            _ => None,
        };
        let mut candidates: Vec<String> = sites
            .iter()
            .filter(|site| serves(site))
            .map(|site| site.name.clone())
            .collect();
        candidates.sort_by_cached_key(|name| edit_distance(&selector, name));
        InstallError::Unserved {
            selector,
            kind,
            needs,
            candidates,
        }
    }
}

fn is_under(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The site name with the smallest edit distance, if it is near enough to be meant.
fn closest(name: &str, sites: &AttentionSites) -> Option<String> {
    sites
        .iter()
        .map(|site| (edit_distance(name, &site.name), &site.name))
        .min()
        .filter(|(distance, site)| {
            *distance <= name.len().max(3) / 2 && name.len() <= 2 * site.len()
        })
        .map(|(_, site)| site.clone())
}

/// Levenshtein distance of the first bytes, which are all of a name that could be meant.
fn edit_distance(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|name| &name.as_bytes()[..name.len().min(256)]);
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
