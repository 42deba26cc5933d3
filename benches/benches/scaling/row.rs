use std::{fmt, fs, io, path::Path};

use conceptrol_benches::{Cost, Failure};

use crate::Size;

const COLUMNS: &str = "side,pictures,threads,seconds,peak_bytes";

/// One measurement. As text it is a row of a Markdown table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) size: Size,
    pub(crate) threads: usize,
    pub(crate) cost: Cost,
}

impl Row {
    pub(crate) const HEADER: &str = "\
        | latent side | picture, pixels | pictures | threads | s a step | s a picture | peak GB |\n\
        |---|---|---|---|---|---|---|";

    fn parse(line: &str) -> Result<Self, Failure> {
        let fields: Vec<&str> = line.split(',').collect();
        let [side, pictures, threads, seconds, peak] = fields[..] else {
            return Err(format!("not a row: {line}").into());
        };
        Ok(Self {
            size: Size {
                side: side.parse()?,
                pictures: pictures.parse()?,
            },
            threads: threads.parse()?,
            cost: Cost {
                seconds: seconds.parse()?,
                peak: peak.parse()?,
            },
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Size { side, pictures }, edge) = (self.size, 8 * self.size.side);
        let Cost { seconds, peak } = self.cost;
        write!(
            f,
            "| {side} | {edge}x{edge} | {pictures} | {} | {seconds:.2} | {:.2} | {:.2} |",
            self.threads,
            seconds / pictures as f64,
            peak as f64 / 1e9
        )
    }
}

/// The rows of a file, none if it is not there.
pub(crate) fn read(file: &Path) -> Result<Vec<Row>, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => text.lines().skip(1).map(Row::parse).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn write(file: &Path, rows: &[Row]) -> io::Result<()> {
    let mut text = format!("{COLUMNS}\n");
    for Row {
        size,
        threads,
        cost,
    } in rows
    {
        let (Size { side, pictures }, Cost { seconds, peak }) = (size, cost);
        text += &format!("{side},{pictures},{threads},{seconds:.3},{peak}\n");
    }
    fs::write(file, text)
}

/// Adds a row in the place of an older one of the same.
pub(crate) fn put(rows: &mut Vec<Row>, row: Row) {
    rows.retain(|old| (old.size, old.threads) != (row.size, row.threads));
    rows.push(row);
    rows.sort_by_key(|row| (row.threads, row.size.pictures, row.size.side));
}
