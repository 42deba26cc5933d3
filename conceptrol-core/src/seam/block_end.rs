//! What processors leave for the end of a block.

use burn::tensor::Tensor;

use crate::seam::{Ground, SiteId};

/// Terms that processors at an attention leave for the end of its block, where the model adds them to the latent rows: after
/// the output projection, the feed-forward part and their gates.
///
/// The other place where a term can go in is the attention's output, which a processor returns. Which of the two is part of
/// what an adapter was trained with. Only [sites that hand over the end of their block](crate::AttentionSite::has_block_end)
/// have this one: a layer checks that when it is installed.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use conceptrol_core::{
///     ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionPlan, AttentionProcessor, AttentionSite,
///     AttentionSites, BatchLayout, Grid, Ground, Session, SiteId, SiteKind, SiteSelector, layer_fn,
/// };
///
/// /// Adds 1 to the latents at the end of a block.
/// #[derive(Debug)]
/// struct One { inner: ArcProcessor }
///
/// impl AttentionProcessor for One {
///     fn attend(&self, call: AttentionCall, cx: &mut AttentionContext<'_>) -> Result<Tensor<4>, AttentionError> {
///         let [rows, heads, tokens, head_dim] = call.query.dims();
///         let term = Tensor::ones([rows, tokens, heads * head_dim], &call.query.device());
///         cx.block_end.add(cx.site.id, term);
///         self.inner.attend(call, cx)
///     }
/// }
///
/// let sites = AttentionSites::new([AttentionSite::new("attn1", SiteKind::SelfAttention, 2, 8, 1).with_block_end()]);
/// let plan = AttentionPlan::builder(&sites).layer(SiteSelector::all(), layer_fn(|_, inner| One { inner })).build()?;
/// let mut session = Session::new(&plan, BatchLayout::unguided(1), [])?;
///
/// // what a block of a model does
/// let (grid, device) = (Grid::new(2, 2), Device::flex());
/// let x = Tensor::<4>::zeros([1, 2, 4, 8], &device); // [rows, heads, tokens, head_dim]
/// session.attend(SiteId::new(0), AttentionCall::self_attention(x.clone(), x.clone(), x, grid))?;
/// let latents = Tensor::<3>::zeros([1, 4, 16], &device); // after attention and feed-forward part
/// let latents = session.end_block(latents, Ground::Latents(grid));
/// assert_eq!(latents.min().into_scalar::<f32>(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct BlockEnd {
    /// Where they were left, while there are any.
    site: Option<SiteId>,
    terms: Vec<Tensor<3>>,
}

impl BlockEnd {
    /// Leaves a term for the latent rows of the block that `site` is in.
    ///
    /// # Shapes
    ///
    /// `term`: `[rows, latents, heads * head_dim]`
    pub fn add(&mut self, site: SiteId, term: Tensor<3>) {
        self.site = Some(site);
        self.terms.push(term);
    }

    /// What was left so far, in order.
    pub fn terms(&self) -> &[Tensor<3>] {
        &self.terms
    }

    /// Where terms wait to be added.
    pub(super) const fn waiting(&self) -> Option<SiteId> {
        self.site
    }

    /// The rows of a block with what was left for its latents.
    pub(super) fn apply(&mut self, rows: Tensor<3>, ground: Ground) -> Tensor<3> {
        self.site = None;
        let terms = std::mem::take(&mut self.terms);
        let first = match ground {
            _ if terms.is_empty() => return rows,
            Ground::Joint { text, .. } => text,
            Ground::Latents(_) | Ground::Text | Ground::Whole => 0,
        };
        let add = |latents: Tensor<3>| terms.into_iter().fold(latents, |rows, term| rows + term);
        if first == 0 {
            return add(rows);
        }
        let latents = rows.dims()[1] - first;
        let text = rows.clone().narrow(1, 0, first);
        Tensor::cat(vec![text, add(rows.narrow(1, first, latents))], 1)
    }
}
