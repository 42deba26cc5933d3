//! Ratings of people or of a judge, in DreamBench++'s format: its table, by the same arithmetic.
//!
//! A judge leaves one JSON file an item, `METHOD-COLLECTION-PROMPT.json`, in one folder a run. The rating is what follows
//! `score:` in the last text that has it.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
};

use conceptrol_core::{analysis::Scores, models::file::read_text};
use conceptrol_examples::{folder::files_below, say};
use serde_json::Value;

use crate::arguments;

/// Larger files are no ratings.
const LIMIT: u64 = 1 << 20;

/// An item's rating, and what it is of.
#[derive(Debug, Clone, PartialEq)]
struct Rating {
    method: String,
    /// `animal`, `human`, `object`, `style`.
    category: String,
    /// Index of the prompt.
    prompt: usize,
    value: f64,
}

/// Prints the table of each method.
pub(crate) fn print(options: &arguments::Ratings) -> Result<(), Box<dyn Error>> {
    let concept = read(&options.concept)?;
    let prompt = read(&options.prompt)?;
    say!(
        "{:<28} {:>6} {:>6} {:>6}   CP by category; PF by kind of prompt",
        "method",
        "CP",
        "PF",
        "CP*PF"
    );
    let methods: std::collections::BTreeSet<&str> = concept
        .iter()
        .map(|rating| rating.method.as_str())
        .collect();
    for method in methods {
        let of = |ratings: &[Rating]| -> Vec<Rating> {
            let own = ratings.iter().filter(|rating| rating.method == method);
            own.cloned().collect()
        };
        let (concept, prompt) = (of(&concept), of(&prompt));
        let scores = Scores::from_ratings(&values(&concept), &values(&prompt))
            .map_err(|error| format!("{method}: {error}"))?;
        let categories = groups(&concept, |rating| rating.category.clone())?;
        let kinds = groups(&prompt, |rating| kind(rating.prompt).to_owned())?;
        say!(
            "{method:<28} {:>6.3} {:>6.3} {:>6.3}   {categories}; {kinds}",
            scores.concept,
            scores.prompt,
            scores.product(),
        );
    }
    Ok(())
}

fn values(ratings: &[Rating]) -> Vec<f64> {
    ratings.iter().map(|rating| rating.value).collect()
}

/// DreamBench++'s kinds of its nine prompts.
const fn kind(prompt: usize) -> &'static str {
    match prompt {
        0..=3 => "photorealistic",
        4..=6 => "style transfer",
        _ => "imaginative",
    }
}

/// The mean of each group, 0..=1.
fn groups(ratings: &[Rating], name: impl Fn(&Rating) -> String) -> Result<String, Box<dyn Error>> {
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for rating in ratings {
        groups.entry(name(rating)).or_default().push(rating.value);
    }
    let means = groups.iter().map(|(name, values)| {
        let mean = Scores::from_ratings(values, values)?.concept;
        Ok(format!("{name} {mean:.3}"))
    });
    let means: Vec<String> = means.collect::<Result<_, Box<dyn Error>>>()?;
    Ok(means.join(", "))
}

/// All ratings at or below folders, one folder a run of the judge.
fn read(folders: &[PathBuf]) -> Result<Vec<Rating>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in folders {
        let below = files_below(folder);
        files.extend(below.map_err(|error| format!("{}: {error}", folder.display()))?);
    }
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let ratings = files
        .iter()
        .map(|file| rating(file).map_err(|error| format!("{}: {error}", file.display()).into()));
    ratings.collect()
}

fn rating(file: &Path) -> Result<Rating, Box<dyn Error>> {
    let stem = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let (rest, prompt) = stem
        .rsplit_once('-')
        .ok_or("the name is not METHOD-COLLECTION-PROMPT")?;
    let (method, collection) = rest
        .rsplit_once('-')
        .ok_or("the name is not METHOD-COLLECTION-PROMPT")?;
    let prompt = prompt
        .parse()
        .map_err(|_| format!("`{prompt}` is no number of a prompt"))?;
    // animals and people are `live_subject_animal_07_..` there
    let category = collection
        .strip_prefix("live_subject_")
        .unwrap_or(collection);
    let category = category.split('_').next().unwrap_or_default().to_owned();
    let json: Value = serde_json::from_str(&read_text(file, LIMIT)?)?;
    Ok(Rating {
        method: method.to_owned(),
        category,
        prompt,
        value: value(&json).ok_or("there is no score in it")?,
    })
}

/// A number in a field `score`, or the last text with one behind `score:`.
fn value(json: &Value) -> Option<f64> {
    match json {
        Value::String(text) => in_text(text),
        Value::Array(entries) => entries.iter().rev().find_map(value),
        Value::Object(fields) => {
            let field = fields.get("score").and_then(Value::as_f64);
            field.or_else(|| fields.values().rev().find_map(value))
        }
        _ => None,
    }
}

/// As `(score|Score):\s*[a-zA-Z]*\s*(\d+)`: the last one counts.
fn in_text(text: &str) -> Option<f64> {
    let places = text
        .match_indices("core:")
        .filter(|(at, _)| matches!(text[..*at].chars().next_back(), Some('s' | 'S')));
    let numbers = places.filter_map(|(at, word)| {
        let rest = text[at + word.len()..].trim_start();
        let rest = rest
            .trim_start_matches(|c: char| c.is_ascii_alphabetic())
            .trim_start();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest[..digits].parse().ok()
    });
    numbers.last()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn scores_are_found_where_the_judge_writes_them() {
        assert_eq!(in_text("Analysis: close.\nScore: 3"), Some(3.0));
        assert_eq!(in_text("score: Good 4, later Score:2."), Some(2.0));
        assert_eq!(in_text("underscore: none; a score of 4"), None);
        let json = |text| serde_json::from_str(text).expect("JSON");
        assert_eq!(
            value(&json(r#"{"messages": ["Score: 1", "Score: 4"]}"#)),
            Some(4.0)
        );
        assert_eq!(
            value(&json(r#"{"score": 2, "text": "Score: 4"}"#)),
            Some(2.0)
        );
        assert_eq!(value(&json(r#"{"text": "no rating"}"#)), None);
    }

    #[test]
    fn a_file_says_what_it_rates() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder
            .path()
            .join("ip-adapter-live_subject_animal_07_dog-5.json");
        fs::write(&file, r#"{"answer": "Score: 3"}"#).expect("written");
        let expected = Rating {
            method: "ip-adapter".into(),
            category: "animal".into(),
            prompt: 5,
            value: 3.0,
        };
        assert_eq!(rating(&file).expect("a rating"), expected);
        assert_eq!(kind(5), "style transfer");
    }
}
