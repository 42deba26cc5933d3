//! The logit bias of reference pictures in a joint sequence.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use super::joint_condition::{ReferenceSight, TextSight};
use crate::{
    concept::Concept,
    kernel::LogitBias,
    seam::{AttentionCall, AttentionContext, Gate},
};

/// The concepts whose reference picture is in the sequence, with their index in the session.
pub(super) fn carried(concepts: &[Concept]) -> impl Iterator<Item = (usize, &Concept)> {
    let numbered = concepts.iter().enumerate();
    numbered.filter(|(_, concept)| concept.conditioned && concept.reference.is_none())
}

/// What the bias of a call is made from.
pub(super) struct ConditionBias<'a, 'cx> {
    pub(super) call: &'a AttentionCall,
    pub(super) gates: &'a [Gate],
    /// Of the site.
    pub(super) scale: f32,
    pub(super) sight: ReferenceSight,
    pub(super) text: TextSight,
    pub(super) cx: &'a AttentionContext<'cx>,
}

/// A concept whose picture is a condition of the sequence.
struct Carried<'a> {
    concept: &'a Concept,
    gate: Option<&'a Gate>,
    /// `ln` of its strength, [blocked](LogitBias::BLOCKED) for 0.
    strength: f32,
    range: Range<usize>,
}

/// Whose queries a run of rows is of.
#[derive(Clone, Copy)]
enum Query {
    Text,
    Latents,
    /// By its number.
    Condition(usize),
}

/// The bias of such a run on a range of keys.
#[allow(
    clippy::large_enum_variant,
    reason = "a handful for a moment; a box would be one more allocation a call. How large a tensor is depends on features"
)]
enum Rows {
    Same(f32),
    /// `[rows, tokens]`
    Each(Tensor<2>),
}

