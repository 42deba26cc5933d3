use std::collections::{BTreeMap, BTreeSet};

use super::{Environment, Row};

/// Rows of several files side by side, as Markdown: what each column is, then a table a benchmark with the times and how they compare
/// with the first column that has one, memory, comparisons with what is right, and other numbers.
pub fn report(files: &[(String, Vec<Row>)]) -> String {
    let columns = columns(files);
    let mut text = legend(files, &columns);
    let mut benchmarks: Vec<&str> = Vec::new();
    for row in files.iter().flat_map(|(_, rows)| rows) {
        if !benchmarks.contains(&row.benchmark.as_str()) {
            benchmarks.push(&row.benchmark);
        }
    }
    for benchmark in benchmarks {
        let table = Table::new(files, &columns, benchmark);
        text += &format!("\n## {benchmark}\n");
        text += &table.times();
        text += &table.memory();
        text += &table.checks();
        text += &table.numbers();
    }
    text
}

/// A column: a file, by its place, and what rows in it were measured on.
type Column = (usize, Environment);

fn columns(files: &[(String, Vec<Row>)]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (file, (_, rows)) in files.iter().enumerate() {
        for row in rows {
            let column = (file, row.environment.clone());
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

/// `A`, `B`, .. `Z`, `AA`, ..
fn letter(index: usize) -> String {
    let last = char::from(b'A' + (index % 26) as u8);
    match index / 26 {
        0 => last.to_string(),
        before => letter(before - 1) + &last.to_string(),
    }
}

fn legend(files: &[(String, Vec<Row>)], columns: &[Column]) -> String {
    let mut text = "| | file | program | commit | backend | type | device | driver | processor |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (index, (file, at)) in columns.iter().enumerate() {
        let small = if at.small { ", small shapes" } else { "" };
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {}{small} | {} | {} |\n",
            letter(index),
            files[*file].0,
            at.program,
            at.commit.as_deref().unwrap_or("unknown"),
            at.backend,
            at.dtype,
            at.device,
            at.driver.as_deref().unwrap_or("-"),
            at.processor
        );
    }
    text
}

/// The rows of a benchmark: cases in the order of their first appearance, one row or none a column.
struct Table<'a> {
    cases: Vec<(&'a str, Vec<Option<&'a Row>>)>,
    columns: usize,
}

impl<'a> Table<'a> {
    fn new(files: &'a [(String, Vec<Row>)], columns: &[Column], benchmark: &str) -> Self {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut cases: Vec<(&str, Vec<Option<&Row>>)> = Vec::new();
        for (file, (_, rows)) in files.iter().enumerate() {
            for row in rows.iter().filter(|row| row.benchmark == benchmark) {
                let case = row.case.as_str();
                let place = *places.entry(case).or_insert_with(|| {
                    cases.push((case, vec![None; columns.len()]));
                    cases.len() - 1
                });
                let column = columns
                    .iter()
                    .position(|(of, at)| *of == file && *at == row.environment);
                let column = column.expect("every row has its column");
                cases[place].1[column] = Some(row);
            }
        }
        Self {
            cases,
            columns: columns.len(),
        }
    }

    fn times(&self) -> String {
        let seconds = |row: &Row| row.seconds.map(|times| times.median);
        let used = self.used(seconds);
        let Some((first, others)) = used.split_first() else {
            return String::new();
        };
        let mut heads: Vec<String> = used
            .iter()
            .map(|column| format!("{} ms", letter(*column)))
            .collect();
        heads.extend(
            others
                .iter()
                .map(|column| format!("{} / {}", letter(*column), letter(*first))),
        );
        let lines = self.cases.iter().filter_map(|(case, rows)| {
            let of = |column: usize| rows[column].and_then(seconds);
            used.iter().find_map(|column| of(*column))?;
            let mut cells: Vec<String> = used
                .iter()
                .map(|column| cell(of(*column).map(|seconds| 1e3 * seconds)))
                .collect();
            cells.extend(others.iter().map(|column| {
                let ratio = of(*column).zip(of(*first)).map(|(a, b)| a / b);
                ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"))
            }));
            Some((*case, cells))
        });
        table("median of the rounds", &heads, lines)
    }

    fn memory(&self) -> String {
        let bytes = |row: &Row| row.device_peak.or(row.host_peak);
        let megabytes = |row: &Row| bytes(row).map(|bytes| bytes as f64 / 1e6);
        self.plain("peak memory, MB", megabytes, |x| cell(Some(x)))
    }

