use burn::tensor::Tensor;

/// Bounds of the log variance (`DiagonalGaussianDistribution` in diffusers).
const LOGVAR: (f32, f32) = (-30.0, 20.0);

/// The normal distribution of latents an encoder found for a picture: independent at every element.
#[derive(Debug, Clone)]
pub struct Posterior {
    mean: Tensor<4>,
    logvar: Tensor<4>,
}

impl Posterior {
    /// Splits `moments: [batch, 2 * channels, h, w]` into mean and log variance.
    pub(super) fn from_moments(moments: Tensor<4>) -> Self {
        let channels = moments.dims()[1] / 2;
        let mean = moments.clone().narrow(1, 0, channels);
        let logvar = moments
            .narrow(1, channels, channels)
            .clamp(LOGVAR.0, LOGVAR.1);
        Self { mean, logvar }
    }

    /// The mean, which is also the mode.
    ///
    /// # Shapes
    /// `[batch, latent_channels, height, width]`
    pub fn mean(&self) -> Tensor<4> {
        self.mean.clone()
    }

    /// The natural logarithm of the variance, clamped to -30..=20.
    ///
    /// # Shapes
    /// `[batch, latent_channels, height, width]`
    pub fn logvar(&self) -> Tensor<4> {
        self.logvar.clone()
    }

    /// The standard deviation.
    ///
    /// # Shapes
    /// `[batch, latent_channels, height, width]`
    pub fn std(&self) -> Tensor<4> {
        self.logvar.clone().mul_scalar(0.5).exp()
    }

    /// `mean + std * noise`, for standard normal `noise`.
    ///
    /// # Shapes
    /// `noise` and output: `[batch, latent_channels, height, width]`, or more than one of a single picture
    ///
    /// # Panics
    /// If `noise` has another shape than [`Self::mean`].
    pub fn sample(&self, noise: Tensor<4>) -> Tensor<4> {
        let noise = noise.cast(self.mean.dtype());
        self.mean() + self.std() * noise
    }

    /// A [`sample`](Self::sample) where there is noise, the [`mean`](Self::mean) without.
    ///
    /// # Panics
    /// As [`sample`](Self::sample).
    pub fn latents(&self, noise: Option<Tensor<4>>) -> Tensor<4> {
        match noise {
            Some(noise) => self.sample(noise),
            None => self.mean(),
        }
    }
}
