use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::Row;
use crate::Failure;

/// A file of rows, complete after each row that is added.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Record {
    /// The rows of a file, none if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or holds something else.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let rows = match read_rows(path) {
            Ok(rows) => rows,
            Err(_) if !path.exists() => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            rows,
        })
    }

    /// Adds a row in the place of an older one of the same, and writes the file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn put(&mut self, row: Row) -> Result<(), Failure> {
        self.rows.retain(|old| !old.is_of(&row));
        self.rows.push(row);
        // a line a row, so that two versions of a file can be compared
        let lines: Vec<String> = self
            .rows
            .iter()
            .map(serde_json::to_string)
            .collect::<Result<_, _>>()?;
        let text = format!("{{\"rows\": [\n{}\n]}}\n", lines.join(",\n"));
        let unfinished = self.path.with_extension("part");
        let written = fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &self.path))
            .map_err(|error| named(&self.path, &error));
        Ok(written?)
    }
}

/// The rows of a file.
///
/// # Errors
///
/// If it cannot be read, or holds something else.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| named(path, &error))?;
    let no_rows = |error| format!("{}: no rows of a benchmark: {error}", path.display());
    let mut file: Value = serde_json::from_str(&text).map_err(no_rows)?;
    let rows = file.get_mut("rows").map_or(json!(null), Value::take);
    Ok(serde_json::from_value(rows).map_err(no_rows)?)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Environment, Times};

    fn row(case: &str, backend: &str, seconds: f64) -> Row {
        let environment = Environment {
            program: "conceptrol".into(),
            commit: None,
            backend: backend.into(),
            dtype: "f32".into(),
            device: "a card".into(),
            driver: None,
            processor: "a processor, 2 threads".into(),
            small: false,
        };
        Row {
            seconds: Times::of(&[seconds]),
            ..Row::new("a benchmark", case, environment)
        }
    }

    #[test]
    fn a_file_keeps_one_row_of_a_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.json");
        for (case, backend, seconds) in [("a", "flex", 3.0), ("b", "flex", 2.0)] {
            let mut record = Record::open(&path).expect("a record");
            record.put(row(case, backend, seconds)).expect("written");
        }
        let mut record = Record::open(&path).expect("a record");
        record.put(row("a", "cuda", 0.5)).expect("written");
        record.put(row("a", "flex", 1.0)).expect("written");
        let rows = read_rows(&path).expect("rows");
        let expected = [
            row("b", "flex", 2.0),
            row("a", "cuda", 0.5),
            row("a", "flex", 1.0),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn another_file_is_refused_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("other.json");
        for text in ["{}", "[1]", "no json", "{\"rows\": 1}"] {
            fs::write(&path, text).expect("written");
            let error = Record::open(&path).expect_err(text).to_string();
            assert!(error.contains("other.json"), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("kept"), text);
        }
    }
}
