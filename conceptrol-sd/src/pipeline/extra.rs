//! What a request has for Stable Diffusion only.

use conceptrol_core::pipeline::{ImageSize, RequestExtra};

use super::{ControlRequest, EditRequest};

use crate::prompt::Reading;

/// SDXL's picture sizes and crops, in pixels; what is `None` is the size of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MicroConditioning {
    /// Size of the picture that was scaled down to the target.
    pub original_size: Option<ImageSize>,
    /// Top and left of the crop.
    pub crop_top_left: (usize, usize),
    /// Size of the result.
    pub target_size: Option<ImageSize>,
}

/// Number of values of a [`MicroConditioning`].
pub(super) const SIZES: usize = 6;

impl MicroConditioning {
    /// Original height and width, top and left of the crop, target height and width.
    #[expect(clippy::cast_precision_loss, reason = "picture sizes are exact in f32")]
    pub(super) fn time_ids(&self, size: ImageSize) -> [f32; SIZES] {
        let original = self.original_size.unwrap_or(size);
        let (top, left) = self.crop_top_left;
        let target = self.target_size.unwrap_or(size);
        [
            original.height,
            original.width,
            top,
            left,
            target.height,
            target.width,
        ]
        .map(|size| size as f32)
    }
}

/// What a [request](super::Request) has for Stable Diffusion only.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Extra {
    /// What the second text encoder of SDXL reads; the prompts themselves if empty.
    pub prompts_2: Vec<String>,
    /// What the second text encoder of SDXL reads of what is to be avoided; the same if `None`.
    pub negative_prompts_2: Option<Vec<String>>,
    /// Layers of the text encoder to leave out at its end.
    pub clip_skip: usize,
    /// SDXL's picture sizes.
    pub micro: MicroConditioning,
    /// SDXL's picture sizes of the unconditional half; the same as `micro` if `None`.
    pub negative_micro: Option<MicroConditioning>,
    /// How prompts are read: whether beyond the window of the text encoders, and whether with weights.
    pub reading: Reading,
    /// `ControlNets` and their pictures; what they add is summed.
    pub controls: Vec<ControlRequest>,
    /// The picture that the prompt changes, for `UNet`s that were trained to edit.
    pub edit: Option<EditRequest>,
}

impl RequestExtra for Extra {
    fn places(&self) -> Vec<usize> {
        let controls = self.controls.iter().map(|control| control.gate);
        let gates = controls.chain(self.edit.iter().map(|edit| edit.gate));
        gates.flatten().map(|gate| gate.concept).collect()
    }
}

impl Extra {
    /// The first field that only SDXL reads and that is set.
    pub(super) fn sdxl_only(&self) -> Option<&'static str> {
        let set = [
            ("second prompt", !self.prompts_2.is_empty()),
            ("second negative prompt", self.negative_prompts_2.is_some()),
            ("picture sizes", self.micro != MicroConditioning::default()),
            ("negative picture sizes", self.negative_micro.is_some()),
        ];
        set.into_iter().find(|(_, set)| *set).map(|(name, _)| name)
    }
}
