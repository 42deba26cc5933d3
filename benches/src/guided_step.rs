use std::time::Instant;

use burn::tensor::{DType, Tensor, TensorData};
use conceptrol_core::{AttentionPlan, BatchLayout, Concept, ReferenceTokens, Session, StepInfo};
use conceptrol_sd::{
    controlnet::ControlNetModel,
    unet::{AddedConditions, UNet2DConditionModel},
};

use crate::{
    Failure, Peak, Place,
    random_model::{IMAGE_TOKENS, RandomModel},
};

/// Text tokens of CLIP.
const TEXT_TOKENS: usize = 77;

const TIMESTEP: f64 = 500.0;

/// Steps of one generation with a concept of its own: unconditional and conditional rows through a UNet.
#[derive(Debug)]
pub struct GuidedStep {
    latents: Tensor<4>,
    context: Tensor<3>,
    added: Option<AddedConditions>,
    session: Session,
    index: usize,
}

impl GuidedStep {
    /// For `images` square pictures of `side` latent cells.
    ///
    /// # Errors
    ///
    /// If there are no pictures.
    pub fn new(
        model: &RandomModel,
        plan: &AttentionPlan,
        images: usize,
        side: usize,
    ) -> Result<Self, Failure> {
        let (config, place) = (&model.config, &model.place);
        let (rows, dim) = (2 * images, config.context_dim);
        let edge = 8.0 * side as f32; // pixels
        let is_sdxl = config.added.is_some();
        let tokens = || noise([1, IMAGE_TOKENS, dim], place);
        let concept = Concept::new("concept", [vec![3..5]])
            .reference(ReferenceTokens::new(tokens(), tokens()));
        Ok(Self {
            latents: noise([rows, config.in_channels, side, side], place),
            context: noise([rows, TEXT_TOKENS, dim], place),
            added: is_sdxl.then(|| AddedConditions {
                text_embeds: noise([rows, 1280], place),
                time_ids: vec![vec![edge, edge, 0.0, 0.0, edge, edge]; rows],
            }),
            session: Session::new(plan, BatchLayout::guided(images), [concept])?,
            index: 0,
        })
    }

    /// Takes the next step: what the UNet predicts of both rows. The first projects keys and values and reads local masks: not
    /// what a step costs.
    ///
    /// # Errors
    ///
    /// If the UNet was installed for another plan.
    pub fn run(&mut self, unet: &UNet2DConditionModel) -> Result<Tensor<4>, Failure> {
        self.run_controlled(unet, None)
    }

    /// The same with a `ControlNet` and what it has made of its picture, `[1, channels, side, side]`.
    ///
    /// # Errors
    ///
    /// If one of the models is for another plan or size.
    pub fn run_controlled(
        &mut self,
        unet: &UNet2DConditionModel,
        control: Option<(&ControlNetModel, &Tensor<4>)>,
    ) -> Result<Tensor<4>, Failure> {
        self.session
            .begin_step(StepInfo::new(self.index, usize::MAX, TIMESTEP));
        self.index += 1;
        let (latents, context) = (self.latents.clone(), self.context.clone());
        let residuals = match control {
            None => None,
            Some((net, hint)) => {
                let plan = || AttentionPlan::plain(&net.attention_sites());
                let session = self.session.guest(0, self.session.batch(), plan)?;
                let (latents, context) = (latents.clone(), context.clone());
                Some(net.forward(
                    latents,
                    TIMESTEP,
                    context,
                    self.added.clone(),
                    hint,
                    session,
                )?)
            }
        };
        Ok(unet.controlled(
            latents,
            TIMESTEP,
            context,
            self.added.clone(),
            residuals,
            &mut self.session,
        )?)
    }

    /// Takes the next step with nothing before it: by itself, not in turns with another.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), or if the device fails.
    pub fn cost(&mut self, unet: &UNet2DConditionModel) -> Result<Cost, Failure> {
        let (peak, start) = (Peak::start(), Instant::now());
        let out = self.run(unet)?;
        out.device()
            .sync()
            .map_err(|error| format!("the device failed: {error}"))?;
        Ok(Cost {
            seconds: start.elapsed().as_secs_f64(),
            peak: peak.total().unwrap_or(0),
        })
    }
}

/// What a step took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Seconds by the clock on the wall.
    pub seconds: f64,
    /// Peak resident memory of the process during the step, in bytes; zero where the system does not tell.
    pub peak: u64,
}

/// Numbers without a pattern, about unit variance.
fn noise<const D: usize>(shape: [usize; D], place: &Place) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i as f32) * 12.9898).sin() * 1.4)
        .collect();
    let data = TensorData::new(values, shape);
    Tensor::<D>::from_data(data, (&place.device, DType::F32)).cast(place.dtype)
}
