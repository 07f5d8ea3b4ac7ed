//! What was measured: every value as a line of JSON when it is known, the medians as a table at the end.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{Failure, tolerances::Tolerances};

/// What the median of a measure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Target::AtLeast(least) => value >= least,
            Target::AtMost(most) => value <= most,
        }
    }
}

/// The measures of one bench.
pub(crate) struct Report {
    bench: &'static str,
    measures: Vec<Measure>,
}

struct Measure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    target: Option<Target>,
}

impl Report {
    /// An empty report. Tells first on what machine it is made.
    pub(crate) fn new(bench: &'static str) -> Self {
        println!("{}", json!({ "bench": bench, "machine": machine() }));
        Self { bench, measures: Vec::new() }
    }

    /// Adds one value to a measure.
    pub(crate) fn record(&mut self, name: &str, unit: &'static str, value: f64) {
        let measure = match self.measures.iter().position(|measure| measure.name == name) {
            Some(at) => &mut self.measures[at],
            None => {
                self.measures.push(Measure { name: name.to_owned(), unit, values: Vec::new(), target: None });
                self.measures.last_mut().expect("one was just added")
            }
        };
        measure.values.push(value);
        let run = measure.values.len();
        println!("{}", json!({ "bench": self.bench, "measure": name, "run": run, "value": value, "unit": unit }));
    }

    /// Says what the median of a measure should be.
    pub(crate) fn expect(&mut self, name: &str, target: Target) {
        if let Some(measure) = self.measures.iter_mut().find(|measure| measure.name == name) {
            measure.target = Some(target);
        }
    }

    /// Says something that is no number.
    pub(crate) fn note(&self, text: &str) {
        println!("{}", json!({ "bench": self.bench, "note": text }));
        eprintln!("{text}");
    }

    /// The values of a measure so far.
    pub(crate) fn values(&self, name: &str) -> &[f64] {
        self.measures.iter().find(|measure| measure.name == name).map_or(&[], |measure| &measure.values)
    }

    /// Prints the medians, beside those of an earlier run if there is one, and fails when one is out of its bounds.
    pub(crate) fn finish_within(mut self, tolerances: &Tolerances) -> Result<(), Failure> {
        let ratios: Vec<(String, f64)> = self
            .measures
            .iter()
            .filter_map(|measure| {
                Some((format!("{} / earlier", measure.name), median(&measure.values) / tolerances.earlier(&measure.name)?))
            })
            .collect();
        ratios.into_iter().for_each(|(name, ratio)| self.record(&name, "", ratio));
        let broken = {
            let medians: BTreeMap<&str, f64> = self.measures.iter().map(|measure| (&*measure.name, median(&measure.values))).collect();
            tolerances.broken(&medians)
        };
        self.finish();
        if broken.is_empty() { Ok(()) } else { Err(format!("out of bounds: {}", broken.join("; ")).into()) }
    }

    /// Prints the medians.
    pub(crate) fn finish(self) {
        let width = self.measures.iter().map(|measure| measure.name.len()).max().unwrap_or(0).max(self.bench.len());
        eprintln!("{:width$}  {:>10}  {:>10}  {:>10}  {:>4}", self.bench, "median", "min", "max", "runs");
        for Measure { name, unit, mut values, target } in self.measures {
            values.sort_by(f64::total_cmp);
            let (least, median, most) = (values[0], median_of_sorted(&values), values[values.len() - 1]);
            let verdict = target.map(|target| {
                let met = target.is_met_by(median);
                match target {
                    Target::AtLeast(least) => format!("  target at least {}: {}", figure(least), if met { "met" } else { "MISSED" }),
                    Target::AtMost(most) => format!("  target at most {}: {}", figure(most), if met { "met" } else { "MISSED" }),
                }
            });
            eprintln!(
                "{name:width$}  {:>10}  {:>10}  {:>10}  {:>4}  {unit}{}",
                figure(median),
                figure(least),
                figure(most),
                values.len(),
                verdict.unwrap_or_default()
            );
            println!("{}", json!({ "bench": self.bench, "measure": name, "median": median, "min": least, "max": most, "unit": unit }));
        }
    }
}

/// The median of values, of which there is at least one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    median_of_sorted(&values)
}

/// The median of values in ascending order, of which there is at least one.
fn median_of_sorted(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// A number with about three digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// The processor, the cores this process may use, the memory and how busy the machine is: figures mean nothing without.
fn machine() -> Value {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    json!({
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": field("/proc/self/status", "Cpus_allowed_list"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "load": fs::read_to_string("/proc/loadavg").ok().map(|load| load.trim().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median_of_sorted(&[3.0]), 3.0);
        assert_eq!(median_of_sorted(&[1.0, 4.0]), 2.5);
        assert_eq!(median_of_sorted(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn a_target_is_met_at_its_edge() {
        assert!(Target::AtLeast(0.7).is_met_by(0.7) && !Target::AtLeast(0.7).is_met_by(0.69));
        assert!(Target::AtMost(60.0).is_met_by(60.0) && !Target::AtMost(60.0).is_met_by(60.1));
    }
}
