use std::collections::BTreeSet;
use std::path::Path;

use conceptrol_core::models::weights::Checkpoint;

use super::{AdapterError, FaceConfig, ResamplerConfig};

/// The kind of an IP-Adapter with the sizes of its image projection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterKind {
    /// A few tokens from the encoder's projected class state.
    Base {
        /// Width of the encoder's projected class state.
        embedding_dim: usize,
        /// Image tokens per picture.
        tokens: usize,
        /// Width of the image tokens.
        output_dim: usize,
    },
    /// A few tokens from all states of the encoder.
    Plus(ResamplerConfig),
    /// A token for every state of the encoder.
    Full {
        /// Width of the encoder's states.
        embedding_dim: usize,
        /// Width between the two linear maps.
        hidden_dim: usize,
        /// Width of the image tokens.
        output_dim: usize,
    },
    /// A few tokens from the embedding of a face, which look at the picture as well in plus adapters.
    Face(FaceConfig),
}

impl AdapterKind {
    /// Width of the image tokens: the cross-attention dimension of the model the adapter was made for.
    pub fn output_dim(&self) -> usize {
        match self {
            Self::Base { output_dim, .. } | Self::Full { output_dim, .. } => *output_dim,
            Self::Plus(config) => config.output_dim,
            Self::Face(config) => config.output_dim,
        }
    }
}

/// What an adapter file holds, read from its names and shapes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IpAdapterLayout {
    /// The kind and the sizes of the image projection.
    pub kind: AdapterKind,
    /// The numbers `n` of `ip_adapter.n.to_k_ip`: positions in the order in which a `UNet` registers its attention sites.
    pub sites: BTreeSet<usize>,
}

impl IpAdapterLayout {
    /// Recognises an adapter by its keys.
    ///
    /// # Errors
    /// If it is no IP-Adapter, or one for FLUX.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, AdapterError> {
        refuse_unsupported(checkpoint)?;
        Ok(Self {
            kind: kind(checkpoint)?,
            sites: sites(checkpoint)?,
        })
    }
}

/// Kinds whose keys are known, by a key only they have.
fn refuse_unsupported(checkpoint: &Checkpoint) -> Result<(), AdapterError> {
    let has = |name: &str| checkpoint.contains(name);
    if !has("ip_adapter_proj_model.proj.weight") && !has("ip_adapter.0.to_k_ip.bias") {
        return Ok(());
    }
    Err(AdapterError::Unsupported {
        path: checkpoint.path().to_owned(),
        kind: "an ip-adapter for flux",
    })
}

fn kind(checkpoint: &Checkpoint) -> Result<AdapterKind, AdapterError> {
    let file = Shapes { checkpoint };
    if checkpoint.contains("image_proj.latents") {
        let [_, queries, _] = file.shape("image_proj.latents")?;
        return Ok(AdapterKind::Plus(file.perceiver("image_proj", queries)?));
    }
    if checkpoint.contains("image_proj.proj.3.weight") {
        let [hidden_dim, embedding_dim] = file.shape("image_proj.proj.0.weight")?;
        let [output_dim] = file.shape("image_proj.proj.3.weight")?;
        return Ok(AdapterKind::Full {
            embedding_dim,
            hidden_dim,
            output_dim,
        });
    }
    if checkpoint.contains("image_proj.proj.2.weight") {
        return Ok(AdapterKind::Face(face(&file)?));
    }
    let [rows, embedding_dim] = file.shape("image_proj.proj.weight")?;
    let [output_dim] = file.shape("image_proj.norm.weight")?;
    if !rows.is_multiple_of(output_dim) {
        return Err(file.error(format!(
            "{rows} projected channels are no multiple of the token width {output_dim}"
        )));
    }
    Ok(AdapterKind::Base {
        embedding_dim,
        tokens: rows / output_dim,
        output_dim,
    })
}

