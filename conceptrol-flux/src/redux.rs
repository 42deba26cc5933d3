//! FLUX.1 Redux: pictures as tokens of the text stream.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};
use conceptrol_core::{
    Grid, kernel,
    models::{
        image::{ClipImageConfig, RgbImage, clip_tensor},
        nn::Linear,
        siglip_vision::{SiglipVisionConfig, SiglipVisionModel},
        weights::{Checkpoint, Weights},
    },
    pipeline::{AdapterFiles, LoadOptions, PipelineError},
};

/// By this tensor a file is known.
const KEY: &str = "redux_up.weight";

/// The map from a picture's states to text tokens: linear to three times the width of the text, `SiLU`, linear.
///
/// Mirrors `ReduxImageEncoder` of diffusers.
#[derive(Module, Debug)]
pub struct ReduxEmbedder {
    redux_up: Linear,
    redux_down: Linear,
}

impl ReduxEmbedder {
    /// For states of `redux_dim` channels and text of `text_dim`.
    pub fn new(redux_dim: usize, text_dim: usize, weights: &Weights) -> Self {
        let inner = 3 * text_dim;
        Self {
            redux_up: Linear::new(&weights.at("redux_up"), redux_dim, inner, true),
            redux_down: Linear::new(&weights.at("redux_down"), inner, text_dim, true),
        }
    }

    /// # Shapes
    /// `states` `[pictures, tokens, redux_dim]` -> `[pictures, tokens, text_dim]`
    pub fn forward(&self, states: Tensor<3>) -> Tensor<3> {
        let hidden = kernel::silu(self.redux_up.forward(states));
        self.redux_down.forward(hidden)
    }
}

/// The image encoder of a Redux and what makes text tokens of its states.
#[derive(Debug)]
pub struct Redux {
    vision: SiglipVisionModel,
    embedder: ReduxEmbedder,
    preprocess: ClipImageConfig,
    device: Device,
    dtype: FloatDType,
}

impl Redux {
    /// The states of a picture and the tokens they become.
    ///
    /// # Shapes
    /// `[1, patches, hidden_size]`, `[1, patches, joint_attention_dim]`
    ///
    /// # Errors
    /// A picture without pixels, or a preprocessing for another encoder.
    pub fn encode(&self, picture: &RgbImage) -> Result<(Tensor<3>, Tensor<3>), PipelineError> {
        let pixels = clip_tensor(
            std::slice::from_ref(picture),
            &self.preprocess,
            &self.device,
        )?;
        let states = self.vision.states(pixels.cast(self.dtype));
        let states = states.map_err(PipelineError::family)?;
        Ok((states.clone(), self.embedder.forward(states)))
    }

    /// The grid its tokens lie on.
    pub fn grid(&self) -> Grid {
        grid(self.vision.config())
    }
}

fn grid(vision: &SiglipVisionConfig) -> Grid {
    let side = vision.image_size / vision.patch_size;
    Grid::new(side, side)
}

/// Where a Redux is, looked at but not read.
#[derive(Debug, Clone)]
pub(crate) struct ReduxFiles {
    embedder: PathBuf,
    /// Folder of the image encoder.
    encoder: PathBuf,
    vision: SiglipVisionConfig,
    preprocess: ClipImageConfig,
}

impl ReduxFiles {
    /// Looks whether an adapter is a Redux: the folder of a `FluxPriorReduxPipeline`, or a file with its two layers. The image
    /// encoder is the one given, or in `image_encoder` of that folder or beside the file.
    pub(crate) fn open(
        files: &AdapterFiles,
        text_dim: usize,
    ) -> Result<Option<Self>, PipelineError> {
        let path = &files.weights;
        let folder = path.join("image_embedder");
        let embedder = match (folder.is_dir(), path.is_dir()) {
            (true, _) => folder,
            (false, false) => path.clone(),
            (false, true) => return Ok(None),
        };
        let checkpoint = Checkpoint::open(&embedder)?;
        let Some((_, shape)) = checkpoint.get(KEY) else {
            return Ok(None);
        };
        let root = if path.is_dir() {
            Some(path.as_path())
        } else {
            path.parent()
        };
        let beside = || root.map(|root| root.join("image_encoder"));
        let given = files.image_encoder.clone();
        let Some(encoder) = given.or_else(|| beside().filter(|folder| folder.is_dir())) else {
            let path = beside().unwrap_or_else(|| PathBuf::from("image_encoder"));
            return Err(PipelineError::NoModel { path });
        };
        let vision = SiglipVisionConfig::from_file(encoder.join("config.json"))?;
        let preprocess = preprocessing(&encoder, &vision)?;
        for (axis, found, expected) in [
            (
                "channels of its image encoder",
                shape.get(1),
                vision.encoder.hidden_size,
            ),
            ("hidden channels", shape.first(), 3 * text_dim),
        ] {
            let found = found.copied().unwrap_or_default();
            if found != expected {
                let part = "the Redux";
                return Err(PipelineError::Mismatch {
                    part,
                    axis,
                    found,
                    expected,
                });
            }
        }
        Ok(Some(Self {
            embedder,
            encoder,
            vision,
            preprocess,
        }))
    }

    pub(crate) fn grid(&self) -> Grid {
        grid(&self.vision)
    }

    /// Loads encoder and layers.
    pub(crate) fn load<X>(
        &self,
        text_dim: usize,
        options: &LoadOptions<X>,
    ) -> Result<Redux, PipelineError> {
        let dtype = options.dtype;
        let open = |path: &Path| Checkpoint::open_as(path, options.files);
        let hidden = self.vision.encoder.hidden_size;
        let vision = |weights: &_| SiglipVisionModel::new(&self.vision, weights);
        let embedder = |weights: &_| ReduxEmbedder::new(hidden, text_dim, weights);
        Ok(Redux {
            vision: options.load(open(&self.encoder)?, dtype, vision)?,
            embedder: options.load(open(&self.embedder)?, dtype, embedder)?,
            preprocess: self.preprocess.clone(),
            device: options.device.clone(),
            dtype,
        })
    }
}

/// `preprocessor_config.json` of the encoder, in its folder or in `feature_extractor` beside it, or what its size says.
fn preprocessing(
    encoder: &Path,
    vision: &SiglipVisionConfig,
) -> Result<ClipImageConfig, PipelineError> {
    const NAME: &str = "preprocessor_config.json";
    let beside = encoder.with_file_name("feature_extractor");
    let mut places = [encoder.join(NAME), beside.join(NAME)].into_iter();
    match places.find(|place| place.is_file()) {
        Some(path) => Ok(ClipImageConfig::from_file(path)?),
        None => Ok(ClipImageConfig::siglip(
            u32::try_from(vision.image_size).expect("a picture's side is limited"),
        )),
    }
}
