//! Errors as a program prints them.

use std::error::Error;

/// All levels of an error, the outermost first: `cannot read model.json: No such file or directory`.
///
/// The errors of this workspace say at each level what that level knows, and leave the rest to
/// [`source`](Error::source).
pub fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut below = error.source();
    while let Some(level) = below {
        message += ": ";
        message += &level.to_string();
        below = level.source();
    }
    message
}
