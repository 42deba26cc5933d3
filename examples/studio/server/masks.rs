//! Where the concept's words act, at every step and site.

use conceptrol_core::{AttentionSites, Captures, Grid, SiteSelector};
use conceptrol_examples::mask::{on_host, over};
use image::RgbImage;
use serde::Serialize;

/// The maps of a generation, a byte a cell: only their shape is shown.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    /// Names of the sites that have maps, in the order they are computed.
    pub(crate) sites: Vec<String>,
    /// Which of them is the concept block.
    pub(crate) block: Option<usize>,
    pub(crate) steps: usize,
    maps: Vec<Map>,
}

#[derive(Debug)]
struct Map {
    site: usize,
    step: usize,
    grid: Grid,
    /// Of 255 as the largest.
    values: Vec<u8>,
}

/// What there is to choose from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Contents {
    sites: Vec<Site>,
    block: Option<usize>,
    steps: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Site {
    name: String,
    rows: usize,
    columns: usize,
}

impl Masks {
    /// Reads what was captured of the first concept from the device.
    pub(crate) fn of(
        captures: &Captures,
        sites: &AttentionSites,
        block: Option<&SiteSelector>,
    ) -> Self {
        let mut masks = Self::default();
        let block = block.and_then(|block| block.resolve(sites).ok());
        for capture in captures.iter().filter(|capture| capture.concept == 0) {
            let Some(stamp) = capture.map.stamp() else {
                continue;
            };
            let Some(site) = sites.get(stamp.site) else {
                continue;
            };
            let known = masks.sites.iter().position(|name| *name == site.name);
            let number = known.unwrap_or_else(|| {
                masks.sites.push(site.name.clone());
                masks.sites.len() - 1
            });
            masks.steps = masks.steps.max(stamp.step + 1);
            // a scheduler that evaluates twice a step has two: the later one stays
            masks
                .maps
                .retain(|map| (map.site, map.step) != (number, stamp.step));
            masks.maps.push(Map {
                site: number,
                step: stamp.step,
                grid: capture.map.grid(),
                values: bytes_of(&on_host(&capture.map)),
            });
        }
        let is_block = |name: &String| block.iter().flatten().any(|site| site.name == *name);
        masks.block = masks.sites.iter().position(is_block);
        masks
    }

    /// A map over a picture: of the concept block after the last step, if nothing is chosen.
    pub(crate) fn over(
        &self,
        picture: &RgbImage,
        site: Option<usize>,
        step: Option<usize>,
    ) -> Option<RgbImage> {
        let site = site.or(self.block).unwrap_or(0);
        let step = step.or(self.steps.checked_sub(1))?;
        let map = self
            .maps
            .iter()
            .find(|map| (map.site, map.step) == (site, step))?;
        let values: Vec<f32> = map.values.iter().copied().map(f32::from).collect();
        over(picture, map.grid, &values).ok()
    }

    pub(crate) fn contents(&self) -> Contents {
        let sites = self.sites.iter().enumerate().map(|(number, name)| {
            let map = self.maps.iter().find(|map| map.site == number);
            let (rows, columns) = map.map_or((0, 0), |map| (map.grid.height, map.grid.width));
            Site {
                name: name.clone(),
                rows,
                columns,
            }
        });
        Contents {
            sites: sites.collect(),
            block: self.block,
            steps: self.steps,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.maps
            .iter()
            .map(|map| map.values.len() + size_of::<Map>())
            .sum()
    }
}

/// Values as bytes, the largest 255.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 255"
)]
fn bytes_of(values: &[f32]) -> Vec<u8> {
    let largest = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let byte = |value: &f32| (value / largest * 255.0).round().clamp(0.0, 255.0) as u8;
    values.iter().map(byte).collect()
}
