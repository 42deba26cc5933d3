use std::slice;

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::nn::Linear;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{
    AttentionCall, AttentionError, AttentionSite, Grid, Ground, Session, SiteId, SiteKind,
};

/// The projections around one attention site.
#[derive(Module, Debug)]
pub(super) struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    #[module(skip)]
    site: SiteId,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    reads_text: bool,
}

impl Attention {
    /// Takes the next of `sites`, which are those of the model in execution order.
    pub(super) fn new(
        query_dim: usize,
        context_dim: usize,
        sites: &mut slice::Iter<'_, AttentionSite>,
        w: &Weights,
    ) -> Self {
        let site = sites
            .next()
            .expect("the configuration lists every attention as a site");
        let inner = site.heads * site.head_dim;
        let reads_text = site.kind == SiteKind::CrossAttention;
        let key_dim = if reads_text { context_dim } else { query_dim };
        Self {
            to_q: Linear::new(&w.at("to_q"), query_dim, inner, false),
            to_k: Linear::new(&w.at("to_k"), key_dim, inner, false),
            to_v: Linear::new(&w.at("to_v"), key_dim, inner, false),
            // Entry 1 of diffusers' list is a dropout.
            to_out: Linear::new(&w.at("to_out").at(0), inner, query_dim, true),
            site: site.id,
            heads: site.heads,
            reads_text,
        }
    }

    /// # Shapes
    /// - tokens: `[batch, cells of the grid, query_dim]`
    /// - context: `[batch, text_len, context_dim]`
    /// - output: as tokens
    pub(super) fn forward(
        &self,
        tokens: Tensor<3>,
        context: &Tensor<3>,
        grid: Grid,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let latents = Ground::Latents(grid);
        let q = self.heads(self.to_q.adapted(tokens.clone(), latents, session));
        let call = if self.reads_text {
            let (k, v) = self.text_keys_values(context, session);
            AttentionCall::cross(q, k, v, grid)
        } else {
            let k = self.to_k.adapted(tokens.clone(), latents, session);
            let v = self.to_v.adapted(tokens, latents, session);
            AttentionCall::self_attention(q, self.heads(k), self.heads(v), grid)
        };
        let out = session.attend(self.site, call)?; // [batch, heads, cells, head_dim]
        let [batch, heads, cells, head_dim] = out.dims();
        let out = out
            .swap_dims(1, 2)
            .reshape([batch, cells, heads * head_dim]);
        Ok(self.to_out.adapted(out, latents, session))
    }

    /// The text is the same at every step of a session.
    fn text_keys_values(
        &self,
        context: &Tensor<3>,
        session: &mut Session,
    ) -> (Tensor<4>, Tensor<4>) {
        let modules = [self.to_k.name(), self.to_v.name()];
        session.constant(self.site, &modules, |session| {
            let k = self.to_k.adapted(context.clone(), Ground::Text, session);
            let v = self.to_v.adapted(context.clone(), Ground::Text, session);
            (self.heads(k), self.heads(v))
        })
    }

    /// `[batch, tokens, heads * head_dim]` -> `[batch, heads, tokens, head_dim]`, a view.
    fn heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, inner] = x.dims();
        x.reshape([batch, tokens, self.heads, inner / self.heads])
            .swap_dims(1, 2)
    }
}
