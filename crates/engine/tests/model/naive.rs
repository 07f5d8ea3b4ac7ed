//! The naive model: what a namespace holds, as a map, and what follows from it. It shares nothing with the engine but the
//! vocabulary of values, and scores in f64, value by value.

use std::collections::BTreeMap;

use pinyon_model::{Condition, Filter, Metadata, MetadataValue, Metric, Record, Scalar};

/// Write units of so many bytes.
pub(crate) fn write_units(bytes: usize) -> u32 {
    let whole = bytes / 1024;
    let units = if whole * 1024 < bytes { whole + 1 } else { whole };
    if units < 5 { 5 } else { units as u32 }
}

/// One namespace.
#[derive(Default, Clone)]
pub(crate) struct Namespace {
    pub(crate) records: BTreeMap<String, Record>,
    pub(crate) lsn: u64,
}

impl Namespace {
    /// Puts a record; returns the bytes of the one that it replaced.
    pub(crate) fn put(&mut self, record: Record) -> usize {
        self.records.insert(record.id.as_str().to_owned(), record).map_or(0, |old| bytes(&old))
    }
    pub(crate) fn matching(&self, filter: &Filter) -> Vec<String> {
        self.records.values().filter(|r| satisfies(filter, &r.metadata)).map(|r| r.id.as_str().to_owned()).collect()
    }
    pub(crate) fn bytes(&self) -> u64 {
        self.records.values().map(|r| bytes(r) as u64).sum()
    }
}

/// Counted bytes: 4 a dense value, 8 a sparse pair, the id, and of the metadata each key and text by its bytes, an element of a
/// list as at least 1, a number as 8, a boolean as 1.
pub(crate) fn bytes(record: &Record) -> usize {
    let mut n = record.id.as_str().len();
    n += record.dense.as_ref().map_or(0, |v| v.as_slice().len() * 4);
    n += record.sparse.as_ref().map_or(0, |v| v.indices().len() * 8);
    for (key, value) in record.metadata.fields() {
        n += key.len();
        n += match value {
            MetadataValue::String(s) => s.len(),
            MetadataValue::Number(_) => 8,
            MetadataValue::Bool(_) => 1,
            MetadataValue::StringList(list) => list.iter().map(|s| if s.is_empty() { 1 } else { s.len() }).sum(),
        };
    }
    n
}

/// The scores of a query, or none for a record that does not count. Higher is better, but for the Euclidean metric.
pub(crate) fn score(metric: Metric, dense: Option<&[f32]>, sparse: Option<&[(u32, f32)]>, record: &Record) -> Option<f64> {
    let sparse = || -> f64 {
        let (Some(q), Some(r)) = (sparse, &record.sparse) else { return 0.0 };
        let mut sum = 0.0;
        for (i, v) in q {
            for (j, w) in r.indices().iter().zip(r.values()) {
                if i == j {
                    sum += f64::from(*v) * f64::from(*w);
                }
            }
        }
        sum
    };
    let Some(query_values) = dense else {
        // A sparse index: what shares nothing with the query is no match.
        let score = sparse();
        return (score != 0.0).then_some(score);
    };
    let values = record.dense.as_ref()?.as_slice();
    let pairs = || query_values.iter().zip(values).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
    Some(match metric {
        Metric::Dotproduct => dot + sparse(),
        Metric::Euclidean => pairs().map(|(a, b)| (a - b) * (a - b)).sum(),
        Metric::Cosine => {
            let (a2, b2): (f64, f64) = (pairs().map(|(a, _)| a * a).sum(), pairs().map(|(_, b)| b * b).sum());
            if a2 == 0.0 || b2 == 0.0 { 0.0 } else { dot / (a2.sqrt() * b2.sqrt()) }
        }
    })
}

/// Whether metadata satisfies a filter, clause by clause as Pinecone describes them.
pub(crate) fn satisfies(filter: &Filter, metadata: &Metadata) -> bool {
    match filter {
        Filter::And(parts) => !parts.iter().any(|p| !satisfies(p, metadata)),
        Filter::Or(parts) => parts.iter().any(|p| satisfies(p, metadata)),
        Filter::Not(part) => !satisfies(part, metadata),
        Filter::Field(field, condition) => {
            let value = metadata.fields().get(field);
            let number = match value {
                Some(MetadataValue::Number(n)) => Some(*n),
                _ => None,
            };
            match condition {
                Condition::Eq(s) => is_equal(value, s),
                Condition::Ne(s) => !is_equal(value, s),
                Condition::In(list) => list.iter().any(|s| is_equal(value, s)),
                Condition::Nin(list) => list.iter().all(|s| !is_equal(value, s)),
                Condition::Gt(x) => number.is_some_and(|n| n > *x),
                Condition::Gte(x) => number.is_some_and(|n| n >= *x),
                Condition::Lt(x) => number.is_some_and(|n| n < *x),
                Condition::Lte(x) => number.is_some_and(|n| n <= *x),
                Condition::Exists(wanted) => metadata.fields().contains_key(field) == *wanted,
            }
        }
    }
}

fn is_equal(value: Option<&MetadataValue>, scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Number(x) => matches!(value, Some(MetadataValue::Number(n)) if n == x),
        Scalar::Bool(x) => matches!(value, Some(MetadataValue::Bool(b)) if b == x),
        Scalar::String(x) => match value {
            Some(MetadataValue::String(s)) => s == x,
            Some(MetadataValue::StringList(list)) => list.iter().any(|s| s == x),
            _ => false,
        },
    }
}
