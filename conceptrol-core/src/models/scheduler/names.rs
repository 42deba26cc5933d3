//! Names for the command line: a scheduler, and the fields that its name settles.

use std::str::FromStr;

use serde_json::Value;

use super::error::SchedulerError;
use super::kind::{SchedulerKind, normalised};

/// A scheduler as people name it, to be put over a checkpoint's configuration by
/// [`SchedulerConfig::with_name`](super::SchedulerConfig::with_name).
///
/// ```
/// use conceptrol_core::models::scheduler::{SchedulerKind, SchedulerName};
///
/// let name: SchedulerName = "DPM++ 2M SDE Karras".parse()?;
/// assert_eq!(name, "dpmpp_2m_sde_karras".parse()?);
/// assert_eq!(name.kind(), SchedulerKind::DpmSolverMultistep);
/// assert_eq!("DPM2 a Karras".parse::<SchedulerName>()?, "kdpm2_ancestral_karras".parse()?);
///
/// let error = "dpmpp_2n".parse::<SchedulerName>().unwrap_err().to_string();
/// assert!(error.starts_with("unknown scheduler `dpmpp_2n` (did you mean `dpmpp_2m`?), known are ddim, "));
/// # Ok::<(), conceptrol_core::models::scheduler::SchedulerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerName {
    kind: SchedulerKind,
    fields: Vec<(&'static str, Value)>,
}

/// A row of the table of names.
struct Entry {
    name: &'static str,
    /// Other spellings, as [`normalised`] leaves them.
    aliases: &'static [&'static str],
    kind: SchedulerKind,
    fields: &'static [(&'static str, Setting)],
}

/// A field's value that can stand in a table.
#[derive(Clone, Copy)]
enum Setting {
    Word(&'static str),
    Count(u8),
}

use Setting::{Count, Word};

/// Every short name, and all that it says.
const NAMES: [Entry; 16] = [
    entry("ddim", &[], SchedulerKind::Ddim, &[]),
    entry(
        "deis",
        &[],
        SchedulerKind::Deis,
        &[("algorithm_type", Word("deis"))],
    ),
    entry(
        "dpmpp_2m",
        &["dpmpp", "dpmsolver", "dpmsolverpp", "dpm2m"],
        SchedulerKind::DpmSolverMultistep,
        &[
            ("algorithm_type", Word("dpmsolver++")),
            ("solver_order", Count(2)),
            ("solver_type", Word("midpoint")),
        ],
    ),
    entry(
        "dpmpp_2m_sde",
        &["dpm2msde"],
        SchedulerKind::DpmSolverMultistep,
        &[
            ("algorithm_type", Word("sde-dpmsolver++")),
            ("solver_order", Count(2)),
            ("solver_type", Word("midpoint")),
        ],
    ),
    entry(
        "dpmpp_2m_sde_heun",
        &["dpm2msdeheun"],
        SchedulerKind::DpmSolverMultistep,
        &[
            ("algorithm_type", Word("sde-dpmsolver++")),
            ("solver_order", Count(2)),
            ("solver_type", Word("heun")),
        ],
    ),
    entry(
        "dpmpp_3m_sde",
        &["dpm3msde"],
        SchedulerKind::DpmSolverMultistep,
        &[
            ("algorithm_type", Word("sde-dpmsolver++")),
            ("solver_order", Count(3)),
            ("solver_type", Word("midpoint")),
        ],
    ),
    entry("euler", &[], SchedulerKind::Euler, &[]),
    entry(
        "euler_a",
        &["eulerancestral"],
        SchedulerKind::EulerAncestral,
        &[],
    ),
    entry(
        "flow_match",
        &["flowmatching"],
        SchedulerKind::FlowMatchEuler,
        &[],
    ),
    entry("heun", &[], SchedulerKind::Heun, &[]),
    entry("kdpm2", &["dpm2"], SchedulerKind::Kdpm2, &[]),
    entry(
        "kdpm2_ancestral",
        &["kdpm2a", "dpm2a", "dpm2ancestral"],
        SchedulerKind::Kdpm2Ancestral,
        &[],
    ),
    entry("lcm", &[], SchedulerKind::Lcm, &[]),
    entry("pndm", &["plms"], SchedulerKind::Pndm, &[]),
    entry("tcd", &[], SchedulerKind::Tcd, &[]),
    entry("unipc", &[], SchedulerKind::UniPc, &[]),
];

/// Endings that choose another curve of noise levels, and the field of each.
const CURVES: [(&str, &str); 3] = [
    ("karras", "use_karras_sigmas"),
    ("exponential", "use_exponential_sigmas"),
    ("beta", "use_beta_sigmas"),
];

/// What else chooses a curve in a file, and gives way to an ending.
const OTHER_CURVES: [&str; 2] = ["use_flow_sigmas", "use_lu_lambdas"];

const fn entry(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: SchedulerKind,
    fields: &'static [(&'static str, Setting)],
) -> Entry {
    Entry {
        name,
        aliases,
        kind,
        fields,
    }
}

