//! The rule for noun phrases on every prompt of the world's 50 concepts: objects are its only subjects, and scenes and
//! attributes are within its phrases.

use std::{fs, path::Path};

use conceptrol_core::{PhraseRole, noun_phrases};
use serde_json::Value;

#[test]
fn the_prompts_of_the_world_are_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/world/concepts.jsonl");
    let text = fs::read_to_string(file).expect("the world's concepts");
    let concepts: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(concepts.len(), 50);
    for concept in &concepts {
        let word = concept["phrase"].as_str().expect("a phrase");
        for entry in concept["prompts"].as_array().expect("prompts") {
            let prompt = entry["prompt"].as_str().expect("a prompt");
            let others = entry["others"].as_array().expect("others").iter();
            let mut expected: Vec<&str> = others.filter_map(Value::as_str).collect();
            let phrases = noun_phrases(prompt);
            if concept["kind"] == "object" {
                expected.push(word);
            } else {
                let within = |text: &str| format!(" {text} ").contains(&format!(" {word} "));
                let found = phrases.iter().any(|phrase| within(&phrase.text));
                assert!(found, "{prompt}: {word} is in no phrase");
            }
            let subjects = phrases
                .iter()
                .filter(|phrase| phrase.role == PhraseRole::Subject);
            let mut subjects: Vec<&str> = subjects.map(|phrase| phrase.text.as_str()).collect();
            subjects.sort_unstable();
            expected.sort_unstable();
            assert_eq!(subjects, expected, "{prompt}");
        }
    }
}
