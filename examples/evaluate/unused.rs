//! Options that every command takes and that one of them has no use for: a command line that gives one anyway is told so.

use clap::{ArgMatches, parser::ValueSource};

/// What says how rows are made: all common options but where they are written.
const MAKING: [&str; 17] = [
    "model",
    "adapter",
    "image_encoder",
    "data",
    "encoder",
    "segmenter",
    "count",
    "seeds",
    "seed",
    "steps",
    "guidance",
    "scale",
    "warmup",
    "quick",
    "shard",
    "backend",
    "dtype",
];

/// The identifiers of the common options that do nothing for a command.
fn without_use(command: &str) -> Vec<&'static str> {
    match command {
        "blocks" => vec!["encoder", "seeds", "scale", "warmup"],
        "concepts" => vec!["encoder", "scale", "warmup"],
        "overhead" => vec![
            "segmenter",
            "encoder",
            "count",
            "seeds",
            "seed",
            "steps",
            "backend",
        ],
        "ratings" => [&MAKING[..], &["out"]].concat(),
        "report" => MAKING.to_vec(),
        _ => Vec::new(),
    }
}

/// A line for each option that was given to no effect.
pub(crate) fn unused(matches: &ArgMatches) -> Vec<String> {
    let Some((command, matches)) = matches.subcommand() else {
        return Vec::new();
    };
    let given = without_use(command)
        .into_iter()
        .filter(|option| matches.value_source(option) == Some(ValueSource::CommandLine));
    given
        .map(|option| {
            let option = option.replace('_', "-");
            format!("`{command}` has no use for --{option}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    fn of(line: &str) -> Vec<String> {
        unused(&Arguments::command().get_matches_from(line.split(' ')))
    }

    #[test]
    fn what_a_command_does_not_use_is_said_wherever_it_stands() {
        let line = "`blocks` has no use for --scale";
        assert_eq!(of("evaluate blocks --scale 0.5 --steps 3"), [line]);
        assert_eq!(of("evaluate --scale 0.5 blocks"), [line]);
        assert!(of("evaluate masks --scale 0.5").is_empty());
        let line = "`report` has no use for --image-encoder";
        assert_eq!(of("evaluate report a --image-encoder b"), [line]);
    }

    #[test]
    fn every_option_that_is_named_is_one() {
        let command = Arguments::command();
        for subcommand in command.get_subcommands() {
            for option in without_use(subcommand.get_name()) {
                let known = command.get_arguments().any(|arg| arg.get_id() == option);
                assert!(known, "{option}");
            }
        }
    }
}
