//! What lines of JSON say about the rows of a set and about its queries, as plain text or gzipped.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::Failure;

/// The metadata of one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) part_of_speech: String,
    pub(crate) domain: String,
    pub(crate) synonyms: f64,
    pub(crate) relations: f64,
}

/// The entries of the rows, in order.
pub(crate) fn read_entries(path: &Path) -> Result<Vec<Entry>, Failure> {
    read_lines(path, |line| {
        let text = |key: &str| line[key].as_str().map(str::to_owned).ok_or_else(|| format!("no text {key}"));
        let number = |key: &str| line[key].as_f64().ok_or_else(|| format!("no number {key}"));
        Ok(Entry {
            id: text("id")?,
            part_of_speech: text("part_of_speech")?,
            domain: text("domain")?,
            synonyms: number("synonyms")?,
            relations: number("relations")?,
        })
    })
}

/// For each query, the row of the entry that it was taken from.
pub(crate) fn read_origins(path: &Path, entries: &[Entry]) -> Result<Vec<u32>, Failure> {
    let rows: HashMap<&str, u32> = entries.iter().zip(0..).map(|(entry, row)| (&*entry.id, row)).collect();
    read_lines(path, |line| {
        let from = line["from"].as_str().ok_or("no text from")?;
        rows.get(from).copied().ok_or_else(|| format!("no entry {from}"))
    })
}

/// The ids and texts of the lines; the id of a line that has none is empty.
pub(crate) fn read_texts(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    read_lines(path, |line| {
        let text = line["text"].as_str().ok_or("no text")?;
        Ok((line["id"].as_str().unwrap_or_default().to_owned(), text.to_owned()))
    })
}

fn read_lines<T>(path: &Path, parse: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, Failure> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let reader: Box<dyn Read> =
        if path.extension().is_some_and(|end| end == "gz") { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut all = Vec::new();
    for (at, line) in BufReader::new(reader).lines().enumerate() {
        let line = line.map_err(|error| format!("{}: {error}", path.display()))?;
        let wrong = |what: String| format!("{}: line {}: {what}", path.display(), at + 1);
        let value = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        all.push(parse(&value).map_err(wrong)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use tempfile::TempDir;

    use super::*;

    const BASE: &str = "{\"id\":\"n1\",\"text\":\"t\",\"part_of_speech\":\"noun\",\"domain\":\"noun.act\",\"synonyms\":2,\"relations\":7}\n\
                        {\"id\":\"v2\",\"text\":\"t\",\"part_of_speech\":\"verb\",\"domain\":\"verb.body\",\"synonyms\":1,\"relations\":0}\n";

    #[test]
    fn entries_are_read_plain_and_gzipped() {
        let folder = TempDir::new().expect("a folder");
        let (plain, packed) = (folder.path().join("a.jsonl"), folder.path().join("a.jsonl.gz"));
        std::fs::write(&plain, BASE).expect("it is written");
        let mut encoder = GzEncoder::new(File::create(&packed).expect("it opens"), Compression::fast());
        encoder.write_all(BASE.as_bytes()).and_then(|()| encoder.finish()).expect("it is written");
        let entries = read_entries(&plain).expect("it is sound");
        assert_eq!(entries, read_entries(&packed).expect("it is sound"));
        assert_eq!((&*entries[1].domain, entries[0].relations), ("verb.body", 7.0));

        let queries = folder.path().join("q.jsonl");
        std::fs::write(&queries, "{\"text\":\"x\",\"from\":\"v2\"}\n{\"text\":\"y\",\"from\":\"n1\"}\n").expect("it is written");
        assert_eq!(read_origins(&queries, &entries).expect("it is sound"), [1, 0]);
    }

    #[test]
    fn a_line_that_lacks_something_is_named() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, BASE.replace("\"domain\":\"verb.body\",", "")).expect("it is written");
        let said = read_entries(&path).expect_err("a domain is missing").to_string();
        assert!(said.contains("line 2") && said.contains("domain"), "{said}");
        std::fs::write(&path, "{\"from\":\"n9\"}\n").expect("it is written");
        assert!(read_origins(&path, &[]).expect_err("nobody is n9").to_string().contains("n9"));
    }
}
