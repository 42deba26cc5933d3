use std::fs::File;
use std::io::Read;
use std::path::Path;

use conceptrol_core::models::nn::Activation;
use serde_json::{Map, Value};

use super::fields::{Fields, as_size, required, unsupported, wrong_type};
use super::levels::{Levels, MAX_WIDTH};
use super::{BlockConfig, ConfigError, MidConfig};

/// Most bytes read as a configuration; real ones have two thousand.
const MAX_BYTES: u64 = 1 << 20;

/// A diffusers `UNet2DConditionModel`, resolved from its `config.json` to one entry per block.
///
/// Absent fields take diffusers' defaults, `null` counts as absent, unknown fields are ignored. The fields that give
/// a model its shape (`block_out_channels`, the block types, `layers_per_block`, `cross_attention_dim`,
/// `attention_head_dim`) must be there. A field that asks for something this crate does not compute is an error, so
/// a configuration that is accepted gives the numbers diffusers gives.
///
/// ```
/// use conceptrol_sd::config::UNetConfig;
///
/// let config = UNetConfig::sd15();
/// assert_eq!(config.down.len(), 4);
/// assert_eq!(config.context_dim, 768);
///
/// let error = UNetConfig::from_json("{}").unwrap_err();
/// assert_eq!(error.to_string(), "the configuration has no field `block_out_channels`");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UNetConfig {
    /// Channels of the latents that come in (9 in inpainting models).
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Side of the first convolution's kernel, odd.
    pub conv_in_kernel: usize,
    /// Side of the last convolution's kernel, odd.
    pub conv_out_kernel: usize,
    /// Height and width in latent cells the model was trained at, where the file says so.
    pub sample_size: Option<[usize; 2]>,
    /// Width of the text states all transformers read.
    pub context_dim: usize,
    /// Embedding of the timestep.
    pub time: TimeConfig,
    /// SDXL's additional embedding (`addition_embed_type` `text_time`).
    pub added: Option<AddedConfig>,
    /// Groups of every group norm.
    pub norm_groups: usize,
    /// Epsilon of the group norms outside the transformers.
    pub norm_eps: f64,
    /// Activation of the residual blocks and the output.
    pub activation: Activation,
    /// Whether transformers project tokens with matrices (SD2, SDXL) or with 1x1 convolutions (SD1.5).
    pub linear_projection: bool,
    /// Down blocks, outermost first.
    pub down: Vec<BlockConfig>,
    /// The block in the middle; distilled models leave it out.
    pub mid: Option<MidConfig>,
    /// Up blocks in execution order, innermost first.
    pub up: Vec<BlockConfig>,
}

/// Embedding of the timestep.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeConfig {
    /// Width of the sinusoidal embedding.
    pub sinusoid_dim: usize,
    /// Width of the learned embedding.
    pub embed_dim: usize,
    /// Cosines before sines.
    pub flip_sin_to_cos: bool,
    /// Subtracted from the number of frequencies in the exponent.
    pub freq_shift: f64,
    /// Width of the guidance-scale embedding of latent consistency models (`time_cond_proj_dim`).
    pub guidance_dim: Option<usize>,
}

/// SDXL's additional embedding of the pooled text and of the picture's sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedConfig {
    /// Width of the sinusoidal embedding of one size.
    pub sinusoid_dim: usize,
    /// Width of pooled text and all embedded sizes together.
    pub input_dim: usize,
}

