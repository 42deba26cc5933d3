/// One down or up block, resolved: the channel counts of its residual blocks and what it attends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockConfig {
    /// Channels that enter each residual block; in an up block the skip's channels are counted in.
    pub inputs: Vec<usize>,
    /// Channels that leave each residual block and the block itself.
    pub channels: usize,
    /// The transformers behind the residual blocks; `None` in `DownBlock2D` and `UpBlock2D`.
    pub transformer: Option<TransformerConfig>,
    /// Whether the block ends in a down- or up-sampling convolution (all but the last of each half do).
    pub resample: bool,
    /// Latent cells per token along one side: 2 to the power of the level.
    pub downsample: usize,
}

/// The block between the two halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MidConfig {
    /// Channels in and out.
    pub channels: usize,
    /// The transformer between two residual blocks (`UNetMidBlock2DCrossAttn`); `None` leaves one residual
    /// block alone (`UNetMidBlock2D`).
    pub transformer: Option<TransformerConfig>,
    /// Latent cells per token along one side.
    pub downsample: usize,
}

/// The transformers of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformerConfig {
    /// Transformer blocks behind each residual block.
    pub depths: Vec<usize>,
    /// Attention heads. diffusers calls this number `attention_head_dim`.
    pub heads: usize,
    /// Channels of one head: block channels over heads, rounded down.
    pub head_dim: usize,
    /// Width of the text states.
    pub context_dim: usize,
    /// The first attention of each transformer block reads the text too, as in the x4 upscaler.
    pub only_cross_attention: bool,
}

impl TransformerConfig {
    /// Channels of the tokens: heads times channels of a head.
    pub fn inner_dim(&self) -> usize {
        self.heads * self.head_dim
    }
}
