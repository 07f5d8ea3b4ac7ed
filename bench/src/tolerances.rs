//! What a run must not lose: a file of bounds on the medians of ratios and recalls. `bench/tolerances/` has them.
//!
//! ```toml
//! [["recall"]]           # a heading is any name; each entry below it bounds one measure
//! measure = "fresh all top 10: recall"
//! at_least = 0.97        # or at_most, or both
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use crate::Failure;

/// Which bounds to hold a run to.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Fail when a median is out of the bounds of this file
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Tell the ratio of each median to that of an earlier run, whose standard output is in this file: of a smaller set, say
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,
}

/// The bounds of a file, and the medians of an earlier run; none without.
#[derive(Default)]
pub(crate) struct Tolerances {
    bounds: Vec<Bound>,
    earlier: BTreeMap<String, f64>,
}

#[derive(Debug, PartialEq)]
struct Bound {
    measure: String,
    at_least: f64,
    at_most: f64,
}

impl Tolerances {
    /// Reads the files that the arguments name.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        let mut tolerances = Self::default();
        if let Some(path) = &arguments.check {
            tolerances.bounds = Self::parse(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let Some(path) = &arguments.earlier {
            let lines = read(path)?;
            let lines = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            tolerances.earlier = lines.filter_map(|line| Some((line["measure"].as_str()?.to_owned(), line["median"].as_f64()?))).collect();
        }
        Ok(tolerances)
    }

    /// The median of a measure in the earlier run.
    pub(crate) fn earlier(&self, measure: &str) -> Option<f64> {
        self.earlier.get(measure).copied().filter(|median| *median != 0.0)
    }

    fn parse(text: &str) -> Result<Vec<Bound>, Failure> {
        let file: toml::Table = toml::from_str(text)?;
        let mut bounds = Vec::new();
        for (heading, entries) in &file {
            for entry in entries.as_array().ok_or_else(|| format!("{heading} is no list of tables"))? {
                bounds.push(Bound::parse(entry).map_err(|error| format!("{heading}: {error}"))?);
            }
        }
        Ok(bounds)
    }

    /// What is out of bounds or was not measured at all, in words.
    pub(crate) fn broken(&self, medians: &BTreeMap<&str, f64>) -> Vec<String> {
        let broken = |bound: &Bound| {
            let Bound { measure, at_least, at_most } = bound;
            match medians.get(&**measure) {
                None => Some(format!("{measure}: was not measured")),
                Some(median) if (*at_least..=*at_most).contains(median) => None,
                Some(median) if median < at_least => Some(format!("{measure}: {median} is below {at_least}")),
                Some(median) => Some(format!("{measure}: {median} is not at most {at_most}")),
            }
        };
        self.bounds.iter().filter_map(broken).collect()
    }
}

impl Bound {
    fn parse(entry: &toml::Value) -> Result<Self, String> {
        let table = entry.as_table().ok_or("an entry is no table")?;
        if let Some(other) = table.keys().find(|key| !["measure", "at_least", "at_most"].contains(&&***key)) {
            return Err(format!("{other} is not known; there are measure, at_least and at_most"));
        }
        let measure = table.get("measure").and_then(toml::Value::as_str).ok_or("an entry has no measure")?.to_owned();
        let number = |key: &str| {
            let value = table.get(key).map(|value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64)));
            value.map(|number| number.ok_or_else(|| format!("{measure}: {key} is no number"))).transpose()
        };
        match (number("at_least")?, number("at_most")?) {
            (None, None) => Err(format!("{measure} has no bound")),
            (least, most) => Ok(Self { measure, at_least: least.unwrap_or(f64::NEG_INFINITY), at_most: most.unwrap_or(f64::INFINITY) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "[[recall]]\nmeasure = \"recall\"\nat_least = 0.97\n[[ratio]]\nmeasure = \"ours / theirs\"\nat_least = 3\nat_most = 1e3\n";

    #[test]
    fn what_is_lost_or_missing_is_told() {
        let tolerances = Tolerances { bounds: Tolerances::parse(FILE).expect("it is sound"), ..Tolerances::default() };
        let broken = |medians: &[(&'static str, f64)]| tolerances.broken(&medians.iter().copied().collect());
        assert!(broken(&[("recall", 0.97), ("ours / theirs", 3.0), ("other", 0.0)]).is_empty());
        assert_eq!(broken(&[("recall", 0.9699), ("ours / theirs", 3.2)]), ["recall: 0.9699 is below 0.97"]);
        assert_eq!(broken(&[("recall", 1.0)]), ["ours / theirs: was not measured"]);
        assert_eq!(broken(&[("recall", f64::NAN), ("ours / theirs", 1e4)]).len(), 2);
    }

    #[test]
    fn a_file_that_bounds_nothing_is_refused() {
        for text in [
            "x = 1",
            "[[a]]\nmeasure = \"b\"",
            "[[a]]\nat_least = 1",
            "[[a]]\nmeasure = \"b\"\nat_last = 1",
            "[[a]]\nmeasure = \"b\"\nat_least = \"1\"",
        ] {
            assert!(Tolerances::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_earlier_run_is_read_by_its_medians() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("run.jsonl");
        let text = "{\"bench\":\"b\",\"measure\":\"m\",\"run\":1,\"value\":9}\nnoise\n{\"bench\":\"b\",\"measure\":\"m\",\"median\":4.5}\n";
        std::fs::write(&path, text).expect("it is written");
        let tolerances = Tolerances::read(&Arguments { check: None, earlier: Some(path) }).expect("it is there");
        assert_eq!((tolerances.earlier("m"), tolerances.earlier("n")), (Some(4.5), None));
    }

    #[test]
    fn the_files_beside_the_bench_are_sound() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tolerances");
        let files: Vec<_> = std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is readable").path()).collect();
        assert!(!files.is_empty());
        for path in files {
            assert!(!Tolerances::read(&Arguments { check: Some(path), earlier: None }).expect("it is sound").bounds.is_empty());
        }
    }
}
