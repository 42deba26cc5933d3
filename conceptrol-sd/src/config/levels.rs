use conceptrol_core::models::config::{ConfigError, Fields};
use serde_json::Value;

use super::{BlockConfig, MidConfig, TransformerConfig};

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
    /// Without `up` there are no up blocks.
    pub(super) fn read(fields: &Fields, up: bool) -> Result<Self, ConfigError> {
        let channels = fields.sizes("block_out_channels", 1..=MAX_LEVELS, 1..=MAX_WIDTH)?;
        let levels = channels.len();
        let sizes = |field: &'static str, most: usize| {
            let size = |value: &Value| fields.as_size(field, value, &(1..=most));
            let sizes = per_level(fields, field, levels, size)?;
            sizes.ok_or_else(|| fields.error(field, "a number, or one a level"))
        };
        let depths = |field| {
            per_level(fields, field, levels, |value| {
                Depths::parse(fields, field, value)
            })
        };
        let down_depths = depths(DEPTHS)?.unwrap_or(vec![Depths::Same(1); levels]);
        let listed = |depths: &Depths| matches!(depths, Depths::Each(_));
        let up_depths = match depths(UP_DEPTHS)? {
            Some(depths) => depths,
            None if up && down_depths.iter().any(listed) => {
                let expected = format!("there where {DEPTHS} lists depths");
                return Err(fields.error(UP_DEPTHS, expected));
            }
            None => down_depths.iter().rev().cloned().collect(),
        };
        const ONLY_CROSS: &str = "only_cross_attention";
        let flag = |value: &Value| {
            let flag = value.as_bool();
            flag.ok_or_else(|| fields.wrong(ONLY_CROSS, value, "true or false"))
        };
        let only_cross_attention = per_level(fields, ONLY_CROSS, levels, flag)?;

        Ok(Self {
            layers: sizes("layers_per_block", MAX_LAYERS)?,
            heads: sizes("attention_head_dim", MAX_WIDTH)?,
            context_dims: sizes("cross_attention_dim", MAX_WIDTH)?,
            only_cross_attention: only_cross_attention.unwrap_or(vec![false; levels]),
            down_attends: block_types(fields, "down_block_types", levels, DOWN_TYPES)?,
            up_attends: match up {
                true => block_types(fields, "up_block_types", levels, UP_TYPES)?,
                false => Vec::new(),
            },
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
    pub(super) fn down(&self, fields: &Fields) -> Result<Vec<BlockConfig>, ConfigError> {
        let blocks = self.channels.iter().enumerate().map(|(level, &channels)| {
            let layers = self.layers[level];
            let mut inputs = vec![channels; layers];
            inputs[0] = self.channels[level.saturating_sub(1)];
            let depths = &self.down_depths[level];
            Ok(BlockConfig {
                inputs,
                channels,
                transformer: self.down_attends[level]
                    .then(|| {
                        self.transformer(fields, level, depths.resolve(fields, DEPTHS, layers)?)
                    })
                    .transpose()?,
                resample: level + 1 < self.channels.len(),
                downsample: 1 << level,
            })
        });
        blocks.collect()
    }

    /// The block in the middle, at the innermost level.
    pub(super) fn mid(&self, fields: &Fields) -> Result<Option<MidConfig>, ConfigError> {
        const FIELD: &str = "mid_block_type";
        // Absent means diffusers' default; only an explicit `null` leaves the block out.
        let attends = match fields.optional_text(FIELD)? {
            None if fields.is_null(FIELD) => return Ok(None),
            None | Some("UNetMidBlock2DCrossAttn") => true,
            Some("UNetMidBlock2D") => false,
            Some(_) => {
                let expected = "UNetMidBlock2DCrossAttn, UNetMidBlock2D or null";
                return Err(fields.error(FIELD, expected));
            }
        };
        let level = self.channels.len() - 1;
        let transformer = attends.then(|| {
            let depths = self.down_depths[level].resolve(fields, DEPTHS, 1)?;
            let mut transformer = self.transformer(fields, level, depths)?;
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
    pub(super) fn up(&self, fields: &Fields) -> Result<Vec<BlockConfig>, ConfigError> {
        let levels = self.channels.len();
        let blocks = (0..self.up_attends.len()).map(|index| {
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
            let depths = &self.up_depths[index];
            Ok(BlockConfig {
                inputs: inputs.collect(),
                channels,
                transformer: self.up_attends[index]
                    .then(|| {
                        self.transformer(fields, level, depths.resolve(fields, UP_DEPTHS, layers)?)
                    })
                    .transpose()?,
                resample: level > 0,
                downsample: 1 << level,
            })
        });
        blocks.collect()
    }

    fn transformer(
        &self,
        fields: &Fields,
        level: usize,
        depths: Vec<usize>,
    ) -> Result<TransformerConfig, ConfigError> {
        let (channels, heads) = (self.channels[level], self.heads[level]);
        if heads > channels {
            let expected = format!("at most the {channels} channels of level {level}, not {heads}");
            return Err(fields.error("attention_head_dim", expected));
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
const UP_DEPTHS: &str = "reverse_transformer_layers_per_block";

/// Transformer blocks of one level: the same behind each residual block, or listed.
#[derive(Clone)]
enum Depths {
    Same(usize),
    Each(Vec<usize>),
}

impl Depths {
    fn parse(fields: &Fields, field: &'static str, value: &Value) -> Result<Self, ConfigError> {
        let depth = |value| fields.as_size(field, value, &(0..=MAX_DEPTH));
        match value {
            Value::Array(entries) => {
                let depths = entries.iter().take(MAX_LAYERS + 1).map(depth);
                depths.collect::<Result<_, _>>().map(Self::Each)
            }
            value => depth(value).map(Self::Same),
        }
    }

    /// One entry per residual block; diffusers ignores entries beyond them, and so does this.
    fn resolve(
        &self,
        fields: &Fields,
        field: &'static str,
        layers: usize,
    ) -> Result<Vec<usize>, ConfigError> {
        match self {
            Self::Same(depth) => Ok(vec![*depth; layers]),
            Self::Each(depths) => match depths.get(..layers) {
                Some(depths) => Ok(depths.to_vec()),
                None => Err(fields.error(field, format!("lists of {layers} layers"))),
            },
        }
    }
}

/// A value for all levels, or a list with one value a level.
fn per_level<T: Clone>(
    fields: &Fields,
    field: &'static str,
    levels: usize,
    parse: impl Fn(&Value) -> Result<T, ConfigError>,
) -> Result<Option<Vec<T>>, ConfigError> {
    match fields.value(field) {
        None => Ok(None),
        Some(Value::Array(entries)) if entries.len() != levels => {
            Err(fields.error(field, format!("a list of {levels} levels")))
        }
        Some(Value::Array(entries)) => {
            let values = entries.iter().map(parse).collect::<Result<_, _>>();
            values.map(Some)
        }
        Some(value) => Ok(Some(vec![parse(value)?; levels])),
    }
}

/// Name of the block type without attention, and of the one with it.
type BlockTypes = (&'static str, &'static str);
const DOWN_TYPES: BlockTypes = ("DownBlock2D", "CrossAttnDownBlock2D");
const UP_TYPES: BlockTypes = ("UpBlock2D", "CrossAttnUpBlock2D");

/// Whether each block attends.
fn block_types(
    fields: &Fields,
    field: &'static str,
    levels: usize,
    (plain, attending): BlockTypes,
) -> Result<Vec<bool>, ConfigError> {
    let names = fields.list(field, levels..=levels)?;
    let attends = names.iter().map(|name| match name.as_str() {
        Some(name) if name == plain => Ok(false),
        Some(name) if name == attending => Ok(true),
        _ => Err(fields.wrong(field, name, format!("{plain} or {attending}"))),
    });
    attends.collect()
}
