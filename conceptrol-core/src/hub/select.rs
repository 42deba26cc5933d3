//! Which files of a repository a pipeline needs.

use std::{collections::BTreeSet, path::Component, path::Path};

use serde_json::Value;

use crate::models::weights::best_checkpoint;

/// The description of a pipeline.
pub(super) const INDEX: &str = "model_index.json";
/// Parts that no pipeline of this library has.
const UNUSED: [&str; 1] = ["safety_checker"];
/// Endings of configurations and tokenizers.
const SMALL: [&str; 3] = [".json", ".txt", ".model"];

/// Whether a name from outside stays in the folder it is put into.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\\')
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// The files beside `model_index.json`: configurations, tokenizers, and of each part with weights the best checkpoint.
pub(super) fn files<'a>(
    index: &Value,
    all: &'a [String],
    variant: Option<&str>,
) -> BTreeSet<&'a str> {
    let parts = index.as_object().into_iter().flatten();
    let used = parts.filter(|(name, entry)| {
        // [library, class], or nulls for a part that is left out
        entry.get(1).is_some_and(Value::is_string) && !UNUSED.contains(&name.as_str())
    });
    let mut wanted = BTreeSet::new();
    for (part, _) in used {
        let folder = format!("{part}/");
        let inside = || {
            let below = all
                .iter()
                .filter_map(|file| Some((file.as_str(), file.strip_prefix(&folder)?)));
            below.filter(|(_, name)| !name.contains('/'))
        };
        let small = |name: &str| {
            let index = name.contains(".index.");
            SMALL.iter().any(|ending| name.ends_with(ending)) && !index
        };
        wanted.extend(
            inside()
                .filter(|(_, name)| small(name))
                .map(|(file, _)| file),
        );
        let best = best_checkpoint(inside().map(|(_, name)| name), variant);
        wanted.extend(
            inside()
                .find(|(_, name)| Some(*name) == best)
                .map(|(file, _)| file),
        );
    }
    // beside the parts: the concept block
    wanted.extend(
        all.iter()
            .map(String::as_str)
            .filter(|file| *file == "conceptrol.json"),
    );
    wanted
}

/// The shards that an index names, in its folder.
pub(super) fn shards(index_name: &str, index: &Value) -> BTreeSet<String> {
    let folder = index_name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let map = index["weight_map"].as_object().into_iter().flatten();
    let names = map.filter_map(|(_, shard)| shard.as_str());
    names.map(|shard| format!("{folder}/{shard}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed() {
        let index = serde_json::json!({
            "_class_name": "StableDiffusionPipeline",
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "image_encoder": [null, null],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
        });
        let all = [
            "README.md",
            "v1-5-pruned.ckpt",
            "image_encoder/model.safetensors",
            "safety_checker/model.safetensors",
            "tokenizer/merges.txt",
            "tokenizer/vocab.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/old/config.json",
        ]
        .map(str::to_owned);
        let files = |variant| files(&index, &all, variant).into_iter().collect::<Vec<_>>();
        let small = [
            "tokenizer/merges.txt",
            "tokenizer/vocab.json",
            "unet/config.json",
        ];
        assert_eq!(
            files(None),
            [&small[..], &["unet/diffusion_pytorch_model.safetensors"]].concat()
        );
        assert_eq!(
            files(Some("fp16")),
            [
                &small[..],
                &["unet/diffusion_pytorch_model.fp16.safetensors"]
            ]
            .concat()
        );
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(is_plain("unet/config.json"));
        for name in ["", "../a", "/etc/passwd", "a/../../b", "a\\..\\b", "./a"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