fn face(file: &Shapes<'_>) -> Result<FaceConfig, AdapterError> {
    let [hidden_dim, embedding_dim] = file.shape("image_proj.proj.0.weight")?;
    let [rows, _] = file.shape("image_proj.proj.2.weight")?;
    let [output_dim] = file.shape("image_proj.norm.weight")?;
    if !rows.is_multiple_of(output_dim) {
        return Err(file.error(format!(
            "{rows} projected channels are no multiple of the token width {output_dim}"
        )));
    }
    let tokens = rows / output_dim;
    let has = |name: &str| file.checkpoint.contains(name);
    let perceiver = has("image_proj.perceiver_resampler.proj_in.weight")
        .then(|| file.perceiver("image_proj.perceiver_resampler", tokens));
    let pair = "ip_adapter.0.to_q_lora.down.weight";
    let rank = has(pair).then(|| file.shape::<2>(pair));
    let name = file.checkpoint.path().file_name().unwrap_or_default();
    Ok(FaceConfig {
        embedding_dim,
        hidden_dim,
        tokens,
        output_dim,
        perceiver: perceiver.transpose()?,
        // nothing in the file tells the versions apart
        shortcut: name.to_string_lossy().to_lowercase().contains("plusv2"),
        rank: rank.transpose()?.map(|[rank, _]| rank),
    })
}

fn sites(checkpoint: &Checkpoint) -> Result<BTreeSet<usize>, AdapterError> {
    let number = |name: &str| {
        let rest = name.strip_prefix("ip_adapter.")?;
        rest.strip_suffix(".to_k_ip.weight")?.parse().ok()
    };
    let sites: BTreeSet<usize> = checkpoint
        .tensors()
        .filter_map(|tensor| number(&tensor.name))
        .collect();
    if sites.is_empty() {
        let file = Shapes { checkpoint };
        return Err(file.error("there is no ip_adapter.N.to_k_ip.weight".to_owned()));
    }
    Ok(sites)
}

/// Shapes of a file nobody has checked yet.
struct Shapes<'a> {
    checkpoint: &'a Checkpoint,
}

impl Shapes<'_> {
    /// The shape of a tensor with `D` axes, none of them empty.
    fn shape<const D: usize>(&self, name: &str) -> Result<[usize; D], AdapterError> {
        let (_, shape) = self
            .checkpoint
            .get(name)
            .ok_or_else(|| self.error(format!("{name} is missing")))?;
        match <[usize; D]>::try_from(shape) {
            Ok(shape) if shape.iter().all(|&axis| axis > 0) => Ok(shape),
            _ => Err(self.error(format!("{name} has shape {shape:?}, expected {D} axes"))),
        }
    }

    /// Sizes of a perceiver with so many queries.
    fn perceiver(&self, at: &str, queries: usize) -> Result<ResamplerConfig, AdapterError> {
        let [dim, embedding_dim] = self.shape(&format!("{at}.proj_in.weight"))?;
        let [output_dim, _] = self.shape(&format!("{at}.proj_out.weight"))?;
        let [attention_dim, _] = self.shape(&format!("{at}.layers.0.0.to_q.weight"))?;
        let [inner_dim, _] = self.shape(&format!("{at}.layers.0.1.1.weight"))?;
        let heads = ResamplerConfig::heads_of(attention_dim).ok_or_else(|| {
            self.error(format!(
                "its queries have {attention_dim} channels, no multiple of 64"
            ))
        })?;
        let is_layer =
            |i: &usize| (self.checkpoint).contains(&format!("{at}.layers.{i}.0.to_q.weight"));
        Ok(ResamplerConfig {
            dim,
            depth: (0..).take_while(is_layer).count(),
            heads,
            queries,
            embedding_dim,
            output_dim,
            inner_dim,
        })
    }

    fn error(&self, reason: String) -> AdapterError {
        let path: &Path = self.checkpoint.path();
        AdapterError::NotAnAdapter {
            path: path.to_owned(),
            reason,
        }
    }
}
