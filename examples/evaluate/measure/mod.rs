//! What is measured of a picture; `docs/evaluation.md` defines each measure.

mod areas;
mod encoder;
mod region;
mod score;
mod segmenter;
#[cfg(test)]
mod tests;

pub(crate) use areas::{auc, auc_within, load_mask, region_of};
pub(crate) use encoder::Encoder;
pub(crate) use region::{Oracle, Regions};
pub(crate) use score::Scorer;
pub(crate) use segmenter::Segmenter;
