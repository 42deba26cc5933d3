//! One attention call.

use burn::tensor::Tensor;

use crate::{
    kernel::LogitBias,
    seam::{AttentionError, Grid, TokenLayout},
};

/// One evaluation at a site: query, key and value after projection, norm and rotary
/// embedding, before the output projection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AttentionCall {
    /// `[rows, heads, q_len, head_dim]`
    pub query: Tensor<4>,
    /// `[rows, heads, k_len, head_dim]`
    pub key: Tensor<4>,
    /// `[rows, heads, k_len, value_dim]`
    pub value: Tensor<4>,
    /// The roles of the tokens.
    pub layout: TokenLayout,
    unrotated: Option<Tensor<4>>,
    bias: Option<LogitBias>,
    gates: Vec<Gate>,
}

impl AttentionCall {
    /// A call whose tokens have the roles of `layout`.
    pub const fn new(
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        layout: TokenLayout,
    ) -> Self {
        Self {
            query,
            key,
            value,
            layout,
            unrotated: None,
            bias: None,
            gates: Vec::new(),
        }
    }

    /// Latent queries on `grid`, all keys text.
    pub fn cross(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, grid: Grid) -> Self {
        let text_len = key.dims()[2];
        Self::new(query, key, value, TokenLayout::cross(grid, text_len))
    }

    /// Latent queries and keys on `grid`.
    pub fn self_attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, grid: Grid) -> Self {
        Self::new(query, key, value, TokenLayout::self_attention(grid))
    }

    /// One sequence of text, latents and conditions.
    pub const fn joint(
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        layout: TokenLayout,
    ) -> Self {
        Self::new(query, key, value, layout)
    }

    /// Sets the queries as they are before rotary embedding, `[rows, heads, q_len, head_dim]`: what adapters attend with to
    /// tokens that have no place in the sequence.
    pub fn with_unrotated(mut self, query: Tensor<4>) -> Self {
        self.unrotated = Some(query);
        self
    }

    /// The queries before rotary embedding; the queries themselves where nothing is rotated.
    pub const fn unrotated_query(&self) -> &Tensor<4> {
        match &self.unrotated {
            Some(query) => query,
            None => &self.query,
        }
    }

    /// Adds a bias to the logits, on top of what layers above have added.
    ///
    /// # Errors
    ///
    /// [`AttentionError::WrongBias`] if it is for another number of queries or rows, or for keys that are not there.
    pub fn add_bias(&mut self, bias: LogitBias) -> Result<(), AttentionError> {
        let ([rows, _, queries, _], [_, _, keys, _]) = (self.query.dims(), self.key.dims());
        let [bias_rows, _, bias_queries] = bias.rows().dims();
        let bias_keys = bias.keys().iter().map(|keys| keys.end).max().unwrap_or(0);
        if (bias_rows != 1 && bias_rows != rows) || bias_queries != queries || bias_keys > keys {
            return Err(AttentionError::WrongBias {
                found: [bias_rows, bias_queries, bias_keys],
                expected: [rows, queries, keys],
            });
        }
        self.bias = Some(match self.bias.take() {
            Some(above) => above.merged(bias),
            None => bias,
        });
        Ok(())
    }

    /// What is added to the logits.
    pub const fn bias(&self) -> Option<&LogitBias> {
        self.bias.as_ref()
    }

    /// Attaches a gate for an adapter below to apply.
    pub fn push_gate(&mut self, gate: Gate) {
        self.gates.push(gate);
    }

    /// The gates that no adapter has applied yet.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Takes the gates that `applies` accepts; who takes a gate must apply it.
    pub fn take_gates(&mut self, applies: impl Fn(&Gate) -> bool) -> Vec<Gate> {
        let (taken, left) = std::mem::take(&mut self.gates)
            .into_iter()
            .partition(|gate| applies(gate));
        self.gates = left;
        taken
    }
}

/// A mask that an adapter is to apply to the image condition of one concept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gate {
    /// Index of the concept in the session.
    pub concept: usize,
    /// How strongly the condition acts on each latent token, `[images, latents]`.
    pub mask: Tensor<2>,
}

impl Gate {
    /// A gate for one concept of the session.
    pub const fn new(concept: usize, mask: Tensor<2>) -> Self {
        Self { concept, mask }
    }
}
