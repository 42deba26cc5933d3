//! The names that diffusers and transformers give checkpoints.
//!
//! `base[.variant].ending`, or an index of shards: `base.ending[.variant].index.json`, `base.ending.index[.variant].json`,
//! `base[.variant].ending.index.json`, in the order of the versions that write them.

/// What names begin with, those of diffusers first.
const BASES: [&str; 3] = ["diffusion_pytorch_model", "model", "pytorch_model"];
/// What they end with, best first.
const ENDINGS: [&str; 2] = ["safetensors", "bin"];
/// Variants, best first; others come between these and the weights without the averages that are better.
const VARIANTS: [&str; 2] = ["fp16", "bf16"];
const LAST_VARIANT: &str = "non_ema";

/// What the name of a checkpoint says; the smaller, the better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a> {
    rank_of_variant: usize,
    variant: Option<&'a str>,
    ending: usize,
    base: usize,
    is_index: bool,
}

/// The best checkpoint among the file names of a folder: the `variant` if it is there, otherwise the weights without one, then
/// any; safetensors before pickles.
pub(crate) fn best<'a>(
    names: impl IntoIterator<Item = &'a str>,
    variant: Option<&str>,
) -> Option<&'a str> {
    let known = names
        .into_iter()
        .filter_map(|name| Some((parse(name)?, name)));
    let ranked = known.map(|(parsed, name)| {
        let other = variant.is_some() && parsed.variant != variant;
        ((other, parsed), name)
    });
    ranked.min().map(|(_, name)| name)
}

/// Whether a file of this name is an index of shards.
pub(super) fn is_index(name: &str) -> bool {
    name.strip_suffix(".json")
        .is_some_and(|rest| rest.split('.').any(|segment| segment == "index"))
}

fn parse(name: &str) -> Option<Name<'_>> {
    let (base, rest) = name.split_once('.')?;
    let base = BASES.iter().position(|known| *known == base)?;
    let mut segments: Vec<&str> = rest.split('.').collect();
    let is_index = segments.len() > 2
        && segments.last() == Some(&"json")
        && segments[segments.len().saturating_sub(3)..].contains(&"index");
    if is_index {
        segments.retain(|segment| !matches!(*segment, "index" | "json"));
    }
    let at = segments
        .iter()
        .position(|segment| ENDINGS.contains(segment))?;
    let ending = ENDINGS.iter().position(|known| *known == segments[at])?;
    segments.remove(at);
    // without an index the ending is last
    if (!is_index && at != segments.len()) || segments.len() > 1 {
        return None;
    }
    let variant = segments.first().copied();
    // a shard, which only an index makes a checkpoint of
    if variant.is_some_and(|variant| variant.contains("-of-")) {
        return None;
    }
    Some(Name {
        rank_of_variant: match variant {
            None => 0,
            Some(LAST_VARIANT) => VARIANTS.len() + 2,
            Some(variant) => {
                let known = VARIANTS.iter().position(|known| *known == variant);
                1 + known.unwrap_or(VARIANTS.len())
            }
        },
        variant,
        ending,
        base,
        is_index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_known() {
        for name in [
            "diffusion_pytorch_model.safetensors",
            "model.fp16.safetensors",
            "pytorch_model.bin",
            "pytorch_model.fp16.bin",
            "diffusion_pytorch_model.non_ema.safetensors",
            "model.safetensors.index.json",
            "model.safetensors.index.fp16.json",
            "model.safetensors.fp16.index.json",
            "model.fp16.safetensors.index.json",
            "pytorch_model.bin.index.bf16.json",
        ] {
            assert!(parse(name).is_some(), "{name}");
            assert_eq!(is_index(name), name.contains("index"), "{name}");
        }
        for name in [
            "config.json",
            "model.fp16-00001-of-00002.safetensors",
            "model-00001-of-00002.safetensors",
            "model.onnx",
            "model.safetensors.part",
            "model_index.json",
            "model.a.b.safetensors",
        ] {
            assert!(parse(name).is_none(), "{name}");
        }
        assert!(!is_index("model_index.json"));
    }

    #[test]
    fn the_best_is_chosen() {
        let names = [
            "model.non_ema.safetensors",
            "pytorch_model.bin",
            "model.bf16.safetensors",
            "model.fp16.safetensors",
            "model.safetensors.index.json",
        ];
        let best = |variant| best(names, variant);
        assert_eq!(best(None), Some("model.safetensors.index.json"));
        assert_eq!(best(Some("bf16")), Some("model.bf16.safetensors"));
        assert_eq!(best(Some("absent")), Some("model.safetensors.index.json"));
        assert_eq!(
            super::best(names[..1].iter().copied(), None),
            Some(names[0])
        );
    }
}
