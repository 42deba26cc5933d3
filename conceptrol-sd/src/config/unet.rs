use std::path::Path;

use conceptrol_core::models::config::{ConfigError, Fields};
use conceptrol_core::models::nn::Activation;
use serde_json::Value;

use super::levels::{Levels, MAX_WIDTH};
use super::{BlockConfig, MidConfig};

/// What errors call the model.
const MODEL: &str = "unet";

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
/// assert_eq!(error.to_string(), "unet field `block_out_channels` is absent, but must be a list of 1 to 8 entries");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UNetConfig {
    /// Channels of the latents that come in (8 in editing models, 9 in inpainting models).
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
        Self::from_fields(&Fields::open(MODEL, path)?)
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the text does not describe a model of this crate.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_fields(&Fields::parse(MODEL, text)?)
    }

    /// The U-Net of Stable Diffusion 1.x.
    pub fn sd15() -> Self {
        Self::from_json(include_str!("sd15.json")).expect("the built-in configuration is valid")
    }

    /// The U-Net of Stable Diffusion XL.
    pub fn sdxl() -> Self {
        Self::from_json(include_str!("sdxl.json")).expect("the built-in configuration is valid")
    }

    fn from_fields(fields: &Fields) -> Result<Self, ConfigError> {
        fields.must_be("_class_name", "UNet2DConditionModel")?;
        Self::read(fields, true)
    }

    /// The down half and the middle of this model, as a `ControlNet` has them.
    pub(super) fn encoder(self) -> Self {
        Self {
            up: Vec::new(),
            ..self
        }
    }

    /// Without `up` there are no up blocks.
    pub(super) fn read(fields: &Fields, up: bool) -> Result<Self, ConfigError> {
        refuse_other_models(fields)?;
        let levels = Levels::read(fields, up)?;
        let (down, up) = (levels.down(fields)?, levels.up(fields)?);
        let mid = levels.mid(fields)?;
        let config = Self {
            in_channels: fields.size_or("in_channels", 1..=MAX_WIDTH, 4)?,
            out_channels: fields.size_or("out_channels", 1..=MAX_WIDTH, 4)?,
            conv_in_kernel: kernel(fields, "conv_in_kernel")?,
            conv_out_kernel: kernel(fields, "conv_out_kernel")?,
            sample_size: sample_size(fields)?,
            context_dim: context_dim(fields, &levels, &down, mid.as_ref(), &up)?,
            time: time(fields, levels.channels[0])?,
            added: added(fields)?,
            norm_groups: norm_groups(fields, &levels.channels)?,
            norm_eps: norm_eps(fields)?,
            activation: activation(fields)?,
            linear_projection: fields.flag_or("use_linear_projection", false)?,
            down,
            mid,
            up,
        };
        // Softmax is always in f32 here, so the flag changes nothing; its type is still checked.
        fields.flag_or("upcast_attention", false)?;
        Ok(config)
    }
}

/// Refuses every setting that would change the numbers without being computed here.
fn refuse_other_models(fields: &Fields) -> Result<(), ConfigError> {
    for field in [
        "class_embed_type",
        "num_class_embeds",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "time_embedding_act_fn",
        "timestep_post_act",
        "cross_attention_norm",
        // diffusers refuses it as well: the head count is called `attention_head_dim` for historical reasons
        "num_attention_heads",
    ] {
        fields.must_be(field, Value::Null)?;
    }
    for field in [
        "center_input_sample",
        "class_embeddings_concat",
        "dual_cross_attention",
        "resnet_skip_time_act",
    ] {
        fields.must_be(field, false)?;
    }
    fields.must_be("downsample_padding", 1)?;
    fields.must_be("mid_block_scale_factor", 1)?;
    fields.must_be("resnet_out_scale_factor", 1)?;
    fields.must_be("resnet_time_scale_shift", "default")?;
    fields.must_be("time_embedding_type", "positional")?;
    fields.must_be("attention_type", "default")
}

fn kernel(fields: &Fields, field: &'static str) -> Result<usize, ConfigError> {
    match fields.size_or(field, 1..=15, 3)? {
        // Half padding would change the size of the picture.
        even if even % 2 == 0 => Err(fields.error(field, "odd")),
        kernel => Ok(kernel),
    }
}