impl SchedulerName {
    /// Every name in its plain spelling, those with an ending included.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::SchedulerName;
    ///
    /// let names: Vec<String> = SchedulerName::all().collect();
    /// assert!(names.contains(&"dpmpp_2m_sde_karras".into()));
    /// assert!(names.iter().all(|name| name.parse::<SchedulerName>().is_ok()));
    /// ```
    pub fn all() -> impl Iterator<Item = String> {
        NAMES.iter().flat_map(|entry| {
            let endings = CURVES.iter().filter(|_| entry.kind.has_sigma_curves());
            let ended = endings.map(|(ending, _)| format!("{}_{ending}", entry.name));
            std::iter::once(entry.name.to_owned()).chain(ended)
        })
    }

    /// The names in one line, for `--help` and for errors. A star marks those that take an ending.
    ///
    /// ```
    /// use conceptrol_core::models::scheduler::SchedulerName;
    ///
    /// let help = SchedulerName::help();
    /// assert!(help.starts_with("ddim, deis*, dpmpp_2m*, dpmpp_2m_sde*, "));
    /// assert!(help.ends_with(" (* also with _karras, _exponential or _beta)"));
    /// ```
    pub fn help() -> String {
        let star = |entry: &Entry| {
            if entry.kind.has_sigma_curves() {
                "*"
            } else {
                ""
            }
        };
        let names: Vec<_> = NAMES
            .iter()
            .map(|entry| format!("{}{}", entry.name, star(entry)))
            .collect();
        let [first, second, third] = CURVES.map(|(ending, _)| format!("_{ending}"));
        let endings = format!("{first}, {second} or {third}");
        format!("{} (* also with {endings})", names.join(", "))
    }

    /// The error of a name that is none of these.
    pub(super) fn unknown(name: &str) -> SchedulerError {
        let names: Vec<String> = Self::all().collect();
        SchedulerError::unknown(name, names.iter().map(String::as_str), Self::help())
    }

    /// The scheduler.
    pub const fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// The fields that the name settles, whatever a configuration says.
    pub fn fields(&self) -> &[(&'static str, Value)] {
        &self.fields
    }

    /// The name without an ending: short, or diffusers' class, which settles no field.
    fn plain(name: &str) -> Option<Self> {
        let wanted = normalised(name);
        let is = |entry: &&Entry| {
            wanted == normalised(entry.name) || entry.aliases.contains(&wanted.as_str())
        };
        if let Some(entry) = NAMES.iter().find(is) {
            let fields = entry.fields.iter();
            return Some(Self {
                kind: entry.kind,
                fields: fields
                    .map(|(field, setting)| (*field, setting.value()))
                    .collect(),
            });
        }
        let kind = name.parse().ok()?;
        let fields = Vec::new();
        Some(Self { kind, fields })
    }

    /// The same scheduler over another curve.
    fn with_curve(mut self, curve: &str) -> Self {
        let curves = CURVES.iter().map(|(_, field)| *field).chain(OTHER_CURVES);
        self.fields
            .extend(curves.map(|field| (field, Value::Bool(field == curve))));
        self
    }
}

impl FromStr for SchedulerName {
    type Err = SchedulerError;

