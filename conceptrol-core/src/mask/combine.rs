//! Sources made of sources.

use burn::tensor::Tensor;

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskQuery, MemoryKey},
    seam::{InstallError, Installation, MaskError},
};

/// Where both sources let the concept act: the product of their masks. A source without an
/// opinion counts as ones.
#[derive(Debug, Clone)]
pub struct Product<A, B>(pub A, pub B);

/// Where either source lets the concept act: the larger of their masks. A source without an
/// opinion lets it act everywhere, so there is no mask then.
#[derive(Debug, Clone)]
pub struct Union<A, B>(pub A, pub B);

/// A running mean of a source's masks over the calls of a site, that is over the steps:
/// `decay * before + (1 - decay) * now`, from the first mask on.
///
/// Each site has its own mean, each `Ema` its own memory. What the source publishes stays as it is.
#[derive(Debug, Clone)]
pub struct Ema<S> {
    source: S,
    decay: f32,
    memory: MemoryKey,
}

/// 1 where a source's mask is at least `level`, 0 elsewhere.
#[derive(Debug, Clone)]
pub struct Threshold<S> {
    source: S,
    level: f32,
}

impl<S: ConceptMaskSource> Ema<S> {
    /// A running mean that keeps `decay` of what was before.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless `0 <= decay < 1`.
    pub fn new(source: S, decay: f32) -> Result<Self, InstallError> {
        if !(0.0..1.0).contains(&decay) {
            let value = f64::from(decay);
            return Err(InstallError::OutOfRange {
                name: "the decay of a mask",
                value,
                expected: "in 0..1",
            });
        }
        Ok(Self {
            source,
            decay,
            memory: MemoryKey::new(),
        })
    }
}

impl<S: ConceptMaskSource> Threshold<S> {
    /// A binary mask from `level` on.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless `level` is finite.
    pub fn new(source: S, level: f32) -> Result<Self, InstallError> {
        if !level.is_finite() {
            let value = f64::from(level);
            return Err(InstallError::OutOfRange {
                name: "the level of a mask",
                value,
                expected: "finite",
            });
        }
        Ok(Self { source, level })
    }
}

impl<A: ConceptMaskSource, B: ConceptMaskSource> ConceptMaskSource for Product<A, B> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let (a, b) = both(&self.0, &self.1, query, board)?;
        Ok(match (a, b) {
            (Some(a), Some(b)) => Some(a.times(b)),
            (a, b) => a.or(b),
        })
    }

    fn publishes(&self) -> bool {
        self.0.publishes() || self.1.publishes()
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.0.check(at)?;
        self.1.check(at)
    }

    fn describe(&self) -> String {
        format!("Product({}, {})", self.0.describe(), self.1.describe())
    }
}

impl<A: ConceptMaskSource, B: ConceptMaskSource> ConceptMaskSource for Union<A, B> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let (a, b) = both(&self.0, &self.1, query, board)?;
        Ok(a.zip(b)
            .map(|(a, b)| a.map(|values| larger(values, b.values().clone()))))
    }

    fn publishes(&self) -> bool {
        self.0.publishes() || self.1.publishes()
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.0.check(at)?;
        self.1.check(at)
    }

    fn describe(&self) -> String {
        format!("Union({}, {})", self.0.describe(), self.1.describe())
    }
}

impl<S: ConceptMaskSource> ConceptMaskSource for Ema<S> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let Some(now) = self.source.mask(query, board)? else {
            return Ok(None);
        };
        let now = query.fitting(now)?;
        let site = query.probe.site().id;
        let mean = match board.recall(&self.memory, query.index, site) {
            None => now,
            Some(before) => {
                let before = before.values().clone() * self.decay;
                now.map(|values| values * (1.0 - self.decay) + before)
            }
        };
        board.remember(&self.memory, query.index, site, mean.clone());
        Ok(Some(mean))
    }

    fn publishes(&self) -> bool {
        self.source.publishes()
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.source.check(at)
    }

    fn describe(&self) -> String {
        format!("Ema({}, {})", self.decay, self.source.describe())
    }
}

impl<S: ConceptMaskSource> ConceptMaskSource for Threshold<S> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let mask = self.source.mask(query, board)?;
        let binary = |values: Tensor<2>| {
            let zeros = values.zeros_like();
            zeros.mask_fill(values.greater_equal_elem(self.level), 1.0)
        };
        Ok(mask.map(|mask| mask.map(binary)))
    }

    fn publishes(&self) -> bool {
        self.source.publishes()
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.source.check(at)
    }

    fn describe(&self) -> String {
        format!("Threshold({}, {})", self.level, self.source.describe())
    }
}

type Masks = (Option<ConceptMask>, Option<ConceptMask>);

fn both(
    a: &impl ConceptMaskSource,
    b: &impl ConceptMaskSource,
    query: &MaskQuery<'_>,
    board: &mut MaskBoard,
) -> Result<Masks, MaskError> {
    let a = a.mask(query, board)?.map(|mask| query.fitting(mask));
    let b = b.mask(query, board)?.map(|mask| query.fitting(mask));
    Ok((a.transpose()?, b.transpose()?))
}

/// Element-wise maximum; one row stands for all.
fn larger(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let ([rows, cells], [other, _]) = (a.dims(), b.dims());
    let shape = [rows.max(other), cells];
    a.expand(shape).max_pair(b.expand(shape))
}
