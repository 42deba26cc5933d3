//! The text stream: prompts, and the pictures among them.

use burn::tensor::{DType, Tensor};
use conceptrol_core::pipeline::{Family, Frame, PipelineError};

use crate::pipeline::{Extra, Flux, ReduxPictures, ReduxText, Request, options::TEXT_LIMIT};

/// States of the text stream.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// `[prompts | rows, tokens, joint_attention_dim]`
    pub(super) tokens: Tensor<3>,
    /// `[prompts | rows, pooled_projection_dim]`
    pub(super) pooled: Tensor<2>,
}

/// Those of the prompts of a request.
#[derive(Debug)]
pub(super) struct Prompts {
    /// Of the negative prompts, if they are mixed with.
    negative: Option<Text>,
    own: Text,
    /// Of the prompts of further pictures that are summed, one row each.
    further: Vec<Text>,
}

impl Text {
    fn narrow(&self, start: usize, len: usize) -> Self {
        Self {
            tokens: self.tokens.clone().narrow(0, start, len),
            pooled: self.pooled.clone().narrow(0, start, len),
        }
    }

    fn times(self, [tokens, pooled]: [f32; 2]) -> Self {
        Self {
            tokens: self.tokens * tokens,
            pooled: self.pooled * pooled,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            pooled: self.pooled + other.pooled,
        }
    }
}

impl Prompts {
    /// Without pictures, for every row.
    pub(super) fn alone(&self, frame: &Frame) -> Text {
        self.rows(&self.own, frame)
    }

    /// With the tokens of each picture of a Redux, `[1, tokens, joint_attention_dim]`, for every row.
    pub(super) fn with(&self, pictures: Vec<Tensor<3>>, request: &Request, frame: &Frame) -> Text {
        let options = &request.extra.redux;
        let factors = options.factors(pictures.len());
        let summed = options.pictures == ReduxPictures::Summed;
        let texts = match summed {
            true => factors.len(),
            false => 1,
        };
        let text = (0..texts).map(|index| {
            let further = index
                .checked_sub(1)
                .and_then(|index| self.further.get(index));
            further.unwrap_or(&self.own).clone().times(factors[index])
        });
        let text = text.reduce(Text::plus).unwrap_or_else(|| self.own.clone());
        let pictures = pictures.into_iter().zip(&factors);
        let pictures = pictures.map(|(tokens, [factor, _])| tokens * *factor);
        let pictures = match summed {
            true => pictures
                .reduce(|sum, tokens| sum + tokens)
                .into_iter()
                .collect(),
            false => pictures.collect::<Vec<_>>(),
        };
        let text = self.rows(&text, frame);
        let rows = frame.batch.rows();
        let pictures = pictures
            .into_iter()
            .map(|tokens| tokens.repeat_dim(0, rows));
        Text {
            tokens: Tensor::cat(std::iter::once(text.tokens).chain(pictures).collect(), 1),
            pooled: text.pooled,
        }
    }

    /// The states of prompts, after those of the negative ones, for the rows of the batch.
    fn rows(&self, own: &Text, frame: &Frame) -> Text {
        let negative = self.negative.as_ref();
        let tokens = negative.map(|text| text.tokens.clone());
        let pooled = negative.map(|text| text.pooled.clone());
        Text {
            tokens: frame.rows(tokens, own.tokens.clone()),
            pooled: frame.rows(pooled, own.pooled.clone()),
        }
    }
}

impl Flux {
    /// The states of all prompts, which pass the encoders together: their weights may come from disk.
    pub(super) fn encode_text(
        &self,
        request: &Request,
        frame: &Frame,
    ) -> Result<Prompts, PipelineError> {
        let count = request.prompts.len();
        let negative = request.negative_prompts.iter().flatten();
        let negative = negative
            .cloned()
            .cycle()
            .take(match frame.batch.is_guided() {
                true => count,
                false => 0,
            });
        let mut prompts: Vec<String> = negative.collect();
        let first = prompts.len();
        let zeros = request.extra.redux.text == ReduxText::Zeros;
        if !zeros {
            prompts.extend_from_slice(&request.prompts);
            prompts.extend_from_slice(&request.extra.redux.further_prompts);
        }
        let text = match prompts.is_empty() {
            true => self.no_text(request, 0),
            false => self.encode_all(request, &prompts)?,
        };
        let own = match zeros {
            true => self.no_text(request, count),
            false => text.narrow(first, count),
        };
        let further = match zeros {
            true => 0,
            false => request.extra.redux.further_prompts.len(),
        };
        Ok(Prompts {
            negative: (first > 0).then(|| text.narrow(0, first)),
            own,
            further: (0..further)
                .map(|index| text.narrow(first + count + index, 1))
                .collect(),
        })
    }

    fn encode_all(&self, request: &Request, prompts: &[String]) -> Result<Text, PipelineError> {
        let pieces = prompts.iter();
        let pieces = pieces.map(|prompt| self.tokenize(prompt, &request.extra));
        let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
        let encoders = self.encoders_for(request)?;
        let (tokenizers, device) = (self.tokenizers(), &self.profile.device);
        let (tokens, pooled) = encoders.encode(tokenizers, prompts, &pieces, device)?;
        Ok(Text { tokens, pooled })
    }

    /// Number of T5 tokens of a prompt.
    pub(super) fn text_tokens(&self, extra: &Extra) -> usize {
        let own = || self.tokenizers().t5.length();
        let tokens = extra.text_tokens.or_else(|| Some(own()?.min(TEXT_LIMIT)));
        tokens.unwrap_or(TEXT_LIMIT)
    }

    /// Zeros in the place of `prompts` prompts.
    fn no_text(&self, request: &Request, prompts: usize) -> Text {
        let (config, device) = (self.config(), &self.profile.device);
        let tokens = [
            prompts,
            self.text_tokens(&request.extra),
            config.joint_attention_dim,
        ];
        let kind = (device, DType::from(self.profile.dtype));
        Text {
            tokens: Tensor::zeros(tokens, kind),
            pooled: Tensor::zeros([prompts, config.pooled_projection_dim], kind),
        }
    }
}
