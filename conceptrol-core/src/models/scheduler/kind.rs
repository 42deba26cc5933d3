//! Which scheduler: diffusers' class names, and short names for the command line.

use std::fmt;
use std::str::FromStr;

use super::error::SchedulerError;

/// The schedulers of this crate.
///
/// Parses from diffusers' class name with or without `Scheduler`, and from the usual short names, whatever their case:
///
/// ```
/// use conceptrol_core::models::scheduler::SchedulerKind;
///
/// assert_eq!("EulerDiscreteScheduler".parse::<SchedulerKind>()?, SchedulerKind::Euler);
/// assert_eq!("dpm++_2m".parse::<SchedulerKind>()?, SchedulerKind::DpmSolverMultistep);
/// assert!("heun".parse::<SchedulerKind>().is_err());
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
    /// `DPMSolverMultistepScheduler`, DPM-Solver++ 2M and its stochastic form.
    DpmSolverMultistep,
    /// `EulerDiscreteScheduler`.
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    EulerAncestral,
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `LCMScheduler`.
    Lcm,
}

impl SchedulerKind {
    /// Every kind, in alphabetical order of the short names.
    pub const ALL: [Self; 8] = [
        Self::Ddim,
        Self::Deis,
        Self::DpmSolverMultistep,
        Self::Euler,
        Self::EulerAncestral,
        Self::Lcm,
        Self::Pndm,
        Self::UniPc,
    ];

    /// The name of the class in diffusers, as in `_class_name`.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Ddim => "DDIMScheduler",
            Self::Pndm => "PNDMScheduler",
            Self::Deis => "DEISMultistepScheduler",
            Self::DpmSolverMultistep => "DPMSolverMultistepScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::EulerAncestral => "EulerAncestralDiscreteScheduler",
            Self::UniPc => "UniPCMultistepScheduler",
            Self::Lcm => "LCMScheduler",
        }
    }

    /// The short name for the command line.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Pndm => "pndm",
            Self::Deis => "deis",
            Self::DpmSolverMultistep => "dpmpp_2m",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler_a",
            Self::UniPc => "unipc",
            Self::Lcm => "lcm",
        }
    }

    /// Other spellings, in the form [`normalised`] gives them.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Pndm => &["plms"],
            Self::DpmSolverMultistep => &["dpmpp", "dpmsolver", "dpmsolverpp", "dpm2m"],
            Self::EulerAncestral => &["eulerancestral"],
            _ => &[],
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

impl FromStr for SchedulerKind {
    type Err = SchedulerError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let wanted = normalised(name);
        let matches = |kind: &Self| {
            let class = normalised(kind.class_name());
            let stem = class.trim_end_matches("scheduler");
            let stems = [
                stem,
                stem.trim_end_matches("discrete"),
                stem.trim_end_matches("multistep"),
            ];
            wanted == class
                || wanted == normalised(kind.short_name())
                || stems.contains(&wanted.as_str())
                || kind.aliases().contains(&wanted.as_str())
        };
        Self::ALL.into_iter().find(matches).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.short_name()).collect();
            SchedulerError::UnknownClass {
                name: name.chars().take(60).collect(),
                known: known.join(", "),
            }
        })
    }
}

/// Lower case letters and digits only, with `+` read as `p`.
fn normalised(name: &str) -> String {
    let letters = name.chars().map(|c| {
        if c == '+' {
            'p'
        } else {
            c.to_ascii_lowercase()
        }
    });
    letters.filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::SchedulerKind;

    #[test]
    fn every_name_leads_back() {
        for kind in SchedulerKind::ALL {
            assert_eq!(kind.class_name().parse::<SchedulerKind>().unwrap(), kind);
            assert_eq!(kind.short_name().parse::<SchedulerKind>().unwrap(), kind);
        }
    }

    #[test]
    fn usual_spellings() {
        for (name, kind) in [
            ("DDIM", SchedulerKind::Ddim),
            ("DPM++ 2M", SchedulerKind::DpmSolverMultistep),
            ("DPMSolverMultistep", SchedulerKind::DpmSolverMultistep),
            ("EulerDiscrete", SchedulerKind::Euler),
            ("Euler a", SchedulerKind::EulerAncestral),
            ("UniPCMultistep", SchedulerKind::UniPc),
            ("DEISMultistep", SchedulerKind::Deis),
        ] {
            assert_eq!(name.parse::<SchedulerKind>().unwrap(), kind, "{name}");
        }
        let error = "heun".parse::<SchedulerKind>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown scheduler `heun`, known are ddim, deis, dpmpp_2m, euler, euler_a, lcm, pndm, unipc"
        );
    }
}
