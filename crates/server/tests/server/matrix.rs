//! Tables of who is answered what, typed by hand: a line for each operation, a column for each caller.

/// A line.
pub(crate) struct Row {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The status for each caller, in the order of the columns.
    pub(crate) expected: Vec<u16>,
}

/// Reads a table with these columns.
pub(crate) fn read(table: &str, callers: &[&str]) -> Vec<Row> {
    let lines = table.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    let mut lines = lines.map(|l| l.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap(), callers, "the columns");
    let row = |cells: Vec<&str>| {
        assert_eq!(cells.len(), callers.len() + 2, "{cells:?}");
        let expected = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
        Row { method: cells[0].to_owned(), path: cells[1].to_owned(), expected }
    };
    lines.map(row).collect()
}