fn sample_size(fields: &Fields) -> Result<Option<[usize; 2]>, ConfigError> {
    const FIELD: &str = "sample_size";
    let side = |value: &Value| fields.as_size(FIELD, value, &(1..=MAX_WIDTH));
    match fields.value(FIELD) {
        None => Ok(None),
        Some(Value::Array(sides)) => match sides.as_slice() {
            [height, width] => Ok(Some([side(height)?, side(width)?])),
            _ => Err(fields.error(FIELD, "a number or a pair")),
        },
        Some(value) => side(value).map(|side| Some([side, side])),
    }
}

/// The one width of text states all transformers agree on.
fn context_dim(
    fields: &Fields,
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
        Some(other) => {
            let expected = format!("one width: a text cannot be both {first} and {other} wide");
            Err(fields.error("cross_attention_dim", expected))
        }
    }
}

fn time(fields: &Fields, channels: usize) -> Result<TimeConfig, ConfigError> {
    let freq_shift = fields.number_or("freq_shift", 0.0)?;
    let sinusoid = |field, dim: usize| {
        // The exponent divides by the number of frequencies less the shift.
        if dim < 2 || (dim / 2) as f64 <= freq_shift {
            let expected = format!(
                "wide enough for sinusoids: {dim} channels, a frequency shift of {freq_shift}"
            );
            return Err(fields.error(field, expected));
        }
        Ok(())
    };
    sinusoid("block_out_channels", channels)?;
    if let Some(dim) = fields.optional_size("addition_time_embed_dim", 1..=MAX_WIDTH)? {
        sinusoid("addition_time_embed_dim", dim)?;
    }
    Ok(TimeConfig {
        sinusoid_dim: channels,
        embed_dim: fields.size_or("time_embedding_dim", 1..=4 * MAX_WIDTH, 4 * channels)?,
        flip_sin_to_cos: fields.flag_or("flip_sin_to_cos", true)?,
        freq_shift,
        // The embedding of the scale divides by half its width less one.
        guidance_dim: fields.optional_size("time_cond_proj_dim", 4..=MAX_WIDTH)?,
    })
}

fn added(fields: &Fields) -> Result<Option<AddedConfig>, ConfigError> {
    const FIELD: &str = "addition_embed_type";
    match fields.optional_text(FIELD)? {
        None => return Ok(None),
        Some("text_time") => {}
        Some(_) => return Err(fields.error(FIELD, "null or text_time")),
    }
    const INPUT: &str = "projection_class_embeddings_input_dim";
    let sinusoid_dim = fields.size("addition_time_embed_dim", 1..=MAX_WIDTH)?;
    let input_dim = fields.size(INPUT, 1..=4 * MAX_WIDTH)?;
    if input_dim <= sinusoid_dim {
        let expected =
            format!("more than the {sinusoid_dim} of one size, for pooled text beside them");
        return Err(fields.error(INPUT, expected));
    }
    Ok(Some(AddedConfig {
        sinusoid_dim,
        input_dim,
    }))
}

fn norm_groups(fields: &Fields, channels: &[usize]) -> Result<usize, ConfigError> {
    const FIELD: &str = "norm_num_groups";
    if fields.is_null(FIELD) {
        return Err(fields.error(FIELD, "a number of groups"));
    }
    let groups = fields.size_or(FIELD, 1..=MAX_WIDTH, 32)?;
    match channels.iter().find(|&channels| channels % groups != 0) {
        None => Ok(groups),
        Some(channels) => Err(fields.error(FIELD, format!("a divisor of {channels} channels"))),
    }
}

fn norm_eps(fields: &Fields) -> Result<f64, ConfigError> {
    const FIELD: &str = "norm_eps";
    match fields.number_or(FIELD, 1e-5)? {
        eps if eps < 0.0 => Err(fields.error(FIELD, "0 or above")),
        eps => Ok(eps),
    }
}

fn activation(fields: &Fields) -> Result<Activation, ConfigError> {
    const FIELD: &str = "act_fn";
    match fields.choice_or(FIELD, Activation::Silu)? {
        activation @ (Activation::Silu | Activation::Gelu) => Ok(activation),
        _ => Err(fields.error(FIELD, "silu, swish or gelu")),
    }
}
