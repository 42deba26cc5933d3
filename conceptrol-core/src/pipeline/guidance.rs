//! Classifier-free guidance: which rows are evaluated for a picture, and how they become its prediction.

use burn::tensor::Tensor;

use crate::{
    pipeline::{ConceptGate, PipelineError, Profile, Request},
    seam::{BatchLayout, Grid, Session},
};

/// How strongly the prompt is followed: diffusers' `guidance_scale`.
///
/// Stable Diffusion mixes an unconditional and a conditional prediction. FLUX.1-dev has guidance built in and reads the
/// scale as an input; FLUX.1-schnell has none. Both can mix beside that ([`true_cfg_scale`](Self::true_cfg_scale)).
///
/// ```
/// use conceptrol_core::pipeline::Request;
///
/// // for FLUX: 3.5 is read by the model, 2 is the scale of mixing with the negative prompt
/// let request = Request::<()>::new("a cat on the beach").guidance_scale(3.5).true_cfg_scale(2.0).negative_prompt("blurry");
/// assert_eq!((request.guidance.scale, request.guidance.true_cfg_scale), (Some(3.5), Some(2.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Guidance {
    /// Scale; the family's own if `None`. Mixing is off, and costs nothing, at 1 and below.
    pub scale: Option<f64>,
    /// Scale of mixing in models that have guidance built in, or none: diffusers' `true_cfg_scale`. Above 1 it needs a negative
    /// prompt, which may be empty, and costs a second prediction a step; 1 is off.
    pub true_cfg_scale: Option<f64>,
    /// Share of the rescaling that keeps the contrast at high scales, 0 to 1.
    pub rescale: f64,
}

impl Guidance {
    /// The scale by which an unconditional and a conditional prediction are mixed; `None` if there is only one.
    pub(super) fn mixing(&self, profile: &Profile) -> Option<f64> {
        let scale = match profile.mixes_guidance {
            true => self.scale.unwrap_or(profile.defaults.guidance),
            false => self.true_cfg_scale?,
        };
        (scale > 1.0).then_some(scale)
    }
}

/// That nothing about guidance would be ignored.
pub(super) fn check<X>(request: &Request<X>, profile: &Profile) -> Result<(), PipelineError> {
    let guidance = &request.guidance;
    let refuse = |what: &str| {
        Err(PipelineError::Unsupported {
            family: profile.name,
            what: what.into(),
        })
    };
    let mut concepts = request.concepts.iter();
    if guidance.mixing(profile).is_none()
        && concepts.any(|concept| concept.negative_image.is_some())
    {
        return refuse("use for a negative picture: guidance mixes nothing");
    }
    if profile.mixes_guidance {
        return match guidance.true_cfg_scale {
            None => Ok(()),
            Some(_) => refuse("true_cfg_scale: its guidance scale is that of mixing"),
        };
    }
    if let Some(scale) = guidance.true_cfg_scale.filter(|scale| *scale < 1.0) {
        let name = "the true_cfg_scale";
        return Err(PipelineError::bad_request(name, scale, "at least 1"));
    }
    match (guidance.mixing(profile), &request.negative_prompts) {
        (None, Some(_)) => {
            refuse("negative prompt without a true_cfg_scale above 1: its guidance is built in")
        }
        (None, None) if guidance.rescale != 0.0 => {
            refuse("guidance to rescale without a true_cfg_scale above 1: its guidance is built in")
        }
        (Some(_), None) => refuse("true_cfg_scale without a negative prompt, which may be empty"),
        _ => Ok(()),
    }
}

/// What is evaluated for each picture, and how that becomes one prediction:
/// `base + sum of scale * gate * (toward - from)`.
///
/// ```
/// use conceptrol_core::pipeline::GuidanceRule;
///
/// // u + 7.5 (c - u)
/// assert_eq!(GuidanceRule::mixed(7.5).layout(2).rows(), 4);
/// // e + 7.5 (c - u) + 1.5 (u - e), where c sees prompt and picture, u the picture, e neither
/// assert_eq!(GuidanceRule::edited(7.5, 1.5, None).layout(2).rows(), 6);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GuidanceRule {
    /// The rows of one picture.
    layout: BatchLayout,
    base: usize,
    terms: Vec<Term>,
}

/// A difference between two rows of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Term {
    toward: usize,
    from: usize,
    scale: f64,
    gate: Option<ConceptGate>,
}

impl GuidanceRule {
    /// The conditional prediction alone.
    pub const fn none() -> Self {
        Self {
            layout: BatchLayout::unguided(1),
            base: 0,
            terms: Vec::new(),
        }
    }

    /// Mixing, as far as a request and a family ask for it.
    pub fn of(guidance: &Guidance, profile: &Profile) -> Self {
        guidance
            .mixing(profile)
            .map_or_else(Self::none, Self::mixed)
    }

    /// Away from the unconditional prediction, toward the conditional one.
    pub fn mixed(scale: f64) -> Self {
        Self {
            layout: BatchLayout::guided(1),
            base: 0,
            terms: vec![Term::new(1, 0, scale)],
        }
    }

    /// The rule of `InstructPix2Pix` (arXiv 2211.09800, equation 3): toward the picture that is edited by `image_scale`, and
    /// from there toward what the prompt makes of it by `scale`, where `gate` says so.
    pub fn edited(scale: f64, image_scale: f64, gate: Option<ConceptGate>) -> Self {
        let prompt = Term {
            gate,
            ..Term::new(0, 1, scale)
        };
        Self {
            layout: BatchLayout::edited(1),
            base: 2,
            terms: vec![prompt, Term::new(1, 2, image_scale)],
        }
    }

