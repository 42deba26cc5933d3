//! The double block: text and image tokens with weights of their own, one attention over both.

use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionError, Ground, Session, SiteId, kernel};

use super::attend::BlockContext;
use super::heads::{Heads, LATENT_NAMES, Qkv, TEXT_NAMES};
use super::linear::{Stream, StreamLinear};
use super::modulation::{Modulation, modulate};
use crate::config::FluxConfig;
use conceptrol_core::models::nn::keep_finite;

/// The three token streams between double blocks.
#[derive(Debug, Clone)]
pub struct Streams {
    /// `[batch, text tokens, inner_dim]`
    pub text: Tensor<3>,
    /// `[batch, latent tokens, inner_dim]`
    pub latents: Tensor<3>,
    /// `[batch, tokens of all conditions, inner_dim]`
    pub condition: Option<Tensor<3>>,
}

/// One double block of the transformer, for those who look at one alone;
/// [`FluxTransformer`](super::FluxTransformer) is made of them.
#[derive(Module, Debug)]
pub struct DoubleBlock {
    /// Serves the latent and, with its own adapters and modulation, the condition stream.
    image: Half,
    text: Half,
    #[module(skip)]
    site: SiteId,
}

impl DoubleBlock {
    /// The block in scope `weights`, which attends at `site`.
    pub fn new(config: &FluxConfig, weights: &Weights, site: SiteId) -> Self {
        Self {
            image: Half::new(config, weights, &IMAGE_SCOPES),
            text: Half::new(config, weights, &TEXT_SCOPES),
            site,
        }
    }

    /// What the block makes of the streams.
    ///
    /// # Errors
    /// What a processor of the session's plan reports.
    pub fn forward(
        &self,
        streams: Streams,
        cx: &BlockContext<'_>,
        session: &mut Session,
    ) -> Result<Streams, AttentionError> {
        let Streams {
            text,
            latents,
            condition,
        } = streams;
        let [text_len, latent_len] = [text.dims()[1], latents.dims()[1]];

        let words = Stream::Main(Ground::Text);
        let ground = Ground::Latents(cx.layout.grid());
        let picture = Stream::Main(ground);
        let (text_qkv, text_rest) = self.text.before(text, cx.vector.clone(), words, session);
        let (latent_qkv, latent_rest) =
            (self.image).before(latents, cx.vector.clone(), picture, session);
        let mut sequence = vec![text_qkv, latent_qkv];
        let condition_rest = condition
            .zip(cx.condition_vector.clone())
            .map(|(tokens, vector)| {
                let (qkv, rest) = (self.image).before(tokens, vector, cx.reading.stream(), session);
                sequence.push(qkv);
                rest
            });

        let attended = cx.attend(self.site, Qkv::join(sequence), session)?;
        let part = |start: usize, len: usize| attended.clone().narrow(1, start, len);
        let text = (self.text).after(text_rest, part(0, text_len), words, session);
        let latents = part(text_len, latent_len);
        let latents = self.image.after(latent_rest, latents, picture, session);
        let latents = session.end_block(latents, ground);
        let condition = condition_rest.map(|rest| {
            let start = text_len + latent_len;
            let len = attended.dims()[1] - start;
            (self.image).after(rest, part(start, len), cx.reading.stream(), session)
        });
        Ok(Streams {
            text: keep_finite(text),
            latents,
            condition,
        })
    }

    pub(crate) fn linears(&mut self) -> Vec<&mut StreamLinear> {
        let mut linears = self.image.linears();
        linears.extend(self.text.linears());
        linears
    }
}

/// Checkpoint scopes of one half of a block.
struct Scopes {
    norm: &'static str,
    heads: [&'static str; 5],
    out: &'static str,
    mlp: &'static str,
}

const IMAGE_SCOPES: Scopes = Scopes {
    norm: "norm1",
    heads: LATENT_NAMES,
    out: "attn.to_out.0",
    mlp: "ff",
};
const TEXT_SCOPES: Scopes = Scopes {
    norm: "norm1_context",
    heads: TEXT_NAMES,
    out: "attn.to_add_out",
    mlp: "ff_context",
};

/// One half of a block: modulation, projections, output projection and MLP of one kind of token.
#[derive(Module, Debug)]
struct Half {
    norm: Modulation<6>,
    heads: Heads,
    out: StreamLinear,
    mlp_in: StreamLinear,
    mlp_out: StreamLinear,
}

/// What a stream keeps while its queries, keys and values are at the attention.
struct Rest {
    tokens: Tensor<3>,
    attention_gate: Tensor<3>,
    mlp_shift: Tensor<3>,
    mlp_scale: Tensor<3>,
    mlp_gate: Tensor<3>,
}

impl Half {
    fn new(config: &FluxConfig, weights: &Weights, scopes: &Scopes) -> Self {
        let (inner, mlp) = (config.inner_dim(), config.mlp_dim());
        let net = weights.at(scopes.mlp).at("net");
        Self {
            norm: Modulation::new(&weights.at(scopes.norm), inner),
            heads: Heads::new(config, &weights.at("attn"), scopes.heads),
            out: StreamLinear::new(&weights.at(scopes.out), inner, inner),
            mlp_in: StreamLinear::new(&net.at("0.proj"), inner, mlp),
            mlp_out: StreamLinear::new(&net.at(2), mlp, inner),
        }
    }

    fn before(
        &self,
        tokens: Tensor<3>,
        vector: Tensor<2>,
        stream: Stream,
        session: &mut Session,
    ) -> (Qkv, Rest) {
        let [shift, scale, attention_gate, mlp_shift, mlp_scale, mlp_gate] =
            self.norm.forward(vector, stream, session);
        let hidden = modulate(tokens.clone(), &shift, &scale);
        let qkv = self.heads.forward(hidden, stream, session);
        (
            qkv,
            Rest {
                tokens,
                attention_gate,
                mlp_shift,
                mlp_scale,
                mlp_gate,
            },
        )
    }

    fn after(
        &self,
        rest: Rest,
        attended: Tensor<3>,
        stream: Stream,
        session: &mut Session,
    ) -> Tensor<3> {
        let attended = self.out.forward(attended, stream, session);
        let tokens = kernel::add_gated(rest.tokens, attended, &rest.attention_gate);
        let hidden = modulate(tokens.clone(), &rest.mlp_shift, &rest.mlp_scale);
        let hidden = kernel::gelu_tanh(self.mlp_in.forward(hidden, stream, session));
        let fed = self.mlp_out.forward(hidden, stream, session);
        kernel::add_gated(tokens, fed, &rest.mlp_gate)
    }

    fn linears(&mut self) -> Vec<&mut StreamLinear> {
        let mut linears = vec![
            self.norm.linear(),
            &mut self.out,
            &mut self.mlp_in,
            &mut self.mlp_out,
        ];
        linears.extend(self.heads.linears());
        linears
    }
}
