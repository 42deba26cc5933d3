use burn::tensor::Tensor;

/// The noise level of one evaluation.
///
/// ```
/// use conceptrol_sd::unet::Timestep;
///
/// let plain = Timestep::from(981.0);
/// assert_eq!(plain.value, 981.0);
/// assert_eq!(plain.guided_by(7.5).guidance_scale, Some(7.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Timestep {
    /// The scheduler's timestep, 0 to 999 for all published models; it may be fractional.
    pub value: f64,
    /// Guidance scale for models distilled to take it as an input (`time_cond_proj_dim`, latent consistency models).
    pub guidance_scale: Option<f64>,
}

impl Timestep {
    /// The same timestep, with the guidance scale as an input.
    #[must_use]
    pub fn guided_by(self, guidance_scale: f64) -> Self {
        Self {
            guidance_scale: Some(guidance_scale),
            ..self
        }
    }
}

impl From<f64> for Timestep {
    fn from(value: f64) -> Self {
        Self {
            value,
            guidance_scale: None,
        }
    }
}

/// The noise levels of the rows of a batch: one for all, as in a generation, or one each, as in training.
///
/// ```
/// use conceptrol_sd::unet::Timesteps;
///
/// assert_eq!(Timesteps::from(981.0).values, [981.0]);
/// assert_eq!(Timesteps::from(vec![3.0, 700.0]).values.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Timesteps {
    /// The scheduler's timestep of every row, or one for all rows.
    pub values: Vec<f64>,
    /// Guidance scale of all rows, for models distilled to take it as an input.
    pub guidance_scale: Option<f64>,
}

impl From<Timestep> for Timesteps {
    fn from(timestep: Timestep) -> Self {
        Self {
            values: vec![timestep.value],
            guidance_scale: timestep.guidance_scale,
        }
    }
}

impl From<f64> for Timesteps {
    fn from(value: f64) -> Self {
        Timestep::from(value).into()
    }
}

impl From<Vec<f64>> for Timesteps {
    fn from(values: Vec<f64>) -> Self {
        Self {
            values,
            guidance_scale: None,
        }
    }
}

/// What SDXL is conditioned on beside the text states.
///
/// # Shapes
/// - `text_embeds`: `[batch, pooled_dim]`
/// - `time_ids`: one list a row of the batch
///
/// The numbers stay on the host: their sinusoids are computed there, in the precision torch uses.
#[derive(Debug, Clone)]
pub struct AddedConditions {
    /// Pooled, projected text.
    pub text_embeds: Tensor<2>,
    /// Original height and width, top and left of the crop, target height and width in pixels, for each row.
    pub time_ids: Vec<Vec<f32>>,
}
