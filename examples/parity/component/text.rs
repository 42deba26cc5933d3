//! CLIP text encoders, with their tokenizers where the case has them.

use burn::tensor::{Device, FloatDType};
use conceptrol_core::models::{
    clip_text::{ClipTextConfig, ClipTextModel},
    tokenizer::ClipTokenizer,
    weights::Weights,
};

use crate::{
    Outcome,
    case::{Case, id_array},
    report::Report,
};

pub(crate) fn run(case: &Case, device: &Device, report: &mut Report) -> Outcome {
    let (inputs, expected) = (case.inputs()?, case.expected()?);
    let folder = case.file("model")?;
    if let Ok(tokenizer) = case.file("tokenizer") {
        let tokenizer = ClipTokenizer::open(tokenizer)?;
        let prompts = case.params()["prompts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ids: Vec<_> = prompts
            .iter()
            .filter_map(|prompt| Some(tokenizer.encode(prompt.as_str()?).ids))
            .collect();
        report.array("input_ids", &id_array(&ids), &inputs["input_ids"]);
    }
    let config = ClipTextConfig::from_file(folder.join("config.json"))?;
    let weights = Weights::open(&folder, device, FloatDType::F32)?;
    let model = ClipTextModel::new(&config, &weights);
    weights.finish()?;
    let states = model.forward(&inputs["input_ids"].ids()?)?;
    report.tensor(
        "last_hidden_state",
        states.last_hidden_state(),
        &expected["last_hidden_state"],
    );
    report.tensor(
        "penultimate",
        states.hidden_state(1)?,
        &expected["penultimate"],
    );
    if let Some(expected) = expected.get("pooler_output") {
        report.tensor("pooler_output", states.pooled(), expected);
    }
    if let Some(expected) = expected.get("text_embeds") {
        let embeds = states.text_embeds().ok_or("the model has no projection")?;
        report.tensor("text_embeds", embeds, expected);
    }
    Ok(())
}
