//! A checkpoint beside its model.

use std::{collections::BTreeMap, fmt, path::Path};

use burn::tensor::FloatDType;
use conceptrol_core::{
    message::{chain, shown, shown_path},
    models::weights::{Checkpoint, WeightError, Weights},
};

use crate::{
    bundle,
    identify::{Error, Identity, identify},
    lora::{Lora, lora},
    model::device,
};

/// How many problems of a low-rank adapter are spelled out.
const SHOWN: usize = 8;

/// What is printed about one checkpoint.
#[derive(Debug)]
pub(crate) struct Report {
    path: String,
    tensors: usize,
    parameters: usize,
    bytes: usize,
    /// Tensors of each type.
    types: BTreeMap<String, usize>,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Fits {
        model: String,
        asked: usize,
    },
    Differs {
        model: String,
        error: WeightError,
    },
    Lora(Lora),
    Unknown(String),
    /// Not a model that is loaded.
    Unused,
}

impl Report {
    /// Reads the header of the checkpoint at `path` and compares each model in it with what it is to be.
    pub(crate) fn of(path: &Path) -> Result<Vec<Self>, Error> {
        let file = Checkpoint::open(path)?;
        file.verify()?;
        let parts = bundle::parts(&file);
        if parts.is_empty() {
            return Ok(vec![Self::of_model(
                &file,
                shown_path(file.path()).to_string(),
            )?]);
        }
        let mut reports = Vec::new();
        for (prefix, what, part) in parts {
            let title = format!("{}  {prefix}*  {what}", shown_path(file.path()));
            reports.push(match prefix {
                "model_ema." => Self::counted(&part, title, Verdict::Unused),
                _ => Self::of_model(&part, title)?,
            });
        }
        let outside = bundle::outside(&file);
        if !outside.is_empty() {
            let first: Vec<_> = outside
                .iter()
                .take(SHOWN)
                .map(|name| shown(name).to_string())
                .collect();
            let title = format!(
                "{}  {} tensors of no model: {}",
                shown_path(file.path()),
                outside.len(),
                first.join(", ")
            );
            let rest =
                file.rename(|name| outside.iter().any(|o| o == name).then(|| name.to_owned()));
            reports.push(Self::counted(&rest, title, Verdict::Unused));
        }
        Ok(reports)
    }

    fn of_model(file: &Checkpoint, title: String) -> Result<Self, Error> {
        Ok(Self::counted(file, title, verdict(file)?))
    }

    fn counted(file: &Checkpoint, title: String, verdict: Verdict) -> Self {
        let mut report = Self {
            path: title,
            tensors: file.len(),
            parameters: 0,
            bytes: 0,
            types: BTreeMap::new(),
            verdict,
        };
        for tensor in file.tensors() {
            if tensor.dtype.is_float() {
                report.parameters += tensor.elements();
            }
            report.bytes += tensor.bytes();
            *report.types.entry(tensor.dtype.to_string()).or_default() += 1;
        }
        report
    }

    /// Whether the model can be built from the file.
    pub(crate) fn fits(&self) -> bool {
        match &self.verdict {
            Verdict::Fits { .. } | Verdict::Unused => true,
            Verdict::Lora(lora) => lora.problems.is_empty(),
            Verdict::Differs { .. } | Verdict::Unknown(_) => false,
        }
    }
}

fn verdict(file: &Checkpoint) -> Result<Verdict, Error> {
    if let Some(lora) = lora(file)? {
        return Ok(Verdict::Lora(lora));
    }
    let (model, file, convention) = match identify(file)? {
        Identity::Known(model, file, convention) => (model, file, convention),
        Identity::Unknown(what) => return Ok(Verdict::Unknown(what)),
    };
    let weights = Weights::from_checkpoint(file, &device(), FloatDType::F32);
    model.ask(&weights.unread());
    let mut model = model.name();
    if let Some(convention) = convention {
        model += &format!(", names of {convention}");
    }
    Ok(match weights.finish() {
        Ok(asked) => Verdict::Fits {
            model,
            asked: asked.len(),
        },
        Err(error) => Verdict::Differs { model, error },
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.path)?;
        let types: Vec<_> = self
            .types
            .iter()
            .map(|(name, count)| format!("{name} x {count}"))
            .collect();
        let model = match &self.verdict {
            Verdict::Fits { model, .. } | Verdict::Differs { model, .. } => model,
            Verdict::Lora(lora) => {
                &format!("low-rank adapter for {}: {}", lora.family, lora.summary)
            }
            Verdict::Unknown(what) => what,
            Verdict::Unused => "left over from training, not loaded",
        };
        writeln!(f, "  model       {model}")?;
        writeln!(f, "  tensors     {} ({})", self.tensors, types.join(", "))?;
        writeln!(f, "  parameters  {:.3} M", self.parameters as f64 / 1e6)?;
        writeln!(f, "  size        {:.1} MB", self.bytes as f64 / 1e6)?;
        match &self.verdict {
            Verdict::Fits { asked, .. } => {
                write!(f, "  keys        all {asked} of the model, nothing else")
            }
            Verdict::Differs { error, .. } => write!(f, "  keys        {}", chain(error)),
            Verdict::Lora(lora) if lora.problems.is_empty() => {
                write!(f, "  keys        every layer is there and fits")
            }
            Verdict::Lora(lora) => {
                write!(f, "  keys        {} problems", lora.problems.len())?;
                let mut first = lora.problems.iter().take(SHOWN);
                first.try_for_each(|problem| write!(f, "\n    {}", chain(problem)))
            }
            Verdict::Unknown(_) => write!(f, "  keys        nothing to compare with"),
            Verdict::Unused => write!(f, "  keys        not looked at"),
        }
    }
}
