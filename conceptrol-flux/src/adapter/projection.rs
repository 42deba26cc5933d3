use burn::module::Module;
use burn::tensor::Tensor;
use conceptrol_core::models::image_projection::{ImageProjModel, MlpProjModel};
use conceptrol_core::models::weights::Weights;

use super::{AdapterKind, IpAdapterLayout};

/// From the embedding of a picture to image tokens.
#[derive(Module, Debug)]
pub enum ImageProjection {
    /// One linear map (`XLabs`).
    Linear(ImageProjModel),
    /// Two linear maps (`InstantX`).
    Mlp(MlpProjModel),
}

impl ImageProjection {
    /// Takes the projection from the root of an adapter's file.
    pub fn new(layout: &IpAdapterLayout, w: &Weights) -> Self {
        let (embedding, tokens, context) =
            (layout.embedding_dim, layout.tokens, layout.context_dim);
        match layout.hidden_dim {
            None => {
                let w = &w.at(layout.kind.projection());
                Self::Linear(ImageProjModel::new(embedding, tokens, context, w))
            }
            Some(hidden) => {
                let w = &w.at(layout.kind.projection());
                Self::Mlp(MlpProjModel::new(embedding, hidden, tokens, context, w))
            }
        }
    }

    /// The image tokens of pictures.
    ///
    /// # Shapes
    /// `embeds` `[pictures, embedding_dim]` -> `[pictures, tokens, context_dim]`
    pub fn forward(&self, embeds: Tensor<2>) -> Tensor<3> {
        match self {
            Self::Linear(projection) => projection.forward(embeds),
            Self::Mlp(projection) => projection.forward(embeds),
        }
    }
}

impl AdapterKind {
    /// Where the projection lies in a file.
    pub(crate) const fn projection(self) -> &'static str {
        match self {
            Self::XLabs => "ip_adapter_proj_model",
            Self::InstantX => "image_proj",
        }
    }

    /// Where the weights of blocks lie in a file.
    pub(crate) const fn blocks(self) -> &'static str {
        match self {
            Self::XLabs => "double_blocks",
            Self::InstantX => "ip_adapter",
        }
    }
}
