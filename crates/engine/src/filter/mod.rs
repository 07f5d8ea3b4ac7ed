//! Metadata filters: on one record ([`matches`]), and over a whole segment as a set of rows ([`rows`]), which is kept for queries to come
//! ([`Selection`]).
//!
//! Both say the same of every record; a property test holds them together.

mod places;
mod segment;
mod selection;

pub(crate) use places::PlaceSet;
pub(crate) use segment::rows;
pub(crate) use selection::{Selection, SelectionKey};

use pinyon_model::{Condition, Filter, Metadata, MetadataValue, Scalar};

/// About what a filter takes in memory.
pub(crate) fn bytes(filter: &Filter) -> usize {
    let text = |scalar: &Scalar| if let Scalar::String(text) = scalar { text.len() } else { 0 };
    size_of::<Filter>()
        + match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().map(bytes).sum(),
            Filter::Not(part) => bytes(part),
            Filter::Field(name, condition) => {
                name.len()
                    + match condition {
                        Condition::Eq(scalar) | Condition::Ne(scalar) => text(scalar),
                        Condition::In(list) | Condition::Nin(list) => list.iter().map(|scalar| size_of::<Scalar>() + text(scalar)).sum(),
                        _ => 0,
                    }
            }
        }
}

/// Whether a record with this metadata satisfies the filter.
pub(crate) fn matches(filter: &Filter, metadata: &Metadata) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| matches(part, metadata)),
        Filter::Or(parts) => parts.iter().any(|part| matches(part, metadata)),
        Filter::Not(part) => !matches(part, metadata),
        Filter::Field(field, condition) => holds(condition, metadata.get(field)),
    }
}

fn holds(condition: &Condition, value: Option<&MetadataValue>) -> bool {
    let number = |test: &dyn Fn(f64) -> bool| matches!(value, Some(MetadataValue::Number(n)) if test(*n));
    match condition {
        Condition::Eq(scalar) => equals(value, scalar),
        Condition::Ne(scalar) => !equals(value, scalar),
        Condition::In(list) => list.iter().any(|scalar| equals(value, scalar)),
        Condition::Nin(list) => !list.iter().any(|scalar| equals(value, scalar)),
        Condition::Gt(bound) => number(&|n| n > *bound),
        Condition::Gte(bound) => number(&|n| n >= *bound),
        Condition::Lt(bound) => number(&|n| n < *bound),
        Condition::Lte(bound) => number(&|n| n <= *bound),
        Condition::Exists(wanted) => value.is_some() == *wanted,
    }
}

fn equals(value: Option<&MetadataValue>, scalar: &Scalar) -> bool {
    match (value, scalar) {
        (Some(MetadataValue::String(a)), Scalar::String(b)) => a == b,
        (Some(MetadataValue::StringList(list)), Scalar::String(b)) => list.contains(b),
        (Some(MetadataValue::Number(a)), Scalar::Number(b)) => a == b,
        (Some(MetadataValue::Bool(a)), Scalar::Bool(b)) => a == b,
        _ => false,
    }
}

/// Every field that the filter names, for a caller that knows which may be filtered on.
pub(crate) fn fields(filter: &Filter) -> Vec<&str> {
    let mut names = Vec::new();
    let mut waiting = vec![filter];
    while let Some(part) = waiting.pop() {
        match part {
            Filter::And(parts) | Filter::Or(parts) => waiting.extend(parts),
            Filter::Not(part) => waiting.push(part),
            Filter::Field(name, _) => names.push(name.as_str()),
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
