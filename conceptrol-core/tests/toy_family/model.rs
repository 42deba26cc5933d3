//! A denoiser. It knows nothing of concepts or pipelines: it hands its attention to the session.

use burn::tensor::Tensor;
use conceptrol_core::{
    AttentionCall, AttentionError, AttentionSite, AttentionSites, Grid, Session, SiteId, SiteKind,
    TokenLayout,
    models::nn::{Conv2d, LayerNorm, Linear},
    models::weights::Weights,
};

pub(crate) const WIDTH: usize = 16;
const HEADS: usize = 2;

#[derive(Debug)]
pub(crate) struct Denoiser {
    read: Conv2d,
    time: Linear,
    to_itself: Attention,
    to_text: Attention,
    write: Conv2d,
}

#[derive(Debug)]
struct Attention {
    site: SiteId,
    norm: LayerNorm,
    projections: [Linear; 4],
}

/// In the order of their evaluation.
pub(crate) fn sites() -> AttentionSites {
    let site = |name, kind| AttentionSite::new(name, kind, HEADS, WIDTH / HEADS, 1);
    AttentionSites::new([
        site("block.attn1", SiteKind::SelfAttention),
        site("block.attn2", SiteKind::CrossAttention),
    ])
}

impl Denoiser {
    pub(crate) fn new(w: &Weights) -> Self {
        Self {
            read: Conv2d::new(&w.at("read"), 4, WIDTH, 3, 1, 1),
            time: Linear::new(&w.at("time"), 1, WIDTH, true),
            to_itself: Attention::new(&w.at("block.attn1"), SiteId::new(0)),
            to_text: Attention::new(&w.at("block.attn2"), SiteId::new(1)),
            write: Conv2d::new(&w.at("write"), WIDTH, 4, 3, 1, 1),
        }
    }

    /// `latents` `[rows, 4, height, width]`, `text` `[rows, tokens, WIDTH]` -> as `latents`
    pub(crate) fn forward(
        &self,
        latents: Tensor<4>,
        timestep: f64,
        text: Tensor<3>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        let [rows, _, height, width] = latents.dims();
        let grid = Grid::new(height, width);
        let time = Tensor::full([1, 1, 1], timestep / 1000.0, &latents.device());
        let x = self
            .read
            .forward(latents)
            .reshape([rows, WIDTH, height * width]);
        let x = x.swap_dims(1, 2) + self.time.forward(time); // [rows, cells, WIDTH]
        let itself = TokenLayout::self_attention(grid);
        let x = self.to_itself.forward(x.clone(), x, itself, session)?;
        let layout = TokenLayout::cross(grid, text.dims()[1]);
        let x = self.to_text.forward(x, text, layout, session)?;
        Ok((self.write).forward(x.swap_dims(1, 2).reshape([rows, WIDTH, height, width])))
    }
}

impl Attention {
    fn new(w: &Weights, site: SiteId) -> Self {
        Self {
            site,
            norm: LayerNorm::new(&w.at("norm"), WIDTH, 1e-5),
            projections: ["to_q", "to_k", "to_v", "to_out"]
                .map(|name| Linear::new(&w.at(name), WIDTH, WIDTH, false)),
        }
    }

    /// `x` plus its attention to `from`, `[rows, tokens, WIDTH]` each.
    fn forward(
        &self,
        x: Tensor<3>,
        from: Tensor<3>,
        layout: TokenLayout,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let heads = |linear: &Linear, x: Tensor<3>| {
            let [rows, tokens, _] = x.dims();
            let split = [rows, tokens, HEADS, WIDTH / HEADS];
            linear
                .forward(self.norm.forward(x))
                .reshape(split)
                .swap_dims(1, 2)
        };
        let [q, k, v, out] = &self.projections;
        let (k, v) = (heads(k, from.clone()), heads(v, from));
        let call = AttentionCall::new(heads(q, x.clone()), k, v, layout);
        let attended = session.attend(self.site, call)?.swap_dims(1, 2); // [rows, cells, heads, d]
        let attended = attended.reshape(x.dims());
        Ok(x + out.forward(attended))
    }
}
