//! Attention in blocks: a block of queries meets tiles of keys that stay in the cache, and the softmax is kept up to date as
//! tiles go by (Milakov and Gimelshein 2018; Dao et al. 2022). Scores exist for 24 queries and 256 keys at a time.

mod bias;
mod flash;
mod heads;
mod online_softmax;
mod pack;
mod text_map;

pub(crate) use bias::Segments;
pub(crate) use flash::attention;
pub(crate) use heads::Heads;
pub(crate) use online_softmax::{NOTHING, Running, scale};
pub(crate) use text_map::text_map;
