//! Half precision needs a guard that full precision does not.

use burn::tensor::{DType, Tensor};

/// Largest finite f16.
const F16_LIMIT: f64 = 65504.0;

/// Keeps f16 streams finite, as the reference does after its blocks; other dtypes pass unchanged.
pub(crate) fn keep_finite(x: Tensor<3>) -> Tensor<3> {
    if x.dtype() == DType::F16 {
        x.clamp(-F16_LIMIT, F16_LIMIT)
    } else {
        x
    }
}
