//! The measures of a picture by name.

use conceptrol_core::analysis::Scores;

use crate::rows::PictureScores;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) of: fn(&PictureScores) -> Option<f64>,
}

/// All but CP and PF, whose means are multiplied.
pub(crate) const OTHERS: [Metric; 6] = [
    Metric {
        name: "CLIP-I",
        of: |scores| Some(scores.clip_i),
    },
    Metric {
        name: "CLIP-T",
        of: |scores| Some(scores.clip_t),
    },
    Metric {
        name: "leak",
        of: |scores| scores.leak,
    },
    Metric {
        name: "found",
        of: |scores| Some(share(scores.found)),
    },
    Metric {
        name: "others found",
        of: |scores| scores.others_found,
    },
    Metric {
        name: "setting right",
        of: |scores| scores.setting_right.map(share),
    },
];

pub(crate) const CP: Metric = Metric {
    name: "CP",
    of: |scores| Some(scores.cp),
};
pub(crate) const PF: Metric = Metric {
    name: "PF",
    of: |scores| Some(scores.pf),
};
/// Mean CP times mean PF.
pub(crate) const PRODUCT: &str = "CP\u{b7}PF";

const fn share(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

pub(crate) const fn scores(scores: &PictureScores) -> Scores {
    Scores::new(scores.cp, scores.pf)
}
