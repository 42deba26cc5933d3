//! Which adapter a file is, told by its keys.

use conceptrol_core::models::weights::Checkpoint;

use super::{AdapterError, IpAdapterLayout};

/// Who made an IP-Adapter, and so how it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterKind {
    /// `XLabs-AI/flux-ip-adapter` and `-v2`: CLIP, double blocks, added after the feed-forward part.
    XLabs,
    /// `InstantX/FLUX.1-dev-IP-Adapter`: `SigLIP`, all blocks, added to the attention's output.
    InstantX,
}

impl AdapterKind {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XLabs => "XLabs",
            Self::InstantX => "InstantX",
        }
    }
}

/// A file that was given as an adapter.
#[derive(Debug, Clone)]
pub(crate) enum AdapterFile {
    /// Low-rank layers, which OminiControl's are.
    LowRank,
    /// An IP-Adapter.
    Ip(IpAdapterLayout),
}

/// Files that are no adapters of these kinds: a key, or what keys begin with, and what has it.
const OTHERS: &[(&str, &str)] = &[
    ("pulid_ca.", "PuLID"),
    ("pulid_encoder.", "PuLID"),
    ("id_adapter_attn_layers.", "PuLID"),
    ("controlnet_blocks.", "a ControlNet, as InfiniteYou's"),
    ("controlnet_x_embedder.", "a ControlNet"),
    ("task_embedding", "DreamO"),
    (
        "ip_adapter.0.norm_ip.",
        "an ip-adapter for Stable Diffusion 3",
    ),
    (
        "transformer_blocks.0.attn.processor.q_loras.",
        "EasyControl",
    ),
    ("double_blocks.0.processor.q_loras.", "EasyControl"),
    (
        "double_blocks.0.processor.qkv_lora1.",
        "a LoRA in the layout of XLabs, as UNO's",
    ),
    (
        "ip_adapter.1.to_k_ip.weight",
        "an ip-adapter for Stable Diffusion",
    ),
];

/// What a file is that is no adapter of these kinds, if that is known.
pub fn other_kind(file: &Checkpoint) -> Option<&'static str> {
    let other = OTHERS.iter().find(|(key, _)| file.has_below(key));
    other.map(|(_, kind)| *kind)
}

impl AdapterFile {
    /// Recognises a file that is open.
    ///
    /// # Errors
    /// [`AdapterError::Unsupported`] names what it is, if that is known and not supported;
    /// [`AdapterError::NotAnAdapter`] if it is an IP-Adapter without the tensors that tell its sizes.
    pub(crate) fn of(file: &Checkpoint) -> Result<Self, AdapterError> {
        if let Some(layout) = IpAdapterLayout::of(file)? {
            return Ok(Self::Ip(layout));
        }
        match other_kind(file) {
            None => Ok(Self::LowRank),
            Some(kind) => Err(AdapterError::Unsupported {
                path: file.path().to_owned(),
                kind,
            }),
        }
    }
}
