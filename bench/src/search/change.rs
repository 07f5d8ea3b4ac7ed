//! What happens to a set between two measurements.

use crate::{
    sets::{State, truth::Placed},
    vectors::scatter,
};

/// A state that a namespace is brought to, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Change {
    /// Everything was written once
    Fresh,
    /// Then half of all records were given other vectors
    Replaced,
    /// Then four fifths of all records were deleted
    Deleted,
}

impl Change {
    pub(crate) const EVERY: [Self; 3] = [Self::Fresh, Self::Replaced, Self::Deleted];

    /// What this makes of a state: which records it writes, which it deletes, and the state after it.
    pub(crate) fn apply(self, before: &State) -> (Vec<Placed>, Vec<Placed>, State) {
        match self {
            Self::Fresh => (before.records.clone(), Vec::new(), before.clone()),
            Self::Replaced => replace_half(before),
            Self::Deleted => delete_most(before),
        }
    }
}

/// Half of the records, taken at random, hand their vectors on in a circle: each vector is still there, under another id.
fn replace_half(before: &State) -> (Vec<Placed>, Vec<Placed>, State) {
    let chosen: Vec<usize> =
        (0..before.records.len()).filter(|at| scatter(u64::from(before.records[*at].row), 2).is_multiple_of(2)).collect();
    let mut records = before.records.clone();
    for (place, at) in chosen.iter().enumerate() {
        records[*at].vector = before.records[chosen[(place + 1) % chosen.len()]].vector;
    }
    let written = chosen.iter().map(|at| records[*at]).collect();
    (written, Vec::new(), State { name: format!("{}-replaced", before.name), records })
}

fn delete_most(before: &State) -> (Vec<Placed>, Vec<Placed>, State) {
    let (kept, deleted) = before.records.iter().partition(|record| scatter(u64::from(record.row), 5).is_multiple_of(5));
    (Vec::new(), deleted, State { name: format!("{}-deleted", before.name), records: kept })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn half_of_the_records_get_each_others_vectors() {
        let before = State::fresh(2_000);
        let (written, deleted, after) = Change::Replaced.apply(&before);
        assert!(deleted.is_empty() && (900..1_100).contains(&written.len()));
        assert!(written.iter().all(|record| record.row != record.vector));
        let vectors: BTreeSet<u32> = after.records.iter().map(|record| record.vector).collect();
        assert_eq!(vectors.len(), 2_000, "no vector is lost or doubled");
        let changed: Vec<Placed> = after.records.iter().filter(|record| record.row != record.vector).copied().collect();
        assert_eq!(changed, written);
    }

    #[test]
    fn a_fifth_is_left() {
        let before = State::fresh(2_000);
        let (written, deleted, after) = Change::Deleted.apply(&before);
        assert!(written.is_empty() && (350..450).contains(&after.records.len()));
        assert_eq!(deleted.len() + after.records.len(), 2_000);
        assert_ne!(after.name, before.name);
    }
}
