//! The transformer, in memory or on disk.

use conceptrol_core::models::weights::{WeightError, Weights};
use conceptrol_core::pipeline::Residency;

use crate::config::FluxConfig;
use crate::mmdit::FluxTransformer;

/// A transformer of `config` from the scope of all its weights, every tensor of which must be used.
///
/// # Errors
/// [`WeightError`] lists what is missing, unexpected or of another shape.
pub fn load_transformer(
    config: &FluxConfig,
    weights: Weights,
    residency: Residency,
) -> Result<FluxTransformer, WeightError> {
    if residency != Residency::Disk {
        let model = FluxTransformer::new(config, &weights);
        weights.finish()?;
        return Ok(model);
    }
    drop(FluxTransformer::new(config, &weights.unread()));
    weights.clone().finish()?;
    Ok(FluxTransformer::streamed(config, &weights))
}