impl UNetConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the file cannot be read or does not describe a model of this crate.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(read)?;
        file.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(read)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
                limit: MAX_BYTES,
            });
        }
        Self::from_json(&text)
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the text does not describe a model of this crate.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| ConfigError::Json {
                message: error.to_string(),
            })?;
        Self::from_fields(&Fields::new(&map))
    }

    /// The U-Net of Stable Diffusion 1.x.
    pub fn sd15() -> Self {
        Self::from_json(include_str!("sd15.json")).expect("the built-in configuration is valid")
    }

    /// The U-Net of Stable Diffusion XL.
    pub fn sdxl() -> Self {
        Self::from_json(include_str!("sdxl.json")).expect("the built-in configuration is valid")
    }

    fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        refuse_other_models(fields)?;
        let levels = Levels::read(fields)?;
        let (down, up) = (levels.down()?, levels.up()?);
        let mid = levels.mid(fields)?;
        let config = Self {
            in_channels: fields.size("in_channels", 1..=MAX_WIDTH)?.unwrap_or(4),
            out_channels: fields.size("out_channels", 1..=MAX_WIDTH)?.unwrap_or(4),
            conv_in_kernel: kernel(fields, "conv_in_kernel")?,
            conv_out_kernel: kernel(fields, "conv_out_kernel")?,
            sample_size: sample_size(fields)?,
            context_dim: context_dim(&levels, &down, mid.as_ref(), &up)?,
            time: time(fields, levels.channels[0])?,
            added: added(fields)?,
            norm_groups: norm_groups(fields, &levels.channels)?,
            norm_eps: norm_eps(fields)?,
            activation: activation(fields)?,
            linear_projection: fields.bool("use_linear_projection")?.unwrap_or(false),
            down,
            mid,
            up,
        };
        // Softmax is always in f32 here, so the flag changes nothing; its type is still checked.
        fields.bool("upcast_attention")?;
        Ok(config)
    }
}

/// Refuses every setting that would change the numbers without being computed here.
fn refuse_other_models(fields: &Fields<'_>) -> Result<(), ConfigError> {
    fields.must_be(
        "_class_name",
        "UNet2DConditionModel",
        "UNet2DConditionModel",
    )?;
    for field in [
        "class_embed_type",
        "num_class_embeds",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "time_embedding_act_fn",
        "timestep_post_act",
        "cross_attention_norm",
    ] {
        fields.must_be(field, Value::Null, "null")?;
    }
    for field in [
        "center_input_sample",
        "class_embeddings_concat",
        "dual_cross_attention",
        "resnet_skip_time_act",
    ] {
        fields.must_be(field, false, "false")?;
    }
    fields.must_be("downsample_padding", 1, "1")?;
    fields.must_be("mid_block_scale_factor", 1, "1")?;
    fields.must_be("resnet_out_scale_factor", 1, "1")?;
    fields.must_be("resnet_time_scale_shift", "default", "default")?;
    fields.must_be("time_embedding_type", "positional", "positional")?;
    fields.must_be("attention_type", "default", "default")
}

fn kernel(fields: &Fields<'_>, field: &'static str) -> Result<usize, ConfigError> {
    let kernel = fields.size(field, 1..=15)?.unwrap_or(3);
    if kernel % 2 == 0 {
        // Half padding would change the size of the picture.
        return Err(unsupported(field, &Value::from(kernel), "odd sizes"));
    }
    Ok(kernel)
}

fn sample_size(fields: &Fields<'_>) -> Result<Option<[usize; 2]>, ConfigError> {
    const FIELD: &str = "sample_size";
    let side = |value: &Value| as_size(FIELD, value, &(1..=MAX_WIDTH));
    match fields.get(FIELD) {
        None => Ok(None),
        Some(Value::Array(sides)) => match sides.as_slice() {
            [height, width] => Ok(Some([side(height)?, side(width)?])),
            _ => Err(wrong_type(
                FIELD,
                "a number or a pair",
                &Value::from(sides.clone()),
            )),
        },
        Some(value) => side(value).map(|side| Some([side, side])),
    }
}

/// The one width of text states all transformers agree on.
fn context_dim(
    levels: &Levels,
    down: &[BlockConfig],
    mid: Option<&MidConfig>,
    up: &[BlockConfig],
) -> Result<usize, ConfigError> {
    let transformers = down
        .iter()
        .map(|block| &block.transformer)
        .chain(mid.map(|mid| &mid.transformer))
        .chain(up.iter().map(|block| &block.transformer))
        .flatten();
    let mut dims = transformers.map(|transformer| transformer.context_dim);
    let Some(first) = dims.next() else {
        return Ok(levels.first_context_dim());
    };
    match dims.find(|&dim| dim != first) {
        None => Ok(first),
        Some(other) => Err(ConfigError::Inconsistent {
            field: "cross_attention_dim",
            message: format!("one text cannot be both {first} and {other} wide"),
        }),
    }
}

