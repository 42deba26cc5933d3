//! Processors compute attention calls.

use std::{fmt, sync::Arc};

use burn::tensor::Tensor;

use crate::{
    kernel,
    seam::{AttentionCall, AttentionContext, AttentionError, type_name},
};

/// Computes one attention operation.
///
/// A processor is shared between generations (`&self`); what changes during one lives in the
/// session behind `cx`. It is called once per site and evaluation of the denoiser, in execution
/// order. A processor that wraps another calls it exactly once, unless it replaces it.
///
/// # Shapes
///
/// - `call.query`: `[rows, heads, q_len, head_dim]`
/// - `call.key`: `[rows, heads, k_len, head_dim]`
/// - `call.value`: `[rows, heads, k_len, value_dim]`
/// - output: `[rows, heads, q_len, value_dim]`, before the output projection
///
/// # Example
///
/// A processor that sharpens attention by a factor:
///
/// ```
/// use conceptrol_core::{ArcProcessor, AttentionCall, AttentionContext, AttentionError, AttentionProcessor};
/// use burn::tensor::Tensor;
///
/// #[derive(Debug)]
/// struct Sharpen { inner: ArcProcessor, factor: f32 }
///
/// impl AttentionProcessor for Sharpen {
///     fn attend(&self, mut call: AttentionCall, cx: &mut AttentionContext<'_>) -> Result<Tensor<4>, AttentionError> {
///         call.query = call.query * self.factor;
///         self.inner.attend(call, cx)
///     }
/// }
/// ```
pub trait AttentionProcessor: fmt::Debug + Send + Sync {
    /// Computes the call.
    ///
    /// # Errors
    ///
    /// Whatever makes the call impossible. The plan adds where: the site, and the layers down to this one.
    fn attend(
        &self,
        call: AttentionCall,
        cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError>;

    /// What it is, in a few words, for errors and for the display of a [plan](crate::AttentionPlan). The name of the
    /// type unless said otherwise.
    fn describe(&self) -> String {
        type_name::<Self>()
    }

    /// The processor inside this one. A plan knows it; only a layer that puts several processors around what is there
    /// needs to say it, for all but the last of them, so that the display of a plan shows them all.
    fn inner(&self) -> Option<&ArcProcessor> {
        None
    }
}

/// A processor that sites and layers can share.
pub type ArcProcessor = Arc<dyn AttentionProcessor>;

macro_rules! forward_processor {
    ($($pointer:ty),*) => {$(
        impl<P: AttentionProcessor + ?Sized> AttentionProcessor for $pointer {
            fn attend(
                &self,
                call: AttentionCall,
                cx: &mut AttentionContext<'_>,
            ) -> Result<Tensor<4>, AttentionError> {
                (**self).attend(call, cx)
            }

            fn describe(&self) -> String {
                (**self).describe()
            }

            fn inner(&self) -> Option<&ArcProcessor> {
                (**self).inner()
            }
        }
    )*};
}

forward_processor!(&P, Box<P>, Arc<P>);

/// Plain attention, the innermost processor of every site:
/// `softmax(q k^T / sqrt(head_dim) + bias) v`.
///
/// Refuses a call whose gates nobody applied, so that a forgotten adapter layer cannot pass
/// silently.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sdpa;

impl AttentionProcessor for Sdpa {
    fn attend(
        &self,
        call: AttentionCall,
        _cx: &mut AttentionContext<'_>,
    ) -> Result<Tensor<4>, AttentionError> {
        if let Some(gate) = call.gates().first() {
            let concept = gate.concept;
            return Err(AttentionError::UnappliedGate { concept });
        }
        let bias = call.bias().cloned();
        Ok(kernel::attention(
            call.query,
            call.key,
            call.value,
            bias.as_ref(),
        ))
    }
}
