//! The sizes of an IP-Adapter, read from names and shapes alone.

use conceptrol_core::models::weights::Checkpoint;

use super::{AdapterError, AdapterKind};
use crate::config::FluxConfig;

/// What an IP-Adapter's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IpAdapterLayout {
    /// Who made it.
    pub kind: AdapterKind,
    /// Width of the image embedding it reads.
    pub embedding_dim: usize,
    /// Width between the two linear maps of the projection, if it has two.
    pub hidden_dim: Option<usize>,
    /// Image tokens of a picture: 4 of `XLabs` v1, 16 of v2, 128 of `InstantX`.
    pub tokens: usize,
    /// Width of the image tokens.
    pub context_dim: usize,
    /// Blocks it has weights for: double ones, then single ones.
    pub blocks: usize,
}

const XLABS_PROJECTION: &str = "ip_adapter_proj_model.proj.weight";
const INSTANTX_PROJECTION: &str = "image_proj.proj.2.weight";

impl IpAdapterLayout {
    /// Recognises an IP-Adapter for FLUX; `None` if it is something else.
    ///
    /// # Errors
    /// [`AdapterError::NotAnAdapter`] if a tensor that tells its sizes is missing, or they contradict each other.
    pub fn of(file: &Checkpoint) -> Result<Option<Self>, AdapterError> {
        if file.contains(XLABS_PROJECTION) {
            return xlabs(file).map(Some);
        }
        // an adapter for Stable Diffusion has odd numbers; FaceID has low-rank layers at even ones
        let both = ["ip_adapter.0.to_k_ip.weight", "ip_adapter.1.to_k_ip.weight"];
        if file.contains(INSTANTX_PROJECTION) && both.iter().all(|name| file.contains(name)) {
            return instantx(file).map(Some);
        }
        Ok(None)
    }

    /// That it has weights for the blocks of this transformer.
    pub(crate) fn check(&self, file: &Checkpoint, config: &FluxConfig) -> Result<(), AdapterError> {
        let (blocks, model) = match self.kind {
            AdapterKind::XLabs => ("double blocks", config.num_layers),
            AdapterKind::InstantX => ("blocks", config.num_layers + config.num_single_layers),
        };
        if self.blocks == model {
            return Ok(());
        }
        Err(AdapterError::Blocks {
            path: file.path().to_owned(),
            blocks,
            adapter: self.blocks,
            model,
        })
    }
}

fn xlabs(file: &Checkpoint) -> Result<IpAdapterLayout, AdapterError> {
    let file = Shapes(file);
    let [rows, embedding_dim] = file.matrix(XLABS_PROJECTION)?;
    let key = |block: usize| {
        format!("double_blocks.{block}.processor.ip_adapter_double_stream_k_proj.weight")
    };
    let [_, context_dim] = file.matrix(&key(0))?;
    Ok(IpAdapterLayout {
        kind: AdapterKind::XLabs,
        embedding_dim,
        hidden_dim: None,
        tokens: file.tokens(rows, context_dim)?,
        context_dim,
        blocks: file.blocks(key),
    })
}

fn instantx(file: &Checkpoint) -> Result<IpAdapterLayout, AdapterError> {
    let file = Shapes(file);
    let [rows, hidden_dim] = file.matrix(INSTANTX_PROJECTION)?;
    let [_, embedding_dim] = file.matrix("image_proj.proj.0.weight")?;
    let key = |block: usize| format!("ip_adapter.{block}.to_k_ip.weight");
    let [_, context_dim] = file.matrix(&key(0))?;
    Ok(IpAdapterLayout {
        kind: AdapterKind::InstantX,
        embedding_dim,
        hidden_dim: Some(hidden_dim),
        tokens: file.tokens(rows, context_dim)?,
        context_dim,
        blocks: file.blocks(key),
    })
}

/// Shapes of a file nobody has checked yet.
struct Shapes<'a>(&'a Checkpoint);

impl Shapes<'_> {
    /// The shape of a matrix without empty axes.
    fn matrix(&self, name: &str) -> Result<[usize; 2], AdapterError> {
        let (_, shape) =
            (self.0.get(name)).ok_or_else(|| self.error(format!("{name} is missing")))?;
        match *shape {
            [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
            _ => Err(self.error(format!("{name} has shape {shape:?}, expected a matrix"))),
        }
    }

    /// Image tokens of this width in the rows of a projection.
    fn tokens(&self, rows: usize, width: usize) -> Result<usize, AdapterError> {
        if rows.is_multiple_of(width) {
            return Ok(rows / width);
        }
        Err(self.error(format!(
            "{rows} projected channels are no multiple of the token width {width}"
        )))
    }

    /// Blocks that have this tensor, from the first on.
    fn blocks(&self, key: impl Fn(usize) -> String) -> usize {
        (0..)
            .take_while(|block| self.0.contains(&key(*block)))
            .count()
    }

    fn error(&self, reason: String) -> AdapterError {
        AdapterError::NotAnAdapter {
            path: self.0.path().to_owned(),
            reason,
        }
    }
}
