//! Names of the UNet's modules in the original repositories (`CompVis` and Stability AI's `sgm`).

use crate::config::UNetConfig;

/// Turns diffusers' names of modules into the original ones, for a UNet of any number of levels and layers.
///
/// Blocks are numbered through all levels there, a level has one more entry than layers: the down-sampler on the way down,
/// the last residual block on the way up.
///
/// ```
/// use conceptrol_sd::{config::UNetConfig, lora::SgmNames};
///
/// let names = SgmNames::new(&UNetConfig::sdxl());
/// let name = names.of("down_blocks.1.attentions.0.proj_in");
/// assert_eq!(name.as_deref(), Some("input_blocks.4.1.proj_in"));
/// ```
#[derive(Debug, Clone)]
pub struct SgmNames {
    /// Number of the first input block of each level; 0 is the first convolution.
    down: Vec<usize>,
    /// Number of the first output block of each level.
    up: Vec<usize>,
    /// Layers of each level on the way up, and whether they attend.
    up_layers: Vec<(usize, bool)>,
    /// Layers of each level on the way down.
    down_layers: Vec<usize>,
}

/// Modules outside of blocks.
const OUTSIDE: &[(&str, &str)] = &[
    ("conv_in", "input_blocks.0.0"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
];

/// Modules of a residual block.
const RESNET: &[(&str, &str)] = &[
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

impl SgmNames {
    /// The names of a UNet of this configuration.
    pub fn new(config: &UNetConfig) -> Self {
        let starts = |first: usize, lengths: &mut dyn Iterator<Item = usize>| {
            let mut next = first;
            let mut start = |length| {
                next += length;
                next - length
            };
            lengths.map(&mut start).collect()
        };
        let down = config.down.iter().map(|block| block.inputs.len());
        let up = config.up.iter().map(|block| block.inputs.len());
        Self {
            down: starts(1, &mut down.clone().map(|layers| layers + 1)),
            up: starts(0, &mut up.clone()),
            up_layers: (up.zip(&config.up))
                .map(|(layers, block)| (layers, block.transformer.is_some()))
                .collect(),
            down_layers: down.collect(),
        }
    }

    /// What a module is called; nothing for one that a UNet does not have.
    pub fn of(&self, module: &str) -> Option<String> {
        if let Some((_, name)) = OUTSIDE.iter().find(|(own, _)| *own == module) {
            return Some((*name).to_owned());
        }
        let mut parts = module.splitn(5, '.');
        let mut part = || parts.next();
        let block = part()?;
        if block == "mid_block" {
            let (kind, index) = (part()?, part()?);
            let rest: Vec<&str> = parts.collect();
            return within(kind, &rest.join(".")).map(|rest| {
                let entry = match (kind, index) {
                    ("attentions", _) => 1,
                    (_, "0") => 0,
                    _ => 2,
                };
                format!("middle_block.{entry}.{rest}")
            });
        }
        let level: usize = part()?.parse().ok()?;
        let (kind, index) = (part()?, part()?.parse::<usize>().ok()?);
        let rest = part()?;
        match (block, kind) {
            ("down_blocks", "downsamplers") => {
                let number = self.down.get(level)? + self.down_layers.get(level)?;
                (rest == "conv").then(|| format!("input_blocks.{number}.0.op"))
            }
            ("up_blocks", "upsamplers") => {
                let (layers, attends) = self.up_layers.get(level)?;
                let number = self.up.get(level)? + layers - 1;
                Some(format!(
                    "output_blocks.{number}.{}.{rest}",
                    1 + usize::from(*attends)
                ))
            }
            ("down_blocks", _) => {
                let number = self.down.get(level)? + index;
                inside("input_blocks", number, kind, rest)
            }
            ("up_blocks", _) => {
                let number = self.up.get(level)? + index;
                inside("output_blocks", number, kind, rest)
            }
            _ => None,
        }
    }
}

fn inside(blocks: &str, number: usize, kind: &str, rest: &str) -> Option<String> {
    let entry = usize::from(kind == "attentions");
    within(kind, rest).map(|rest| format!("{blocks}.{number}.{entry}.{rest}"))
}

/// The name of a module of a residual block or a transformer; the latter are called the same.
fn within(kind: &str, module: &str) -> Option<String> {
    match kind {
        "attentions" => Some(module.to_owned()),
        "resnets" => {
            let found = RESNET.iter().find(|(own, _)| *own == module);
            found.map(|(_, name)| (*name).to_owned())
        }
        _ => None,
    }
}