    /// The rows of a generation of so many pictures.
    pub const fn layout(&self, images: usize) -> BatchLayout {
        self.layout.of(images)
    }

    /// The prediction of each picture, with the rescaling of section 3.4 of arXiv 2305.08891 by the share `rescale`.
    ///
    /// # Shapes
    ///
    /// `output`: `[rows, channels, height, width]` -> `[images, channels, height, width]`
    pub(super) fn mix(&self, output: &Tensor<4>, rescale: f64, session: &mut Session) -> Tensor<4> {
        if self.terms.is_empty() {
            return output.clone();
        }
        let layout = session.batch();
        let row = |role: usize| output.clone().slice_dim(0, layout.rows_of(role));
        let add = |sum: Tensor<4>, term: &Term| {
            let difference = (row(term.toward) - row(term.from)) * term.scale;
            let Some(gate) = term.gate else {
                return sum + difference;
            };
            match images_factor(gate, &difference, session) {
                Some(factor) => sum + difference * factor,
                None => sum,
            }
        };
        let mixed = self.terms.iter().fold(row(self.base), add);
        if rescale == 0.0 {
            return mixed;
        }
        let conditional = output.clone().slice_dim(0, layout.conditional());
        let rescaled = mixed.clone() * (deviation(conditional) / deviation(mixed.clone()));
        rescaled * rescale + mixed * (1.0 - rescale)
    }
}

impl Term {
    const fn new(toward: usize, from: usize, scale: f64) -> Self {
        Self {
            toward,
            from,
            scale,
            gate: None,
        }
    }
}

/// The gate of each picture, `[images, 1, height, width]`: the rows of a picture have the same.
fn images_factor(gate: ConceptGate, x: &Tensor<4>, session: &mut Session) -> Option<Tensor<4>> {
    let [images, _, height, width] = x.dims();
    let factor = gate.factor(session, Grid::new(height, width), &x.device())?;
    Some(factor.slice_dim(0, 0..images))
}

/// Standard deviation of each picture, `[images, 1, 1, 1]`.
fn deviation(x: Tensor<4>) -> Tensor<4> {
    let images = x.dims()[0];
    x.reshape([images as i32, -1])
        .var(1)
        .sqrt()
        .reshape([images, 1, 1, 1])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        concept::{Concept, MaskRole},
        mask::ConceptMask,
        seam::{AttentionPlan, AttentionSite, AttentionSites, SiteKind},
    };

    /// Two pictures of two cells and one channel, the number of the row in each cell squared and one more.
    fn output(rows: usize) -> Tensor<4> {
        let numbers = (0..rows).flat_map(|row| {
            let row = row as f32;
            [row * row, row * row + 1.0]
        });
        let numbers: Vec<f32> = numbers.collect();
        Tensor::<1>::from_floats(numbers.as_slice(), &Device::flex()).reshape([rows, 1, 1, 2])
    }

    fn mixed(rule: &GuidanceRule, concept: Option<Concept>) -> Vec<f32> {
        let site = AttentionSite::new("attn2", SiteKind::CrossAttention, 1, 1, 1);
        let plan = AttentionPlan::plain(&AttentionSites::new([site]));
        let batch = rule.layout(2);
        let mut session = Session::new(&plan, batch, concept).expect("a session");
        let mixed = rule.mix(&output(batch.rows()), 0.0, &mut session);
        mixed.into_data().iter::<f32>().collect()
    }

    #[test]
    fn terms_are_differences_of_rows() {
        // rows 0, 1 are unconditional: 0, 1 and 1, 2; rows 2, 3 conditional: 4, 5 and 9, 10
        assert_eq!(
            mixed(&GuidanceRule::mixed(3.0), None),
            [12.0, 13.0, 25.0, 26.0]
        );
        assert_eq!(mixed(&GuidanceRule::none(), None), [0.0, 1.0, 1.0, 2.0]);
        // prompt 0, 1; picture 4, 9; neither 16, 25: 16 + 2 (0 - 4) + 3 (4 - 16) and 25 + 2 (1 - 9) + 3 (9 - 25)
        let edited = mixed(&GuidanceRule::edited(2.0, 3.0, None), None);
        assert_eq!(edited, [-28.0, -27.0, -39.0, -38.0]);
    }

    #[test]
    fn a_gate_multiplies_the_term_of_the_prompt() {
        let mask = Tensor::<2>::from_floats([[1.0, 0.0]], &Device::flex());
        let mask = ConceptMask::new(mask, Grid::new(1, 2)).expect("two cells");
        let drawn = || {
            let mut concept = Concept::new("sofa", Vec::<Vec<std::ops::Range<usize>>>::new());
            concept.mask = Some(mask.clone());
            concept.mask_role = MaskRole::Instead;
            Some(concept)
        };
        let rule = |gate| GuidanceRule::edited(2.0, 3.0, Some(gate));
        let inside = mixed(&rule(ConceptGate::inside(0)), drawn());
        assert_eq!(inside, [-28.0, -19.0, -39.0, -22.0]);
        let outside = mixed(&rule(ConceptGate::outside(0)), drawn());
        assert_eq!(outside, [-20.0, -27.0, -23.0, -38.0]);
        // nothing acts before the first mask
        let words = Concept::new("sofa", [vec![1..2]]);
        let none = mixed(&rule(ConceptGate::outside(0)), Some(words));
        assert_eq!(none, [-20.0, -19.0, -23.0, -22.0]);
    }
}
