//! Concepts that compete for each place.

use burn::tensor::{Bool, Tensor};

use crate::{
    mask::{ConceptMask, ConceptMaskSource, MaskBoard, MaskNorm, MaskQuery, MemoryKey},
    seam::{InstallError, Installation, MaskError},
};

/// How a place is shared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// By the softmax of the masks over this temperature.
    Softmax(f32),
    /// It belongs to the largest alone.
    Hard,
}

/// The masks of a source, each times its share of the place: two concepts that look alike to attention do not act on one
/// region together.
///
/// Concepts compete with masks whose peak is 1, whatever the source's own normalisation. The share `s` of a concept with
/// mask `p` among `p_1 .. p_n` is
///
/// - [`softmax`](Self::softmax): `exp(p / t) / sum_i exp(p_i / t)`,
/// - [`partition`](Self::partition): 1 where `p` is the largest, the first of several, 0 elsewhere,
///
/// and the result the source's mask times `s`, not normalised again: where a concept loses it acts less, and nowhere more. The
/// [background](Self::background) is one more competitor with the same mask everywhere. Without it a concept that is alone
/// keeps the bits of its mask. A concept for which the source has no opinion competes with ones, one without words not at
/// all.
///
/// The source is asked for all concepts at the first question of a call, so each is asked once. `FreeFuse` (Apache-2.0)
/// balances the sizes of the regions as well; this does not.
///
/// ```
/// use conceptrol_core::mask::{Competition, ConceptBlock};
///
/// let apart = Competition::partition(ConceptBlock::flux()).background(0.3)?;
/// # Ok::<(), conceptrol_core::InstallError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Competition<S> {
    source: S,
    rule: Rule,
    background: Option<f32>,
    memory: MemoryKey,
}

impl<S: ConceptMaskSource> Competition<S> {
    /// Soft shares; the lower the temperature, the harder.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless `temperature` is finite and above 0.
    pub fn softmax(source: S, temperature: f32) -> Result<Self, InstallError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(InstallError::OutOfRange {
                name: "the temperature of a competition",
                value: f64::from(temperature),
                expected: "finite and above 0",
            });
        }
        Ok(Self::new(source, Rule::Softmax(temperature)))
    }

    /// Every place belongs to one concept.
    pub fn partition(source: S) -> Self {
        Self::new(source, Rule::Hard)
    }

    fn new(source: S, rule: Rule) -> Self {
        Self {
            source,
            rule,
            background: None,
            memory: MemoryKey::new(),
        }
    }

    /// Lets the background compete with this level, in units of the peaks: places where no mask reaches it belong to nobody.
    ///
    /// # Errors
    ///
    /// [`InstallError::OutOfRange`] unless `level` is within 0..=1.
    pub fn background(mut self, level: f32) -> Result<Self, InstallError> {
        if !(0.0..=1.0).contains(&level) {
            return Err(InstallError::OutOfRange {
                name: "the level of the background",
                value: f64::from(level),
                expected: "within 0..=1",
            });
        }
        self.background = Some(level);
        Ok(self)
    }

    /// The masks of all concepts that have words, as the source has them, by their numbers.
    fn asked(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Vec<(usize, ConceptMask)>, MaskError> {
        let device = query.probe.call().query.device();
        let ask = |query: MaskQuery<'_>| {
            let mask = self.source.mask(&query, board)?;
            let mask = mask.unwrap_or_else(|| ConceptMask::ones(query.grid(), &device));
            Ok((query.index, query.fitting(mask)?))
        };
        let all = query.of_all();
        all.filter(|query| !query.concept.spans.is_empty())
            .map(ask)
            .collect()
    }

    /// The share of each of these masks, `[images | 1, cells]`.
    fn shares(&self, masks: &[ConceptMask]) -> Vec<Tensor<2>> {
        let peaked = masks
            .iter()
            .map(|mask| mask.clone().normalized(MaskNorm::Max));
        let images = masks.iter().map(|mask| mask.values().dims()[0]).max();
        let mut competing: Vec<Tensor<2>> = peaked
            .map(|mask| {
                let [_, cells] = mask.values().dims();
                mask.values().clone().expand([images.unwrap_or(1), cells])
            })
            .collect();
        let level = self.background.zip(competing.first());
        let background = level.map(|(level, mask)| mask.full_like(level));
        let concepts = competing.len();
        // the background comes last: it loses where a concept just reaches it
        competing.extend(background);
        let mut shares = match self.rule {
            Rule::Softmax(temperature) => softmax(competing, temperature),
            Rule::Hard => largest(&competing),
        };
        shares.truncate(concepts);
        shares
    }
}

impl<S: ConceptMaskSource> ConceptMaskSource for Competition<S> {
    fn mask(
        &self,
        query: &MaskQuery<'_>,
        board: &mut MaskBoard,
    ) -> Result<Option<ConceptMask>, MaskError> {
        let site = query.probe.site().id;
        if let Some(mask) = board.take(&self.memory, query.index, site) {
            return Ok(Some(mask));
        }
        if query.concept.spans.is_empty() {
            return self.source.mask(query, board);
        }
        let (numbers, masks): (Vec<_>, Vec<_>) = self.asked(query, board)?.into_iter().unzip();
        if masks.len() == 1 && self.background.is_none() {
            return Ok(masks.into_iter().next());
        }
        let shares = self.shares(&masks);
        let mut own = None;
        for ((index, mask), share) in numbers.into_iter().zip(masks).zip(shares) {
            let mask = mask.map(|values| values * share);
            match index == query.index {
                true => own = Some(mask),
                false => board.remember(&self.memory, index, site, mask),
            }
        }
        Ok(own)
    }

    fn publishes(&self) -> bool {
        self.source.publishes()
    }

    fn check(&self, at: &Installation<'_>) -> Result<(), InstallError> {
        self.source.check(at)
    }

    fn describe(&self) -> String {
        let rule = match self.rule {
            Rule::Softmax(temperature) => format!("softmax {temperature}"),
            Rule::Hard => "partition".into(),
        };
        let background = self.background.map(|level| format!(", background {level}"));
        let source = self.source.describe();
        format!(
            "Competition({rule}{}) of {source}",
            background.unwrap_or_default()
        )
    }
}

fn softmax(competing: Vec<Tensor<2>>, temperature: f32) -> Vec<Tensor<2>> {
    // masks are at most 1, so nothing overflows that would not with their largest subtracted
    let most = (competing.iter().cloned()).reduce(|a, b| a.max_pair(b));
    let Some(most) = most else {
        return Vec::new();
    };
    let raised = competing
        .into_iter()
        .map(|mask| ((mask - most.clone()) / temperature).exp());
    let raised: Vec<_> = raised.collect();
    let sum = raised
        .iter()
        .cloned()
        .reduce(|a, b| a + b)
        .expect("there is a mask");
    raised.into_iter().map(|mask| mask / sum.clone()).collect()
}

/// 1 where a mask is the largest, and larger than those before it.
fn largest(competing: &[Tensor<2>]) -> Vec<Tensor<2>> {
    let wins = |index: usize| {
        let mask = &competing[index];
        let others = competing
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        let beaten = others.map(|(other, against)| match other < index {
            true => mask.clone().greater(against.clone()),
            false => mask.clone().greater_equal(against.clone()),
        });
        let all: Option<Tensor<2, Bool>> = beaten.reduce(Tensor::bool_and);
        match all {
            Some(all) => mask.zeros_like().mask_fill(all, 1.0),
            None => mask.ones_like(),
        }
    };
    (0..competing.len()).map(wins).collect()
}
