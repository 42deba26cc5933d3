//! A UNet on Burn's own modules. It knows its attention sites and nothing of adapters or concepts.

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, Tensor},
};
use conceptrol_core::{
    AttentionCall, AttentionError, AttentionSite, AttentionSites, Grid, Session, SiteId, SiteKind,
    kernel::upsample_nearest2x,
};

/// Channels of the latents.
pub(crate) const CHANNELS: usize = 4;
/// Channels of tokens, of latents and text alike.
pub(crate) const WIDTH: usize = 32;
const HEADS: usize = 2;

/// Two levels: down, middle, up, with a skip connection.
#[derive(Module, Debug)]
pub(crate) struct UNet {
    read: Conv2d,
    time: Linear,
    down: Block,
    downsample: Conv2d,
    mid: Block,
    up: Block,
    write: Conv2d,
    #[module(skip)]
    sites: AttentionSites,
}

/// Self-attention, then cross-attention to the text.
#[derive(Module, Debug)]
struct Block {
    attn1: Attention,
    attn2: Attention,
}

#[derive(Module, Debug)]
struct Attention {
    #[module(skip)]
    site: SiteId,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

/// Every attention of the model, in the order of their evaluation.
fn sites() -> AttentionSites {
    let block = |name: &str, downsample| {
        [
            ("attn1", SiteKind::SelfAttention),
            ("attn2", SiteKind::CrossAttention),
        ]
        .map(|(attention, kind)| {
            let name = format!("{name}.{attention}");
            AttentionSite::new(name, kind, HEADS, WIDTH / HEADS, downsample)
        })
    };
    AttentionSites::new([block("down", 1), block("mid", 2), block("up", 1)].concat())
}

impl UNet {
    /// With random weights.
    pub(crate) fn new(device: &Device) -> Self {
        let sites = sites();
        let conv = |channels, stride| {
            Conv2dConfig::new(channels, [3, 3])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        Self {
            read: conv([CHANNELS, WIDTH], 1),
            time: LinearConfig::new(1, WIDTH).init(device),
            down: Block::new("down", &sites, device),
            downsample: conv([WIDTH, WIDTH], 2),
            mid: Block::new("mid", &sites, device),
            up: Block::new("up", &sites, device),
            write: conv([WIDTH, CHANNELS], 1),
            sites,
        }
    }

    /// What a plan is made for.
    pub(crate) const fn attention_sites(&self) -> &AttentionSites {
        &self.sites
    }

    /// The features of pixels, `[rows, CHANNELS, height, width]` -> `[rows, WIDTH, height, width]`.
    pub(crate) fn features(&self, pixels: Tensor<4>) -> Tensor<4> {
        self.read.forward(pixels)
    }

    /// One evaluation: what is noise in the latents.
    ///
    /// # Shapes
    ///
    /// `latents` `[rows, CHANNELS, height, width]`, `text` `[rows, words, WIDTH]` -> as `latents`
    pub(crate) fn forward(
        &self,
        latents: Tensor<4>,
        text: &Tensor<3>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        let device = latents.device();
        let time = Tensor::<2>::full([1, 1], session.step().timestep, &device);
        let time = self.time.forward(time).reshape([1, WIDTH, 1, 1]);
        let x = self.features(latents) + time;
        let skip = self.down.forward(x, text, session)?;
        let x = self.downsample.forward(skip.clone());
        let x = self.mid.forward(x, text, session)?;
        let x = self
            .up
            .forward(upsample_nearest2x(x) + skip, text, session)?;
        Ok(self.write.forward(x))
    }
}

impl Block {
    fn new(name: &str, sites: &AttentionSites, device: &Device) -> Self {
        Self {
            attn1: Attention::new(&format!("{name}.attn1"), sites, device),
            attn2: Attention::new(&format!("{name}.attn2"), sites, device),
        }
    }

    /// `x` `[rows, WIDTH, height, width]` -> the same
    fn forward(
        &self,
        x: Tensor<4>,
        text: &Tensor<3>,
        session: &mut Session,
    ) -> Result<Tensor<4>, AttentionError> {
        let shape = x.dims();
        let grid = Grid::new(shape[2], shape[3]);
        let x = x.flatten::<3>(2, 3).swap_dims(1, 2); // [rows, cells, WIDTH]
        let x = self.attn1.to_itself(x, grid, session)?;
        let x = self.attn2.to_text(x, text, grid, session)?;
        Ok(x.swap_dims(1, 2).reshape(shape))
    }
}

impl Attention {
    fn new(name: &str, sites: &AttentionSites, device: &Device) -> Self {
        let site = sites.site(name).expect("`sites` names every attention").id;
        let linear = || {
            LinearConfig::new(WIDTH, WIDTH)
                .with_bias(false)
                .init(device)
        };
        let query = linear();
        Self {
            site,
            // nobody has trained it: with the weights of the queries, a place looks at what it resembles
            key: query.clone(),
            query,
            value: linear(),
            out: linear(),
        }
    }

    fn to_itself(
        &self,
        x: Tensor<3>,
        grid: Grid,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let [query, key, value] =
            [&self.query, &self.key, &self.value].map(|linear| heads(linear.forward(x.clone())));
        let call = AttentionCall::self_attention(query, key, value, grid);
        let attended = session.attend(self.site, call)?;
        Ok(x + self.out.forward(merged(attended)))
    }

    fn to_text(
        &self,
        x: Tensor<3>,
        text: &Tensor<3>,
        grid: Grid,
        session: &mut Session,
    ) -> Result<Tensor<3>, AttentionError> {
        let query = heads(self.query.forward(x.clone()));
        // the text is the same at every step: projected once a picture
        let (key, value) = session.constant(self.site, &[], |_| {
            let [key, value] = [&self.key, &self.value].map(|linear| linear.forward(text.clone()));
            (heads(key), heads(value))
        });
        let call = AttentionCall::cross(query, key, value, grid);
        let attended = session.attend(self.site, call)?;
        Ok(x + self.out.forward(merged(attended)))
    }
}

/// `[rows, tokens, WIDTH]` -> `[rows, heads, tokens, head_dim]`
fn heads(x: Tensor<3>) -> Tensor<4> {
    let [rows, tokens, _] = x.dims();
    x.reshape([rows, tokens, HEADS, WIDTH / HEADS])
        .swap_dims(1, 2)
}

/// `[rows, heads, tokens, head_dim]` -> `[rows, tokens, WIDTH]`
fn merged(x: Tensor<4>) -> Tensor<3> {
    let [rows, heads, tokens, head_dim] = x.dims();
    x.swap_dims(1, 2).reshape([rows, tokens, heads * head_dim])
}
