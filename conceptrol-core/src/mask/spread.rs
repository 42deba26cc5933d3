//! From the places where a concept's words act most to all that look like them.

use burn::tensor::{DType, Tensor};

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskNorm, MaskQuery},
    seam::{InstallError, Installation, MaskError, Probe, SiteKind},
};

/// Share of the places that are the core, as `FreeFuse` has it.
const CORE: f32 = 0.1;
/// Temperature of the softmax over cosines.
const TEMPERATURE: f32 = 0.1;

/// Spreads each mask a source reads over the places whose features are like those of its core.
///
/// The core of a mask are the places where it is largest, a tenth of all. With `f[x]` the feature of place `x`, of length 1,
/// and `c` the mean of the core's,
///
/// ```text
/// spread[x] = softmax over x of (f[x] . c / t)
/// ```
///
/// normalised as it is asked for. Words act on parts of a thing, a face more than a coat; its places are like each other.
/// Features are the values of the latent tokens in joint attention, which no position has rotated, and their queries in
/// cross-attention. Only masks read at the very call are spread, and published again in place of the source's, so that
/// other sites get the spread ones.
///
/// # Source
///
/// `FreeFuse` (Apache-2.0), which takes the output of the attention as features and no length; so temperatures are not the
/// same numbers.
///
/// ```
/// use conceptrol_core::mask::{ConceptBlock, MaskNorm, Spread};
///
/// let source = Spread::over(ConceptBlock::sd15(), MaskNorm::Max).temperature(0.2)?;
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Spread<S> {
    source: S,
    norm: MaskNorm,
    core: f32,
    temperature: f32,
}

impl<S: ConceptMaskSource> Spread<S> {
    /// Spreads the masks of `source`; `norm` is how the family reads masks.
    pub const fn over(source: S, norm: MaskNorm) -> Self {
        Self {
            source,
            norm,
            core: CORE,
            temperature: TEMPERATURE,
        }
    }

    /// Sets the share of the places that are the core, instead of 0.1; at least one is.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless it is above 0 and at most 1.
    pub fn core(mut self, share: f32) -> Result<Self, InstallError> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(InstallError::OutOfRange {
                name: "the core of a mask",
                value: f64::from(share),
                expected: "above 0 and at most 1",
            });
        }
        self.core = share;
        Ok(self)
    }

    /// Sets the temperature of the softmax, instead of 0.1; the lower, the narrower.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless it is finite and above 0.
    pub fn temperature(mut self, temperature: f32) -> Result<Self, InstallError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(InstallError::OutOfRange {
                name: "the temperature of a spread mask",
                value: f64::from(temperature),
                expected: "finite and above 0",
            });
        }
        self.temperature = temperature;
        Ok(self)
    }

    fn spread(&self, mask: ConceptMask, query: &MaskQuery<'_>) -> ConceptMask {
        let features = features(query.probe); // [images, cells, channels]
        mask.map(|values| {
            let [images, cells, _] = features.dims();
            let values = values.expand([images, cells]);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a share of the cells of a grid"
            )]
            let core = ((cells as f32 * self.core).ceil() as usize).clamp(1, cells);
            let least = values.clone().sort_descending(1).narrow(1, core - 1, 1);
            let core = values
                .zeros_like()
                .mask_fill(values.greater_equal(least), 1.0);
            let count = core.clone().sum_dim(1).unsqueeze_dim(2);
            let mean = core.unsqueeze_dim(1).matmul(features.clone()) / count; // [images, 1, channels]
            let alike = features.matmul(mean.swap_dims(1, 2)).squeeze_dim(2);
            burn::tensor::activation::softmax(alike / self.temperature, 1)
        })
        .normalized(self.norm)
    }
}

/// What the latent tokens of the conditional rows are like, `[images, cells, channels]` in f32, each of length 1.
fn features(probe: &Probe<'_>) -> Tensor<3> {
    let call = probe.call();
    let tokens = match probe.site().kind {
        SiteKind::Joint => &call.value,
        _ => &call.query,
    };
    let tokens = tokens.clone().slice_dim(0, probe.batch().conditional());
    let latents = call.layout.latents.range.clone();
    let tokens = tokens.slice_dim(2, latents).cast(DType::F32);
    let [images, heads, cells, channels] = tokens.dims();
    let tokens = tokens
        .swap_dims(1, 2)
        .reshape([images, cells, heads * channels]);
    let length = (tokens.clone() * tokens.clone()).sum_dim(2).sqrt();
    tokens / length.clamp_min(f32::MIN_POSITIVE)
}

impl<S: ConceptMaskSource> ConceptMaskSource for Spread<S> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let mask = self.source.mask(query, board)?;
        let now = Some(query.probe.stamp());
        let read_now = |mask: &ConceptMask| mask.stamp() == now && mask.grid() == query.grid();
        if let Some(fresh) = board.latest(query.index).filter(|mask| read_now(mask)) {
            let spread = self.spread(fresh.clone(), query);
            board.publish(query.index, spread);
        }
        Ok(mask.map(|mask| match read_now(&mask) {
            true => self.spread(mask, query),
            false => mask,
        }))
    }

    fn publishes(&self) -> bool {
        self.source.publishes()
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.source.check(at)
    }

    fn describe(&self) -> String {
        format!(
            "Spread({}) over {}",
            self.temperature,
            self.source.describe()
        )
    }
}