fn time(fields: &Fields<'_>, channels: usize) -> Result<TimeConfig, ConfigError> {
    let freq_shift = fields.number("freq_shift")?.unwrap_or(0.0);
    let embed_dim = fields.size("time_embedding_dim", 1..=4 * MAX_WIDTH)?;
    let sinusoid = |field, dim: usize| {
        // The exponent divides by the number of frequencies less the shift.
        if dim < 2 || (dim / 2) as f64 <= freq_shift {
            return Err(ConfigError::Inconsistent {
                field,
                message: format!(
                    "{dim} channels hold no sinusoid with a frequency shift of {freq_shift}"
                ),
            });
        }
        Ok(())
    };
    sinusoid("block_out_channels", channels)?;
    if let Some(dim) = fields.size("addition_time_embed_dim", 1..=MAX_WIDTH)? {
        sinusoid("addition_time_embed_dim", dim)?;
    }
    Ok(TimeConfig {
        sinusoid_dim: channels,
        embed_dim: embed_dim.unwrap_or(4 * channels),
        flip_sin_to_cos: fields.bool("flip_sin_to_cos")?.unwrap_or(true),
        freq_shift,
        // The embedding of the scale divides by half its width less one.
        guidance_dim: fields.size("time_cond_proj_dim", 4..=MAX_WIDTH)?,
    })
}

fn added(fields: &Fields<'_>) -> Result<Option<AddedConfig>, ConfigError> {
    const FIELD: &str = "addition_embed_type";
    match fields.text(FIELD)? {
        None => return Ok(None),
        Some("text_time") => {}
        Some(other) => return Err(unsupported(FIELD, &Value::from(other), "null, text_time")),
    }
    let (dim, input) = (
        "addition_time_embed_dim",
        "projection_class_embeddings_input_dim",
    );
    let config = AddedConfig {
        sinusoid_dim: required(dim, fields.size(dim, 1..=MAX_WIDTH)?)?,
        input_dim: required(input, fields.size(input, 1..=4 * MAX_WIDTH)?)?,
    };
    if config.input_dim <= config.sinusoid_dim {
        return Err(ConfigError::Inconsistent {
            field: input,
            message: format!(
                "{} leaves no room for pooled text beside sizes of {}",
                config.input_dim, config.sinusoid_dim
            ),
        });
    }
    Ok(Some(config))
}

fn norm_groups(fields: &Fields<'_>, channels: &[usize]) -> Result<usize, ConfigError> {
    const FIELD: &str = "norm_num_groups";
    if fields.is_null(FIELD) {
        return Err(unsupported(FIELD, &Value::Null, "a number of groups"));
    }
    let groups = fields.size(FIELD, 1..=MAX_WIDTH)?.unwrap_or(32);
    match channels.iter().find(|&channels| channels % groups != 0) {
        None => Ok(groups),
        Some(channels) => Err(ConfigError::Inconsistent {
            field: FIELD,
            message: format!("{channels} channels do not divide into {groups} groups"),
        }),
    }
}

fn norm_eps(fields: &Fields<'_>) -> Result<f64, ConfigError> {
    const FIELD: &str = "norm_eps";
    let eps = fields.number(FIELD)?.unwrap_or(1e-5);
    if eps < 0.0 {
        return Err(unsupported(FIELD, &Value::from(eps), "zero and above"));
    }
    Ok(eps)
}

fn activation(fields: &Fields<'_>) -> Result<Activation, ConfigError> {
    const FIELD: &str = "act_fn";
    match fields.text(FIELD)? {
        None | Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu") => Ok(Activation::Gelu),
        Some(other) => Err(unsupported(FIELD, &Value::from(other), "silu, swish, gelu")),
    }
}
