//! The blocks of the transformer: in memory, or read from disk when their turn comes.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conceptrol_core::AttentionError;
use conceptrol_core::models::weights::{WeightError, Weights};
use conceptrol_core::{Cancel, SiteId, models::read_ahead};

use super::adapters::Adapters;
use super::double_block::DoubleBlock;
use super::single_block::SingleBlock;
use crate::config::FluxConfig;

/// Blocks that are on disk.
#[derive(Debug, Clone)]
pub(super) struct OnDisk {
    /// The scope of the whole model.
    weights: Weights,
    config: FluxConfig,
    /// Nanoseconds for which evaluations waited for blocks.
    waited: Arc<AtomicU64>,
}

/// A block that has been read.
pub(super) enum Block {
    Double(Box<DoubleBlock>),
    Single(Box<SingleBlock>),
}

/// Blocks in the order they compute, for one evaluation.
pub(super) enum Blocks<'a> {
    InMemory {
        double: &'a [DoubleBlock],
        single: &'a [SingleBlock],
    },
    Read(&'a mut dyn Iterator<Item = Result<Block, WeightError>>),
}

impl<'a> Blocks<'a> {
    /// Double block `index`.
    pub(super) fn double(&mut self, index: usize) -> Result<Cow<'a, DoubleBlock>, AttentionError> {
        match self {
            Self::InMemory { double, .. } => Ok(Cow::Borrowed(&double[index])),
            Self::Read(blocks) => match next(blocks)? {
                Block::Double(block) => Ok(Cow::Owned(*block)),
                Block::Single(_) => unreachable!("double blocks are read first"),
            },
        }
    }

    /// Single block `index`.
    pub(super) fn single(&mut self, index: usize) -> Result<Cow<'a, SingleBlock>, AttentionError> {
        match self {
            Self::InMemory { single, .. } => Ok(Cow::Borrowed(&single[index])),
            Self::Read(blocks) => match next(blocks)? {
                Block::Single(block) => Ok(Cow::Owned(*block)),
                Block::Double(_) => unreachable!("as many double blocks are read as are taken"),
            },
        }
    }
}

fn next(
    blocks: &mut dyn Iterator<Item = Result<Block, WeightError>>,
) -> Result<Block, AttentionError> {
    let block = blocks.next().expect("a block for each of the model");
    block.map_err(|error| AttentionError::Weights(Box::new(error)))
}

impl OnDisk {
    /// `weights` is the scope of the whole model.
    pub(super) fn new(config: &FluxConfig, weights: &Weights) -> Self {
        Self {
            weights: weights.clone(),
            config: config.clone(),
            waited: Arc::default(),
        }
    }

    /// How long all passes so far waited for blocks.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    /// Calls `pass` with all blocks, each read while the one before it computes.
    pub(super) fn pass<R>(&self, adapters: &Adapters, pass: impl FnOnce(Blocks<'_>) -> R) -> R {
        let Self {
            weights,
            config,
            waited,
        } = self;
        let weights = &weights.until(&Cancel::current()).recycling();
        let count = config.num_layers + config.num_single_layers;
        let read = |index| move || weights.read(|weights| block(config, weights, adapters, index));
        read_ahead((0..count).map(read), |blocks| {
            let mut timed = iter::from_fn(|| {
                let start = Instant::now();
                let block = blocks.next();
                waited.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
                block
            });
            pass(Blocks::Read(&mut timed))
        })
    }
}

/// Block `index` of all.
fn block(config: &FluxConfig, weights: &Weights, adapters: &Adapters, index: usize) -> Block {
    match index.checked_sub(config.num_layers) {
        None => {
            let mut block = double_block(config, weights, index);
            let linears = block.linears().into_iter();
            linears.for_each(|linear| adapters.attach(linear));
            Block::Double(Box::new(block))
        }
        Some(index) => {
            let mut block = single_block(config, weights, index);
            let linears = block.linears().into_iter();
            linears.for_each(|linear| adapters.attach(linear));
            Block::Single(Box::new(block))
        }
    }
}

/// Double block `index`; `weights` is the scope of the whole model.
pub(super) fn double_block(config: &FluxConfig, weights: &Weights, index: usize) -> DoubleBlock {
    let scope = weights.at("transformer_blocks").at(index);
    DoubleBlock::new(config, &scope, SiteId::new(index))
}

/// Single block `index`; `weights` is the scope of the whole model.
pub(super) fn single_block(config: &FluxConfig, weights: &Weights, index: usize) -> SingleBlock {
    let scope = weights.at("single_transformer_blocks").at(index);
    SingleBlock::new(config, &scope, SiteId::new(config.num_layers + index))
}
