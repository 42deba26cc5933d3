//! The single block: text and latents as one sequence, attention and MLP side by side.

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, Ground, Session, SiteId, kernel};

use super::attend::BlockContext;
use super::heads::{Heads, LATENT_NAMES, Qkv};
use super::linear::{Stream, StreamLinear};
use super::modulation::{Modulation, modulate};
use crate::config::FluxConfig;
use conceptrol_core::models::nn::keep_finite;

/// The two token streams between single blocks.
#[derive(Debug)]
pub(crate) struct JoinedStreams {
    /// Text, then latents: `[batch, text + latent tokens, inner_dim]`
    pub(crate) main: Tensor<3>,
    /// `[batch, tokens of all conditions, inner_dim]`
    pub(crate) condition: Option<Tensor<3>>,
}

/// One single block of the transformer.
#[derive(Module, Debug)]
pub(crate) struct SingleBlock {
    norm: Modulation<3>,
    heads: Heads,
    proj_mlp: StreamLinear,
    proj_out: StreamLinear,
    #[module(skip)]
    site: SiteId,
}

/// What a stream keeps while its queries, keys and values are at the attention.
struct Rest {
    tokens: Tensor<3>,
    mlp: Tensor<3>,
    gate: Tensor<3>,
}

impl SingleBlock {
    /// The block in scope `weights`, which attends at `site`.
    pub(crate) fn new(config: &FluxConfig, weights: &Weights, site: SiteId) -> Self {
        let (inner, mlp) = (config.inner_dim(), config.mlp_dim());
        Self {
            norm: Modulation::new(&weights.at("norm"), inner),
            heads: Heads::new(config, &weights.at("attn"), LATENT_NAMES),
            proj_mlp: StreamLinear::new(&weights.at("proj_mlp"), inner, mlp),
            proj_out: StreamLinear::new(&weights.at("proj_out"), inner + mlp, inner),
            site,
        }
    }

    pub(crate) fn forward(
        &self,
        streams: JoinedStreams,
        cx: &BlockContext<'_>,
        session: &mut Session,
    ) -> Result<JoinedStreams, AttentionError> {
        let main_len = streams.main.dims()[1];
        let ground = Ground::Joint {
            text: cx.layout.text_stream_len(),
            grid: cx.layout.grid(),
        };
        let joint = Stream::Main(ground);
        let (qkv, main_rest) = self.before(streams.main, cx.vector.clone(), joint, session);
        let mut sequence = vec![qkv];
        let condition_rest =
            streams
                .condition
                .zip(cx.condition_vector.clone())
                .map(|(tokens, vector)| {
                    let (qkv, rest) = self.before(tokens, vector, cx.reading.stream(), session);
                    sequence.push(qkv);
                    rest
                });

        let attended = cx.attend(self.site, Qkv::join(sequence), session)?;
        let condition = condition_rest.map(|rest| {
            let len = attended.dims()[1] - main_len;
            self.after(
                rest,
                attended.clone().narrow(1, main_len, len),
                cx.reading.stream(),
                session,
            )
        });
        let main = self.after(main_rest, attended.narrow(1, 0, main_len), joint, session);
        let main = session.end_block(main, ground);
        Ok(JoinedStreams { main, condition })
    }

    fn before(
        &self,
        tokens: Tensor<3>,
        vector: Tensor<2>,
        stream: Stream,
        session: &mut Session,
    ) -> (Qkv, Rest) {
        let [shift, scale, gate] = self.norm.forward(vector, stream, session);
        let hidden = modulate(tokens.clone(), &shift, &scale);
        let mlp = kernel::gelu_tanh(self.proj_mlp.forward(hidden.clone(), stream, session));
        (
            self.heads.forward(hidden, stream, session),
            Rest { tokens, mlp, gate },
        )
    }

    fn after(
        &self,
        rest: Rest,
        attended: Tensor<3>,
        stream: Stream,
        session: &mut Session,
    ) -> Tensor<3> {
        let joined = Tensor::cat(vec![attended, rest.mlp], 2);
        let joined = self.proj_out.forward(joined, stream, session);
        keep_finite(kernel::add_gated(rest.tokens, joined, &rest.gate))
    }

    pub(crate) fn linears(&mut self) -> Vec<&mut StreamLinear> {
        let mut linears = vec![self.norm.linear(), &mut self.proj_mlp, &mut self.proj_out];
        linears.extend(self.heads.linears());
        linears
    }
}
