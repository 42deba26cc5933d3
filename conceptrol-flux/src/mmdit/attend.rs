//! The one attention call of a block.

use burn::tensor::Tensor;
use conceptrol_core::{AttentionCall, AttentionError, Projected, Session, SiteId, TokenLayout};

use super::heads::Qkv;
use super::reading::Reading;
use super::rotary::Rotary;

/// What stays the same for all blocks of one evaluation.
#[derive(Debug)]
pub struct BlockContext<'a> {
    /// Modulation vector of the text and latent streams, `[batch, inner_dim]`.
    pub vector: Tensor<2>,
    /// Modulation vector of the condition stream; `None` without one.
    pub condition_vector: Option<Tensor<2>>,
    /// How the condition stream passes.
    pub reading: Reading,
    /// Rotations of the whole sequence.
    pub rotary: &'a Rotary,
    /// Which tokens of the sequence are which.
    pub layout: &'a TokenLayout,
}

impl BlockContext<'_> {
    /// Rotates queries and keys and lets the whole sequence attend to itself; conditions whose keys and values are kept are
    /// among the keys, whether they are in `qkv` or not.
    ///
    /// # Shapes
    /// `[batch, tokens, inner_dim]`, the tokens of `qkv`
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
        let (k, v) = match self.reading.is_kept() {
            true => self.with_kept(site, k, v, session),
            false => (k, v),
        };
        let call = AttentionCall::joint(q, k, v, self.layout.clone()).with_unrotated(unrotated);
        let attended = session.attend(site, call)?;
        Ok(attended
            .swap_dims(1, 2)
            .reshape([batch, tokens, heads * head_dim]))
    }

    /// Keeps the keys and values of the conditions behind the latents, or puts those that were kept there.
    fn with_kept(
        &self,
        site: SiteId,
        k: Tensor<4>,
        v: Tensor<4>,
        session: &mut Session,
    ) -> (Tensor<4>, Tensor<4>) {
        if let Some((kept_k, kept_v)) = session.kept(site, Projected::Conditions) {
            return (
                Tensor::cat(vec![k, kept_k], 2),
                Tensor::cat(vec![v, kept_v], 2),
            );
        }
        let (tokens, start) = (k.dims()[2], self.layout.latents.range.end);
        if tokens > start {
            let behind = |x: &Tensor<4>| x.clone().narrow(2, start, tokens - start);
            session.keep(site, Projected::Conditions, (behind(&k), behind(&v)));
        }
        (k, v)
    }
}