    fn checks(&self) -> String {
        self.plain(
            "comparisons",
            |row| row.checks,
            |checks| match checks.failed {
                0 => format!("{} ok", checks.passed),
                failed => format!("**{failed} of {} failed**", failed + checks.passed),
            },
        )
    }

    fn numbers(&self) -> String {
        let all = self
            .cases
            .iter()
            .flat_map(|(_, rows)| rows.iter().flatten());
        let names: BTreeSet<&str> = all
            .flat_map(|row| row.numbers.keys().map(String::as_str))
            .collect();
        let tables = names.into_iter().map(|name| {
            let number = |row: &Row| row.numbers.get(name).copied();
            self.plain(name, number, |x| format!("{x:.4}"))
        });
        tables.collect()
    }

    /// A table of one value a row.
    fn plain<T>(
        &self,
        what: &str,
        value: impl Fn(&Row) -> Option<T>,
        show: impl Fn(T) -> String,
    ) -> String {
        let used = self.used(&value);
        if used.is_empty() {
            return String::new();
        }
        let heads: Vec<String> = used.iter().map(|column| letter(*column)).collect();
        let lines = self.cases.iter().filter_map(|(case, rows)| {
            let values = || used.iter().map(|column| rows[*column].and_then(&value));
            values().flatten().next()?;
            let cells = values().map(|value| value.map_or("-".into(), &show));
            Some((*case, cells.collect()))
        });
        table(what, &heads, lines)
    }

    /// The columns that have something of a kind.
    fn used<T>(&self, value: impl Fn(&Row) -> Option<T>) -> Vec<usize> {
        let has = |column: &usize| {
            let mut rows = self.cases.iter().filter_map(|(_, rows)| rows[*column]);
            rows.any(|row| value(row).is_some())
        };
        (0..self.columns).filter(has).collect()
    }
}

fn cell(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value < 1.0 => format!("{value:.4}"),
        Some(value) if value < 100.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn table<'a>(
    what: &str,
    heads: &[String],
    lines: impl Iterator<Item = (&'a str, Vec<String>)>,
) -> String {
    let mut text = format!("\n| {what} | {} |\n", heads.join(" | "));
    text += &format!("|---|{}\n", "---|".repeat(heads.len()));
    for (case, cells) in lines {
        text += &format!("| {case} | {} |\n", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Checks, Times};

    fn row(backend: &str, case: &str) -> Row {
        let environment = Environment {
            program: "conceptrol".into(),
            commit: Some("abc".into()),
            backend: backend.into(),
            dtype: "bf16".into(),
            device: "a card".into(),
            driver: Some("550.1".into()),
            processor: "a processor".into(),
            small: false,
        };
        Row::new("steps", case, environment)
    }

    #[test]
    fn columns_are_compared_with_the_first() {
        let timed = |backend, case, seconds: &[f64]| Row {
            seconds: Times::of(seconds),
            device_peak: (backend == "cuda").then_some(3_000_000),
            ..row(backend, case)
        };
        let mut checked = row("vulkan", "golden");
        checked.checks = Some(Checks {
            passed: 7,
            failed: 1,
        });
        checked.numbers.insert("deviation".into(), 0.5);
        let first = vec![
            timed("cuda", "one", &[0.002, 0.001, 0.003]),
            timed("cuda", "two", &[0.4]),
        ];
        let second = vec![timed("vulkan", "one", &[0.003]), checked];
        let text = report(&[("a.json".into(), first), ("b.json".into(), second)]);
        for line in [
            "| A | a.json | conceptrol | abc | cuda | bf16 | a card | 550.1 | a processor |",
            "| B | b.json | conceptrol | abc | vulkan | bf16 | a card | 550.1 | a processor |",
            "| median of the rounds | A ms | B ms | B / A |",
            "| one | 2.00 | 3.00 | 1.500 |",
            "| two | 400 | - | - |",
            "| peak memory, MB | A |",
            "| one | 3.00 |",
            "| comparisons | B |",
            "| golden | **1 of 8 failed** |",
            "| deviation | B |",
            "| golden | 0.5000 |",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nin\n{text}"
            );
        }
    }

    #[test]
    fn columns_have_names_like_those_of_a_sheet() {
        let names = [0, 25, 26, 27, 51, 52].map(letter);
        assert_eq!(names, ["A", "Z", "AA", "AB", "AZ", "BA"]);
    }
}
