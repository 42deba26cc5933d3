use serde_json::Value;

use super::fields::{Fields, as_bool, as_size, required, unsupported, wrong_type};
use super::{BlockConfig, ConfigError, MidConfig, TransformerConfig};

/// More levels than any published U-Net has, few enough that sizes stay small numbers.
const MAX_LEVELS: usize = 8;
/// Most residual blocks of one level.
const MAX_LAYERS: usize = 8;
/// Most transformer blocks behind one residual block (SDXL has 10).
const MAX_DEPTH: usize = 32;
/// Widest layer.
pub(super) const MAX_WIDTH: usize = 1 << 14;

/// The settings that vary from level to level, each with one entry a level, outermost first.
pub(super) struct Levels {
    pub(super) channels: Vec<usize>,
    layers: Vec<usize>,
    heads: Vec<usize>,
    context_dims: Vec<usize>,
    only_cross_attention: Vec<bool>,
    down_depths: Vec<Depths>,
    up_depths: Vec<Depths>,
    down_attends: Vec<bool>,
    up_attends: Vec<bool>,
}

impl Levels {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let channels: Vec<usize> = required(
            "block_out_channels",
            fields.list("block_out_channels", 1..=MAX_LEVELS)?,
        )?
        .iter()
        .map(|value| as_size("block_out_channels", value, &(1..=MAX_WIDTH)))
        .collect::<Result<_, _>>()?;
        let levels = channels.len();
        let sizes = |field: &'static str, most: usize| {
            fields.per_level(field, levels, |value| as_size(field, value, &(1..=most)))
        };

        if let Some(value) = fields.get("num_attention_heads") {
            // diffusers refuses it as well: the head count is called `attention_head_dim` for historical reasons.
            return Err(unsupported(
                "num_attention_heads",
                value,
                "null, with the head count in `attention_head_dim`",
            ));
        }
        let down_depths = fields
            .per_level("transformer_layers_per_block", levels, |value| {
                Depths::parse("transformer_layers_per_block", value)
            })?
            .unwrap_or(vec![Depths::Same(1); levels]);
        let up_depths =
            fields.per_level("reverse_transformer_layers_per_block", levels, |value| {
                Depths::parse("reverse_transformer_layers_per_block", value)
            })?;
        let up_depths = match up_depths {
            Some(depths) => depths,
            None if down_depths
                .iter()
                .any(|depths| matches!(depths, Depths::Each(_))) =>
            {
                return Err(ConfigError::Missing {
                    field: "reverse_transformer_layers_per_block",
                });
            }
            None => down_depths.iter().rev().cloned().collect(),
        };

        Ok(Self {
            layers: required("layers_per_block", sizes("layers_per_block", MAX_LAYERS)?)?,
            heads: required(
                "attention_head_dim",
                sizes("attention_head_dim", MAX_WIDTH)?,
            )?,
            context_dims: required(
                "cross_attention_dim",
                sizes("cross_attention_dim", MAX_WIDTH)?,
            )?,
            only_cross_attention: fields
                .per_level("only_cross_attention", levels, |value| {
                    as_bool("only_cross_attention", value)
                })?
                .unwrap_or(vec![false; levels]),
            down_attends: block_types(fields, "down_block_types", levels, DOWN_TYPES)?,
            up_attends: block_types(fields, "up_block_types", levels, UP_TYPES)?,
            channels,
            down_depths,
            up_depths,
        })
    }

    /// Width of the text where no block reads it.
    pub(super) fn first_context_dim(&self) -> usize {
        self.context_dims[0]
    }

    /// Down blocks in execution order.
    pub(super) fn down(&self) -> Result<Vec<BlockConfig>, ConfigError> {
        let blocks = self.channels.iter().enumerate().map(|(level, &channels)| {
            let layers = self.layers[level];
            let mut inputs = vec![channels; layers];
            inputs[0] = self.channels[level.saturating_sub(1)];
            let depths = &self.down_depths[level];
            Ok(BlockConfig {
                inputs,
                channels,
                transformer: self.down_attends[level]
                    .then(|| self.transformer(level, depths.resolve(DEPTHS, layers)?))
                    .transpose()?,
                resample: level + 1 < self.channels.len(),
                downsample: 1 << level,
            })
        });
        blocks.collect()
    }

    /// The block in the middle, at the innermost level.
    pub(super) fn mid(&self, fields: &Fields<'_>) -> Result<Option<MidConfig>, ConfigError> {
        const FIELD: &str = "mid_block_type";
        // Absent means diffusers' default; only an explicit `null` leaves the block out.
        let attends = match fields.text(FIELD)? {
            None if fields.is_null(FIELD) => return Ok(None),
            None | Some("UNetMidBlock2DCrossAttn") => true,
            Some("UNetMidBlock2D") => false,
            Some(other) => {
                return Err(unsupported(
                    FIELD,
                    &Value::from(other),
                    "UNetMidBlock2DCrossAttn, UNetMidBlock2D, null",
                ));
            }
        };
        let level = self.channels.len() - 1;
        let transformer = attends.then(|| {
            let depths = self.down_depths[level].resolve(DEPTHS, 1)?;
            let mut transformer = self.transformer(level, depths)?;
            // diffusers does not hand `only_cross_attention` to this block.
            transformer.only_cross_attention = false;
            Ok(transformer)
        });
        Ok(Some(MidConfig {
            channels: self.channels[level],
            transformer: transformer.transpose()?,
            downsample: 1 << level,
        }))
    }

    /// Up blocks in execution order, innermost level first.
    pub(super) fn up(&self) -> Result<Vec<BlockConfig>, ConfigError> {
        let levels = self.channels.len();
        let blocks = (0..levels).map(|index| {
            let level = levels - 1 - index;
            let channels = self.channels[level];
            let before = self.channels[(level + 1).min(levels - 1)];
            // One residual block more than on the way down: the last takes the skip of the level's own input.
            let layers = self.layers[level] + 1;
            let inputs = (0..layers).map(|layer| {
                let entering = if layer == 0 { before } else { channels };
                let skip = if layer + 1 == layers {
                    self.channels[level.saturating_sub(1)]
                } else {
                    channels
                };
                entering + skip
            });
            let field = "reverse_transformer_layers_per_block";
            let depths = &self.up_depths[index];
            Ok(BlockConfig {
                inputs: inputs.collect(),
                channels,
                transformer: self.up_attends[index]
                    .then(|| self.transformer(level, depths.resolve(field, layers)?))
                    .transpose()?,
                resample: level > 0,
                downsample: 1 << level,
            })
        });
        blocks.collect()
    }

    fn transformer(
        &self,
        level: usize,
        depths: Vec<usize>,
    ) -> Result<TransformerConfig, ConfigError> {
        let (channels, heads) = (self.channels[level], self.heads[level]);
        if heads > channels {
            return Err(ConfigError::Inconsistent {
                field: "attention_head_dim",
                message: format!("{heads} heads at level {level}, which has {channels} channels"),
            });
        }
        Ok(TransformerConfig {
            depths,
            heads,
            head_dim: channels / heads,
            context_dim: self.context_dims[level],
            only_cross_attention: self.only_cross_attention[level],
        })
    }
}

