use burn::tensor::{FloatDType, Tensor};

use crate::kernel;

/// The weights of an adapter at one site; cast to the type of the image tokens when keys and values are projected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IpProjection {
    /// `to_k_ip`, `[inner, context]`
    pub key: Tensor<2>,
    /// `to_v_ip`, `[inner, context]`
    pub value: Tensor<2>,
    /// Biases of keys and values, `[inner]` each (`XLabs`).
    pub biases: Option<[Tensor<1>; 2]>,
    /// Epsilon of an RMS norm of each head's keys that has no weight (`InstantX`).
    pub key_norm: Option<f64>,
    /// Whether the text rows of joint attention look at the picture as well, as strongly as it acts, whatever the gate.
    pub text_rows: bool,
}

impl IpProjection {
    /// The weights `to_k_ip` and `to_v_ip`, `[inner, context]` each.
    pub const fn new(key: Tensor<2>, value: Tensor<2>) -> Self {
        Self {
            key,
            value,
            biases: None,
            key_norm: None,
            text_rows: false,
        }
    }

    /// Sets the biases of keys and values, `[inner]` each.
    pub fn biases(mut self, key: Tensor<1>, value: Tensor<1>) -> Self {
        self.biases = Some([key, value]);
        self
    }

    /// Normalises each head's keys by their root mean square.
    pub const fn key_norm(mut self, eps: f64) -> Self {
        self.key_norm = Some(eps);
        self
    }

    /// Sets whether text rows of joint attention look at the picture as well.
    pub const fn text_rows(mut self, text_rows: bool) -> Self {
        self.text_rows = text_rows;
        self
    }

    /// Keys and values of image tokens.
    ///
    /// # Shapes
    ///
    /// `tokens` `[rows, tokens, context]` -> `[rows, heads, tokens, d]` each
    pub(super) fn project(&self, tokens: &Tensor<3>, heads: usize) -> (Tensor<4>, Tensor<4>) {
        let dtype = FloatDType::from(tokens.dtype());
        let [key_bias, value_bias] = match &self.biases {
            None => [None, None],
            Some(biases) => biases.clone().map(|bias| Some(bias.cast(dtype))),
        };
        let project = |weight: &Tensor<2>, bias| {
            let weight = weight.clone().cast(dtype);
            split_heads(kernel::linear(tokens.clone(), weight, bias), heads)
        };
        let key = project(&self.key, key_bias);
        let key = match self.key_norm {
            None => key,
            Some(eps) => {
                let [.., head_dim] = key.dims();
                let ones = Tensor::ones([head_dim], (&key.device(), key.dtype()));
                kernel::rms_norm(key, ones, eps)
            }
        };
        (key, project(&self.value, value_bias))
    }
}

/// `[rows, tokens, heads * d]` to `[rows, heads, tokens, d]`.
fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [rows, tokens, inner] = x.dims();
    x.reshape([rows, tokens, heads, inner / heads])
        .swap_dims(1, 2)
}