impl ConditionBias<'_, '_> {
    /// One term for the keys of each condition, one for the latent keys and one for the text keys, as far as they are not 0
    /// for every query.
    pub(super) fn build(&self) -> Option<LogitBias> {
        let conditions: Vec<Carried<'_>> = self.conditions().collect();
        let queries = self.queries(&conditions);
        let (mut keys, mut terms) = (Vec::new(), Vec::new());
        let mut add = |range: Range<usize>, rows: &dyn Fn(Query, usize) -> Rows| {
            let rows = queries
                .iter()
                .map(|(query, len)| (*len, rows(*query, *len)));
            let rows: Vec<(usize, Rows)> = rows.collect();
            if !rows.iter().all(|(_, rows)| matches!(rows, Rows::Same(0.0))) {
                keys.push(range);
                terms.push(self.term(rows));
            }
        };
        for (number, condition) in conditions.iter().enumerate() {
            add(condition.range.clone(), &|query, len| {
                let rows = self.on_condition(number, condition, query);
                match query {
                    Query::Condition(asking) if asking == number => rows,
                    _ => self.of_prompts(condition, rows, len),
                }
            });
        }
        let own = |query: Query, value: &dyn Fn(&Carried<'_>) -> f32| match query {
            Query::Condition(_) if self.sight == ReferenceSight::Themselves => {
                Rows::Same(LogitBias::BLOCKED)
            }
            Query::Condition(number) => Rows::Same(value(&conditions[number])),
            Query::Text | Query::Latents => Rows::Same(0.0),
        };
        add(self.call.layout.latents.range.clone(), &|query, _| {
            own(query, &|condition| condition.strength)
        });
        if let Some(text) = self.call.layout.text.clone() {
            let ungated = |condition: &Carried<'_>| match condition.gate {
                Some(_) => 0.0,
                None => condition.strength,
            };
            add(text, &|query, _| own(query, &ungated));
        }
        (!keys.is_empty()).then(|| LogitBias::new(keys, Tensor::cat(terms, 1)))
    }

    fn conditions(&self) -> impl Iterator<Item = Carried<'_>> {
        let ranges = self.call.layout.conditions.iter();
        carried(self.cx.concepts)
            .zip(ranges)
            .map(|((index, concept), part)| Carried {
                concept,
                gate: self.gates.iter().find(|gate| gate.concept == index),
                strength: log_strength(self.cx.condition_strength * concept.scale * self.scale),
                range: part.range.clone(),
            })
    }

    /// Who asks, in the order of the sequence, with the number of tokens. Conditions whose keys and values were kept do not
    /// ask: the queries are the first of the sequence.
    fn queries(&self, conditions: &[Carried<'_>]) -> Vec<(Query, usize)> {
        let layout = &self.call.layout;
        let [_, _, asking, _] = self.call.query.dims();
        let conditions = conditions.iter().enumerate();
        let mut parts: Vec<(Query, Range<usize>)> = conditions
            .map(|(number, condition)| (Query::Condition(number), condition.range.clone()))
            .collect();
        parts.extend(layout.text.clone().map(|text| (Query::Text, text)));
        parts.push((Query::Latents, layout.latents.range.clone()));
        parts.retain(|(_, range)| range.end <= asking);
        parts.sort_by_key(|(_, range)| range.start);
        let lengths = parts.into_iter();
        lengths.map(|(query, range)| (query, range.len())).collect()
    }

    /// The bias on the keys of condition `number`.
    fn on_condition(&self, number: usize, condition: &Carried<'_>, query: Query) -> Rows {
        match (query, condition.gate) {
            (Query::Condition(asking), _) => {
                let is_there = condition.strength > LogitBias::BLOCKED;
                let sees = asking == number || (self.sight == ReferenceSight::All && is_there);
                Rows::Same(if sees { 0.0 } else { LogitBias::BLOCKED })
            }
            (Query::Text, Some(_)) if self.text == TextSight::Words => {
                Rows::Each(self.words(condition))
            }
            (Query::Latents, Some(gate)) => Rows::Each(self.gated(gate, condition.strength)),
            (Query::Text, _) | (Query::Latents, None) => Rows::Same(condition.strength),
        }
    }

    /// A picture in the text stream is part of the prompt: the unconditional rows, whose text is another, do not see it.
    fn of_prompts(&self, condition: &Carried<'_>, rows: Rows, len: usize) -> Rows {
        let batch = self.cx.batch;
        if !batch.is_guided() || condition.range.start >= self.call.layout.latents.range.start {
            return rows;
        }
        let conditional = self.full(rows, len).slice_dim(0, batch.conditional());
        let blocked = || conditional.full_like(LogitBias::BLOCKED);
        Rows::Each(batch.by_role(&conditional, blocked))
    }

    /// The strength at the concept's words in the conditional rows, blocked at all others.
    fn words(&self, condition: &Carried<'_>) -> Tensor<2> {
        let (batch, text_len) = (self.cx.batch, self.call.layout.text_len());
        let device = self.call.query.device();
        let words =
            (condition.concept).token_indicator(batch.images, text_len, &device, DType::F32);
        let words = batch.by_role(&words, || words.zeros_like());
        let others = words.clone().neg() + 1.0;
        // two products: `words * (c - BLOCKED) + BLOCKED` would round `c` away
        words * condition.strength + others * LogitBias::BLOCKED
    }

    /// `ln A + ln c` for every row, blocked where the mask is 0.
    fn gated(&self, gate: &Gate, strength: f32) -> Tensor<2> {
        let mask = gate.mask.clone().cast(DType::F32);
        let nowhere = mask.clone().lower_equal_elem(0.0);
        let bias = (mask.log() + strength).mask_fill(nowhere, LogitBias::BLOCKED);
        let [rows, _] = bias.dims();
        bias.repeat_dim(0, self.cx.batch.rows() / rows)
    }

    /// `[rows, 1, queries]`
    fn term(&self, rows: Vec<(usize, Rows)>) -> Tensor<3> {
        let rows = rows.into_iter().map(|(len, rows)| self.full(rows, len));
        Tensor::cat(rows.collect(), 1).unsqueeze_dim(1)
    }

    /// `[rows, tokens]`
    fn full(&self, rows: Rows, len: usize) -> Tensor<2> {
        match rows {
            Rows::Same(value) => {
                let device = self.call.query.device();
                Tensor::full([self.cx.batch.rows(), len], value, (&device, DType::F32))
            }
            Rows::Each(rows) => rows,
        }
    }
}

/// `ln c`, blocked for a strength of 0.
fn log_strength(c: f32) -> f32 {
    if c > 0.0 {
        c.ln().max(LogitBias::BLOCKED)
    } else {
        LogitBias::BLOCKED
    }
}
