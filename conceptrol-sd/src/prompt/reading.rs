//! From a prompt to the rows of a text encoder.

use conceptrol_core::{
    PromptTokens, TokenStyle,
    models::tokenizer::{ClipTokenizer, EncodedPrompt, Truncation},
    pipeline::PipelineError,
};

use super::{
    chunks::{Weighted, boundaries},
    emphasis::parse,
    weighting::Weighting,
};

/// How prompts are read.
///
/// The default is diffusers': the first 75 tokens, and brackets are brackets.
///
/// - **Long prompts** become chunks of up to 75 tokens, each with start, end and padding, encoded one by one and joined
///   along the tokens, as ComfyUI and A1111 do. What stands between two spaces stays in one chunk unless it has 8 tokens or
///   more (ComfyUI). All prompts of a request, negative and second ones included, get chunks without words behind their
///   own, up to as many as the longest has. The pooled text of SDXL is that of the first chunk. Words of concepts are
///   found in every chunk, and where two chunks meet.
/// - **Weights** are written `(word:1.3)`, `(word)` for 1.1 and `[word]` for 1 / 1.1; brackets within brackets multiply, and
///   a backslash makes a bracket a bracket. What a weight does is a [`Weighting`]. The pooled text has no weights. A
///   concept is named by its words alone, without brackets.
///
/// ```
/// use conceptrol_sd::pipeline::{Reading, Request, Weighting};
///
/// let mut request = Request::new("a (cat:1.2) on the beach");
/// request.extra.reading = Reading::long().weighted(Weighting::FromEmpty);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reading {
    /// Whether prompts are read to their end, in chunks of the encoder's window; otherwise what is behind the window is
    /// not seen.
    pub long: bool,
    /// What weights in prompts do; `None` reads brackets as they stand.
    pub weights: Option<Weighting>,
}

impl Reading {
    /// Prompts are read to their end.
    pub fn long() -> Self {
        Self {
            long: true,
            ..Self::default()
        }
    }

    /// Weights in prompts are read.
    pub const fn weighted(mut self, weighting: Weighting) -> Self {
        self.weights = Some(weighting);
        self
    }
}

/// A prompt as rows of the encoder.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// Ids of each chunk: start, words, end, padding.
    ids: Vec<Vec<u32>>,
    /// The weight of each of these; 1 but for words.
    weights: Vec<Vec<f32>>,
    /// The ids of a chunk without words.
    without_words: Vec<u32>,
    tokens: Vec<Weighted>,
    /// Where each token is in the chunks one after the other.
    places: Vec<usize>,
}

impl Rows {
    /// Splits a prompt.
    ///
    /// # Errors
    ///
    /// [`PipelineError::BadRequest`] for a weight that is no finite number.
    pub(crate) fn read(
        tokenizer: &ClipTokenizer,
        prompt: &str,
        reading: Reading,
    ) -> Result<Self, PipelineError> {
        let tokens = tokens(tokenizer, prompt, reading.weights.is_some())?;
        let length = tokenizer.length();
        let room = length - 2;
        let mut starts = boundaries(&tokens, room);
        if !reading.long {
            starts = vec![0, tokens.len().min(room)];
        }
        let mut rows = Self {
            ids: Vec::new(),
            weights: Vec::new(),
            without_words: tokenizer.sequence(&[]),
            tokens: Vec::new(),
            places: Vec::new(),
        };
        for (chunk, pair) in starts.windows(2).enumerate() {
            let words = &tokens[pair[0]..pair[1]];
            let ids: Vec<u32> = words.iter().map(|(token, _)| token.id).collect();
            let mut weights = vec![1.0; length];
            for (weight, (_, own)) in weights[1..].iter_mut().zip(words) {
                *weight = *own;
            }
            let first = chunk * length + 1;
            rows.places.extend(first..first + words.len());
            rows.ids.push(tokenizer.sequence(&ids));
            rows.weights.push(weights);
        }
        rows.tokens = tokens;
        Ok(rows)
    }

    /// At least as many chunks as this, the further ones without words.
    pub(crate) fn padded(mut self, chunks: usize) -> Self {
        let chunks = chunks.max(self.chunks());
        let length = self.without_words.len();
        self.ids.resize(chunks, self.without_words.clone());
        self.weights.resize(chunks, vec![1.0; length]);
        self
    }

    pub(crate) fn chunks(&self) -> usize {
        self.ids.len()
    }

    /// The ids of each chunk.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &[u32]> {
        self.ids.iter().map(Vec::as_slice)
    }

    /// The weights of each chunk.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.weights.iter()
    }

    /// The ids of the empty prompt.
    pub(crate) fn without_words(&self) -> &[u32] {
        &self.without_words
    }

    /// Whether a weight is not 1.
    pub(crate) fn is_weighted(&self) -> bool {
        self.weights.iter().flatten().any(|weight| *weight != 1.0)
    }

    /// What concepts are located in.
    pub(crate) fn located(self, tokenizer: &ClipTokenizer, prompt: &str) -> EncodedPrompt {
        let length = tokenizer.length();
        let chunks = self.ids.len();
        let tokens = self.tokens.into_iter().map(|(token, _)| token).collect();
        let whole = self.places.len();
        let tokens = match chunks {
            1 => PromptTokens::new(tokens, TokenStyle::Clip, length),
            _ => PromptTokens::new(tokens, TokenStyle::Clip, whole + 2).at(self.places),
        };
        EncodedPrompt {
            ids: self.ids.concat(),
            truncated: Truncation::of(prompt, &tokens, whole),
            tokens,
        }
    }
}

/// The tokens of a prompt with their weights.
fn tokens(
    tokenizer: &ClipTokenizer,
    prompt: &str,
    weighted: bool,
) -> Result<Vec<Weighted>, PipelineError> {
    if !weighted {
        let plain = tokenizer.tokens(prompt).into_iter();
        return Ok(plain.map(|token| (token, 1.0)).collect());
    }
    let mut all = Vec::new();
    for segment in parse(prompt)? {
        all.extend(
            tokenizer
                .tokens(&segment.text)
                .into_iter()
                .map(|mut token| {
                    token.bytes = segment.in_prompt(&token.bytes);
                    (token, segment.weight)
                }),
        );
    }
    Ok(all)
}
