//! `FaceID`: image tokens from the embedding of a face, and the low-rank layers that come with them.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use conceptrol_core::models::image_projection::MlpProjModel;
use conceptrol_core::models::weights::Weights;
use conceptrol_core::{AttentionSite, AttentionSites, LowRank, SiteKind};

use super::ResamplerConfig;
use super::resampler::Perceiver;

/// Sizes of a `FaceID` adapter, read from the shapes of its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaceConfig {
    /// Width of the embedding of a face: 512 of `ArcFace`.
    pub embedding_dim: usize,
    /// Width between the two linear maps.
    pub hidden_dim: usize,
    /// Image tokens of a face.
    pub tokens: usize,
    /// Width of the image tokens.
    pub output_dim: usize,
    /// Of plus adapters: how the tokens look at the image encoder's states as well.
    pub perceiver: Option<ResamplerConfig>,
    /// Of plus adapters: whether what they see is added to the tokens (version 2) or takes their place.
    pub shortcut: bool,
    /// Rank of the low-rank layers in the file; old files have them in a file of their own.
    pub rank: Option<usize>,
}

/// The projection of `FaceID` adapters: two linear maps to a few tokens, which look at the picture in plus adapters.
///
/// # Source
///
/// `IP-Adapter` @62e4af9 `ip_adapter_faceid.py`: `MLPProjModel`, `ProjPlusModel`.
#[derive(Module, Debug)]
pub struct FaceProjection {
    proj: MlpProjModel,
    perceiver: Option<Perceiver>,
    #[module(skip)]
    config: FaceConfig,
}

impl FaceProjection {
    /// Builds the module from `image_proj` of an adapter file.
    pub fn new(config: &FaceConfig, w: &Weights) -> Self {
        let FaceConfig {
            embedding_dim,
            hidden_dim,
            tokens,
            output_dim,
            ..
        } = *config;
        let perceiver = w.at("perceiver_resampler");
        Self {
            proj: MlpProjModel::new(embedding_dim, hidden_dim, tokens, output_dim, w),
            perceiver: config
                .perceiver
                .map(|config| Perceiver::new(&config, &perceiver)),
            config: config.clone(),
        }
    }

    /// Its sizes.
    pub fn config(&self) -> &FaceConfig {
        &self.config
    }

    /// The image tokens of faces of one person.
    ///
    /// # Shapes
    /// - `faces`: `[faces, embedding_dim]`
    /// - `states`: `[faces, tokens, embedding_dim of the encoder]`, the image encoder's penultimate states; read by plus
    ///   adapters only
    /// - output: `[1, faces * tokens, output_dim]`
    ///
    /// # Panics
    /// If a plus adapter gets no states.
    pub fn forward(&self, faces: Tensor<2>, states: Option<Tensor<3>>) -> Tensor<3> {
        let FaceConfig {
            tokens, output_dim, ..
        } = self.config;
        let [count, _] = faces.dims();
        let face = self.proj.forward(faces);
        let seen = match &self.perceiver {
            None => face,
            Some(perceiver) => {
                let states = states.expect("a plus adapter's caller encodes the picture");
                let seen = perceiver.forward(face.clone(), states);
                if self.config.shortcut {
                    face + seen
                } else {
                    seen
                }
            }
        };
        seen.reshape([1, count * tokens, output_dim])
    }
}

/// A low-rank layer of a `FaceID` adapter.
#[derive(Module, Debug)]
pub(super) struct FacePair {
    /// The projection it adds to.
    #[module(skip)]
    pub(super) module: String,
    down: Param<Tensor<2>>,
    up: Param<Tensor<2>>,
}

impl FacePair {
    pub(super) fn low_rank(&self) -> LowRank {
        LowRank {
            down: Some(self.down.val()),
            up: self.up.val(),
        }
    }
}

/// The low-rank layers in the scope of all attentions: at each on queries, keys, values and output. What the image branch is
/// projected with has none.
pub(super) fn face_pairs(
    config: &FaceConfig,
    sites: &AttentionSites,
    w: &Weights,
) -> Vec<FacePair> {
    let Some(rank) = config.rank else {
        return Vec::new();
    };
    let of_site = |(number, site): (usize, &AttentionSite)| {
        let w = w.at(number);
        let inner = site.heads * site.head_dim;
        let context = match site.kind {
            SiteKind::CrossAttention => config.output_dim,
            _ => inner,
        };
        let layers = [
            ("to_q_lora", "to_q", inner),
            ("to_k_lora", "to_k", context),
            ("to_v_lora", "to_v", context),
            ("to_out_lora", "to_out.0", inner),
        ];
        layers.map(|(layer, module, inputs)| FacePair {
            module: format!("{}.{module}", site.name),
            down: w.at(layer).at("down").tensor("weight", [rank, inputs]),
            up: w.at(layer).at("up").tensor("weight", [inner, rank]),
        })
    };
    sites
        .registration_order()
        .enumerate()
        .flat_map(of_site)
        .collect()
}