    /// Reads a name in any case and with any punctuation, `+` as `p`.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::UnknownClass`] if it is none of [`all`](Self::all) and no class of [`SchedulerKind`].
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || Self::unknown(name);
        let lower = name.to_ascii_lowercase();
        for (ending, field) in CURVES {
            if let Some(stem) = lower.strip_suffix(ending) {
                let plain = Self::plain(stem).filter(|name| name.kind.has_sigma_curves());
                return Ok(plain.ok_or_else(unknown)?.with_curve(field));
            }
        }
        Self::plain(name).ok_or_else(unknown)
    }
}

impl Setting {
    fn value(self) -> Value {
        match self {
            Self::Word(word) => word.into(),
            Self::Count(count) => count.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{NAMES, SchedulerError, SchedulerName, normalised};
    use crate::models::scheduler::kind::SchedulerKind;

    #[test]
    fn every_kind_has_a_name_and_every_spelling_is_one_name() {
        for kind in SchedulerKind::ALL {
            assert!(NAMES.iter().any(|entry| entry.kind == kind), "{kind}");
        }
        let spellings = NAMES.iter().flat_map(|entry| {
            let aliases = entry.aliases.iter().map(ToString::to_string);
            std::iter::once(normalised(entry.name)).chain(aliases)
        });
        let spellings: Vec<String> = spellings.collect();
        let different: BTreeSet<_> = spellings.iter().collect();
        assert_eq!(different.len(), spellings.len());
        assert!(
            spellings
                .iter()
                .all(|spelling| *spelling == normalised(spelling))
        );
    }

    #[test]
    fn usual_spellings() {
        for (name, same) in [
            ("DPM++ 2M", "dpmpp_2m"),
            ("dpm++_2m_sde", "dpmpp_2m_sde"),
            (
                "DPM++ 2M SDE Heun Exponential",
                "dpmpp_2m_sde_heun_exponential",
            ),
            ("DPM++ 3M SDE Karras", "dpmpp_3m_sde_karras"),
            ("Euler a", "euler_a"),
            ("EulerAncestralDiscreteScheduler", "euler_a"),
            ("EulerDiscreteScheduler", "euler"),
            ("Euler Karras", "euler-karras"),
            ("PLMS", "pndm"),
            ("FlowMatchEulerDiscreteScheduler", "flow_match"),
            ("dpm_2", "kdpm2"),
            ("DPM2 a", "dpm_2_ancestral"),
            ("dpm_2_ancestral_exponential", "kdpm2_ancestral_exponential"),
            ("KDPM2DiscreteScheduler", "DPM2"),
            ("Heun Beta", "heun_beta"),
            ("uni_pc", "unipc"),
            ("euler_ancestral", "euler_a"),
        ] {
            let parsed: SchedulerName = name.parse().unwrap();
            assert_eq!(parsed, same.parse().unwrap(), "{name}");
        }
    }

    #[test]
    fn a_slip_is_answered_with_the_closest_name() {
        for (slip, meant) in [
            ("huen", None),
            ("heum", Some("heun")),
            ("dpmpp_2m_kerras", Some("dpmpp_2m_karras")),
            ("kdmp2_ancestral", Some("kdpm2_ancestral")),
            ("something else", None),
        ] {
            let error = slip.parse::<SchedulerName>().unwrap_err();
            let SchedulerError::UnknownClass { closest, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(closest.as_deref(), meant, "{slip}");
        }
    }

    #[test]
    fn endings_only_where_there_are_curves() {
        for name in [
            "ddim_karras",
            "euler_a_karras",
            "lcm_exponential",
            "karras",
            "restart",
            "",
        ] {
            let error = name.parse::<SchedulerName>().unwrap_err().to_string();
            let known = format!(", known are {}", SchedulerName::help());
            assert!(
                error.starts_with(&format!("unknown scheduler `{name}`")),
                "{error}"
            );
            assert!(error.ends_with(&known), "{error}");
        }
    }
}
