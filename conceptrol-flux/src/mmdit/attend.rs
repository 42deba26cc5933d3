//! The one attention call of a block.

use burn::tensor::Tensor;
use conceptrol_core::{AttentionCall, AttentionError, Session, SiteId, TokenLayout};

use super::heads::Qkv;
use super::rotary::Rotary;

/// What stays the same for all blocks of one evaluation.
#[derive(Debug)]
pub struct BlockContext<'a> {
    /// Modulation vector of the text and latent streams, `[batch, inner_dim]`.
    pub vector: Tensor<2>,
    /// Modulation vector of the condition stream; `None` without one.
    pub condition_vector: Option<Tensor<2>>,
    /// Rotations of the whole sequence.
    pub rotary: &'a Rotary,
    /// Which tokens of the sequence are which.
    pub layout: &'a TokenLayout,
}

impl BlockContext<'_> {
    /// Rotates queries and keys and lets the whole sequence attend to itself.
    ///
    /// # Shapes
    /// `[batch, tokens, inner_dim]`
    pub(crate) fn attend(
        &self,
        site: SiteId,
        qkv: Qkv,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let [batch, tokens, heads, head_dim] = qkv.v.dims();
        let unrotated = qkv.q.clone().swap_dims(1, 2);
        let q = self.rotary.apply(qkv.q).swap_dims(1, 2); // [b, h, n, d]
        let k = self.rotary.apply(qkv.k).swap_dims(1, 2);
        let v = qkv.v.swap_dims(1, 2);
        let call = AttentionCall::joint(q, k, v, self.layout.clone()).with_unrotated(unrotated);
        let attended = session.attend(site, call)?;
        Ok(attended
            .swap_dims(1, 2)
            .reshape([batch, tokens, heads * head_dim]))
    }
}