const DEPTHS: &str = "transformer_layers_per_block";

/// Transformer blocks of one level: the same behind each residual block, or listed.
#[derive(Clone)]
enum Depths {
    Same(usize),
    Each(Vec<usize>),
}

impl Depths {
    fn parse(field: &'static str, value: &Value) -> Result<Self, ConfigError> {
        match value {
            Value::Array(entries) => entries
                .iter()
                .take(MAX_LAYERS + 1)
                .map(|value| as_size(field, value, &(0..=MAX_DEPTH)))
                .collect::<Result<_, _>>()
                .map(Depths::Each),
            value => as_size(field, value, &(0..=MAX_DEPTH)).map(Depths::Same),
        }
    }

    /// One entry per residual block; diffusers ignores entries beyond them, and so does this.
    fn resolve(&self, field: &'static str, layers: usize) -> Result<Vec<usize>, ConfigError> {
        match self {
            Self::Same(depth) => Ok(vec![*depth; layers]),
            Self::Each(depths) => match depths.get(..layers) {
                Some(depths) => Ok(depths.to_vec()),
                None => Err(ConfigError::WrongLength {
                    field,
                    found: depths.len(),
                    expected: layers,
                    of: "layers",
                }),
            },
        }
    }
}

/// Name of the block type without attention, name of the one with it, both for messages.
type BlockTypes = (&'static str, &'static str, &'static str);
const DOWN_TYPES: BlockTypes = (
    "DownBlock2D",
    "CrossAttnDownBlock2D",
    "DownBlock2D, CrossAttnDownBlock2D",
);
const UP_TYPES: BlockTypes = (
    "UpBlock2D",
    "CrossAttnUpBlock2D",
    "UpBlock2D, CrossAttnUpBlock2D",
);

/// Whether each block attends.
fn block_types(
    fields: &Fields<'_>,
    field: &'static str,
    levels: usize,
    (plain, attending, supported): BlockTypes,
) -> Result<Vec<bool>, ConfigError> {
    let names = required(field, fields.list(field, 1..=MAX_LEVELS)?)?;
    if names.len() != levels {
        return Err(ConfigError::WrongLength {
            field,
            found: names.len(),
            expected: levels,
            of: "levels",
        });
    }
    let attends = names.iter().map(|name| match name.as_str() {
        Some(name) if name == plain => Ok(false),
        Some(name) if name == attending => Ok(true),
        Some(_) => Err(unsupported(field, name, supported)),
        None => Err(wrong_type(field, "a list of strings", name)),
    });
    attends.collect()
}
