use burn::tensor::Tensor;
use conceptrol_core::{Grid, Session, TokenLayout};
use conceptrol_flux::{
    FluxConfig,
    latents::{PIXELS_PER_TOKEN, grid_positions, text_positions},
    mmdit::{FluxInput, FluxTransformer, Rotary},
    omini::Placement,
};

use crate::{Failure, Place, numbers};

/// One double and one single block of FLUX.1-dev, with the embeddings and the output layer around them; `small` has two heads.
pub fn flux_blocks(small: bool) -> FluxConfig {
    let dev = FluxConfig {
        num_layers: 1,
        num_single_layers: 1,
        ..FluxConfig::dev()
    };
    match small {
        false => dev,
        true => FluxConfig {
            num_attention_heads: 2,
            joint_attention_dim: 256,
            pooled_projection_dim: 64,
            ..dev
        },
    }
}

/// What an evaluation of blocks takes: one square picture, and references of its size to its right.
#[derive(Debug)]
pub struct FluxInputs {
    latents: Tensor<3>,
    text: Tensor<3>,
    pooled: Tensor<2>,
    condition: Option<Tensor<3>>,
    rotary: Rotary,
    layout: TokenLayout,
}

impl FluxInputs {
    /// For a picture of `side` pixels and `text` tokens.
    pub fn new(
        config: &FluxConfig,
        side: usize,
        text: usize,
        references: usize,
        place: &Place,
    ) -> Self {
        let cells = (side / PIXELS_PER_TOKEN).pow(2);
        let tokens = |count, seed| numbers::<3>([1, count, config.in_channels], seed, place);
        Self::of(
            config,
            tokens(cells, 1),
            (references > 0).then(|| tokens(references * cells, 2)),
            numbers([1, text, config.joint_attention_dim], 3, place),
            numbers([1, config.pooled_projection_dim], 4, place),
        )
    }

    /// Of tensors.
    ///
    /// # Shapes
    /// - latents: `[1, tokens of the picture, channels]`
    /// - condition: `[1, tokens of all references, channels]`
    /// - text: `[1, tokens, width of T5]`
    /// - pooled: `[1, width of CLIP]`
    pub fn of(
        config: &FluxConfig,
        latents: Tensor<3>,
        condition: Option<Tensor<3>>,
        text: Tensor<3>,
        pooled: Tensor<2>,
    ) -> Self {
        let edge = latents.dims()[1].isqrt();
        let grid = Grid::new(edge, edge);
        let references = (condition.as_ref()).map_or(0, |tokens| tokens.dims()[1] / grid.cells());
        let grids = vec![grid; references];
        let words = text.dims()[1];
        let mut positions = text_positions(words);
        positions.extend(grid_positions(grid));
        let beside = Placement::RightOfPicture.positions(grid, &grids);
        positions.extend(beside.into_iter().flatten());
        let Place { device, dtype } = Place::of(&latents);
        Self {
            rotary: Rotary::new(&positions, config.axes_dims_rope, &device, dtype),
            layout: TokenLayout::joint(words, grid, grids),
            latents,
            condition,
            text,
            pooled,
        }
    }

    /// Evaluates the blocks.
    ///
    /// # Errors
    ///
    /// If the session is for another plan.
    pub fn run(
        &self,
        model: &FluxTransformer,
        session: &mut Session,
    ) -> Result<Tensor<3>, Failure> {
        let input = FluxInput {
            latents: self.latents.clone(),
            text: self.text.clone(),
            pooled: self.pooled.clone(),
            condition: self.condition.clone(),
            sigma: 0.75,
            guidance: 3.5,
            rotary: &self.rotary,
            layout: &self.layout,
        };
        Ok(model.forward(input, session)?)
    }

    /// The picture's tokens.
    pub fn grid(&self) -> Grid {
        self.layout.latents.grid
    }
}
