//! Attention in blocks: a block of queries meets tiles of keys that stay in the cache, and the softmax is kept up to date as
//! tiles go by (Milakov and Gimelshein 2018; Dao et al. 2022). Scores exist for 24 queries and 256 keys at a time.

mod bias;
mod block;
mod heads;
mod keys;
mod map;
mod rows;
mod softmax;

pub(crate) use bias::Segments;
pub(crate) use block::attention;
pub(crate) use heads::Heads;
pub(crate) use map::text_map;
pub(crate) use rows::softmax;
