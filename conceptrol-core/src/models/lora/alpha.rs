//! The strength of a layer: stored beside it, in the file's texts, or in a configuration beside the file.

use std::path::Path;

use serde_json::{Map, Value};

use super::error::LoraError;
use crate::models::config::{ConfigError, Fields};
use crate::models::weights::Checkpoint;

/// What messages call the configuration.
const MODEL: &str = "LoRA";
/// What peft writes beside its weights.
const CONFIG: &str = "adapter_config.json";
/// The text in which diffusers keeps the same.
const METADATA: &str = "lora_adapter_metadata";

/// Strengths that a file does not keep beside each layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Strengths {
    /// Of a file in a folder of peft.
    config: Option<Strength>,
    /// Of a model, by the folder diffusers keeps it in.
    models: Vec<(String, Strength)>,
}

#[derive(Debug, Clone)]
struct Strength {
    alpha: Option<f64>,
    /// For layers whose name ends so, before `alpha`.
    patterns: Vec<(String, f64)>,
    /// Divided by the root of the rank instead of the rank.
    rank_stabilized: bool,
}

impl Strengths {
    /// Reads what is there: `adapter_config.json` beside the file, `lora_adapter_metadata` in it.
    pub(super) fn of(file: &Checkpoint) -> Result<Self, LoraError> {
        let path = file.path().parent().unwrap_or(Path::new("")).join(CONFIG);
        // an adapter's own name for its weights tells that the configuration is theirs
        let beside = file
            .path()
            .file_stem()
            .is_some_and(|name| name == "adapter_model");
        let config = (beside && path.is_file()).then(|| {
            let fields = Fields::open(MODEL, &path)?;
            Strength::of(&fields)
        });
        let mut models = Vec::new();
        if let Some(text) = file.metadata()?.get(METADATA) {
            let fields = Fields::parse(METADATA, text)?;
            for folder in ["unet", "transformer", "text_encoder", "text_encoder_2"] {
                let own = below(&fields, folder);
                if !own.is_empty() {
                    models.push((
                        folder.to_owned(),
                        Strength::of(&Fields::new(METADATA, own))?,
                    ));
                }
            }
        }
        Ok(Self {
            config: config.transpose()?,
            models,
        })
    }

    /// The factor on a layer of a model kept in `folder`: that of its own strength if it has one.
    pub(super) fn factor(&self, own: Option<f64>, folder: &str, module: &str, rank: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^52")]
        let rank = rank as f64;
        if let Some(alpha) = own {
            return alpha / rank;
        }
        let of_model = self.models.iter().find(|(of, _)| of == folder);
        let strength = of_model
            .map(|(_, strength)| strength)
            .or(self.config.as_ref());
        let Some(strength) = strength else {
            return 1.0;
        };
        let divisor = if strength.rank_stabilized {
            rank.sqrt()
        } else {
            rank
        };
        strength
            .alpha_of(module)
            .map_or(1.0, |alpha| alpha / divisor)
    }
}

impl Strength {
    fn of(fields: &Fields) -> Result<Self, ConfigError> {
        for (field, neutral) in [
            ("use_dora", Value::from(false)),
            ("fan_in_fan_out", Value::from(false)),
            ("lora_bias", Value::from(false)),
            ("bias", Value::from("none")),
        ] {
            fields.must_be(field, neutral)?;
        }
        let lora = fields.optional_number("lora_alpha")?;
        Ok(Self {
            alpha: match lora {
                None => fields.optional_number("alpha")?,
                alpha => alpha,
            },
            patterns: patterns(fields)?,
            rank_stabilized: fields.flag_or("use_rslora", false)?,
        })
    }

    fn alpha_of(&self, module: &str) -> Option<f64> {
        let ends_so = |pattern: &str| match module.strip_suffix(pattern) {
            Some(before) => before.is_empty() || before.ends_with('.'),
            None => false,
        };
        let own = self.patterns.iter().find(|(pattern, _)| ends_so(pattern));
        own.map(|(_, alpha)| *alpha).or(self.alpha)
    }
}

/// `alpha_pattern`: strengths by the end of a layer's name, longest first. peft reads them as regular expressions; one that
/// is more than a name is refused.
fn patterns(fields: &Fields) -> Result<Vec<(String, f64)>, ConfigError> {
    const FIELD: &str = "alpha_pattern";
    let Some(value) = fields.value(FIELD) else {
        return Ok(Vec::new());
    };
    let expected = "an object of names and numbers";
    let Value::Object(entries) = value else {
        return Err(fields.error(FIELD, expected));
    };
    let plain = |name: &str| {
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !name.is_empty() && name.chars().all(of_a_name)
    };
    let mut patterns = Vec::with_capacity(entries.len());
    for (name, alpha) in entries {
        match alpha.as_f64().filter(|alpha| alpha.is_finite()) {
            Some(alpha) if plain(name) => patterns.push((name.clone(), alpha)),
            Some(_) => {
                return Err(fields.wrong(FIELD, &Value::from(name.as_str()), "a plain name"));
            }
            None => return Err(fields.wrong(FIELD, alpha, expected)),
        }
    }
    patterns.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    Ok(patterns)
}

/// The fields whose names begin with `prefix` and a dot, without them.
fn below(fields: &Fields, prefix: &str) -> Map<String, Value> {
    let own = |(name, value): (&String, &Value)| {
        let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
        Some((name.to_owned(), value.clone()))
    };
    fields.entries().filter_map(own).collect()
}
