//! Which scheduler: diffusers' class names.

use std::fmt;
use std::str::FromStr;

use super::error::SchedulerError;

/// The schedulers of this crate.
///
/// Parses from diffusers' class name, with or without `Scheduler`, `Discrete` and `Multistep`, whatever its case.
/// [`SchedulerName`](super::SchedulerName) has the short names.
///
/// ```
/// use conceptrol_core::models::scheduler::SchedulerKind;
///
/// assert_eq!("EulerDiscreteScheduler".parse::<SchedulerKind>()?, SchedulerKind::Euler);
/// assert_eq!("UniPCMultistep".parse::<SchedulerKind>()?, SchedulerKind::UniPc);
/// assert!("DDPMScheduler".parse::<SchedulerKind>().is_err());
/// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchedulerKind {
    /// `DDIMScheduler`.
    Ddim,
    /// `PNDMScheduler`.
    Pndm,
    /// `DEISMultistepScheduler`.
    Deis,
    /// `DPMSolverMultistepScheduler`: DPM-Solver++, DPM-Solver and the stochastic form of each.
    DpmSolverMultistep,
    /// `EulerDiscreteScheduler`.
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    EulerAncestral,
    /// `FlowMatchEulerDiscreteScheduler`, for models that predict a velocity: FLUX.
    FlowMatchEuler,
    /// `HeunDiscreteScheduler`, of two model calls a step.
    Heun,
    /// `KDPM2DiscreteScheduler`, of two model calls a step.
    Kdpm2,
    /// `KDPM2AncestralDiscreteScheduler`, of two model calls a step.
    Kdpm2Ancestral,
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `LCMScheduler`.
    Lcm,
    /// `TCDScheduler`.
    Tcd,
}

impl SchedulerKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Ddim,
        Self::Deis,
        Self::DpmSolverMultistep,
        Self::Euler,
        Self::EulerAncestral,
        Self::FlowMatchEuler,
        Self::Heun,
        Self::Kdpm2,
        Self::Kdpm2Ancestral,
        Self::Lcm,
        Self::Pndm,
        Self::Tcd,
        Self::UniPc,
    ];

    /// The name of the class in diffusers, as in `_class_name`.
    pub const fn class_name(self) -> &'static str {
        match self {
            Self::Ddim => "DDIMScheduler",
            Self::Pndm => "PNDMScheduler",
            Self::Deis => "DEISMultistepScheduler",
            Self::DpmSolverMultistep => "DPMSolverMultistepScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::EulerAncestral => "EulerAncestralDiscreteScheduler",
            Self::FlowMatchEuler => "FlowMatchEulerDiscreteScheduler",
            Self::Heun => "HeunDiscreteScheduler",
            Self::Kdpm2 => "KDPM2DiscreteScheduler",
            Self::Kdpm2Ancestral => "KDPM2AncestralDiscreteScheduler",
            Self::UniPc => "UniPCMultistepScheduler",
            Self::Lcm => "LCMScheduler",
            Self::Tcd => "TCDScheduler",
        }
    }

    /// Whether the model predicts the velocity from picture to noise, as FLUX does, and not the noise or the picture
    /// of a diffusion: a model of one sort gives noise with a scheduler of the other.
    pub const fn is_flow_matching(self) -> bool {
        matches!(self, Self::FlowMatchEuler)
    }

    /// Whether the class has other curves of noise levels than that of its timesteps: `use_karras_sigmas`,
    /// `use_exponential_sigmas`, `use_beta_sigmas`.
    pub const fn has_sigma_curves(self) -> bool {
        match self {
            Self::Deis
            | Self::DpmSolverMultistep
            | Self::Euler
            | Self::FlowMatchEuler
            | Self::Heun
            | Self::Kdpm2
            | Self::Kdpm2Ancestral
            | Self::UniPc => true,
            Self::Ddim | Self::EulerAncestral | Self::Lcm | Self::Pndm | Self::Tcd => false,
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class_name())
    }
}

impl FromStr for SchedulerKind {
    type Err = SchedulerError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let wanted = normalised(name);
        let matches = |kind: &Self| {
            let class = normalised(kind.class_name());
            let stem = class.trim_end_matches("scheduler");
            let short = stem
                .trim_end_matches("discrete")
                .trim_end_matches("multistep");
            [&*class, stem, short].contains(&&*wanted)
        };
        Self::ALL.into_iter().find(matches).ok_or_else(|| {
            let classes = Self::ALL.map(Self::class_name);
            SchedulerError::unknown(name, classes.into_iter(), classes.join(", "))
        })
    }
}

/// Lower case letters and digits only, with `+` read as `p`.
pub(super) fn normalised(name: &str) -> String {
    let letters = name.chars().map(|c| match c {
        '+' => 'p',
        c => c.to_ascii_lowercase(),
    });
    letters.filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::SchedulerKind;

    #[test]
    fn every_class_leads_back() {
        for kind in SchedulerKind::ALL {
            assert_eq!(kind.class_name().parse::<SchedulerKind>().unwrap(), kind);
        }
    }

    #[test]
    fn usual_spellings() {
        for (name, kind) in [
            ("DDIM", SchedulerKind::Ddim),
            ("DPMSolverMultistep", SchedulerKind::DpmSolverMultistep),
            ("EulerDiscrete", SchedulerKind::Euler),
            ("DEISMultistep", SchedulerKind::Deis),
            ("FlowMatchEulerDiscrete", SchedulerKind::FlowMatchEuler),
            ("heun", SchedulerKind::Heun),
            ("KDPM2", SchedulerKind::Kdpm2),
            ("KDPM2Ancestral", SchedulerKind::Kdpm2Ancestral),
            ("TCD", SchedulerKind::Tcd),
        ] {
            assert_eq!(name.parse::<SchedulerKind>().unwrap(), kind, "{name}");
        }
        let error = "ipndm".parse::<SchedulerKind>().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "unknown scheduler `ipndm`, known are DDIMScheduler, DEISMultistepScheduler"
            ),
            "{error}"
        );
    }
}
