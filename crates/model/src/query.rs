use crate::{
    DenseVector, Error, Filter, Metadata, RecordId, Result, SparseVector,
    limits::{IDS_MAX, TOP_K_MAX},
};

/// How many matches a query asks for: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopK(u32);

impl TopK {
    /// Checks the number.
    pub fn new(k: u32) -> Result<Self> {
        if (1..=TOP_K_MAX).contains(&k) {
            Ok(Self(k))
        } else {
            Err(Error::invalid(format!("top_k is {k}; it must be between 1 and {TOP_K_MAX}")))
        }
    }
    /// The number.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// What a query searches with.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryTarget {
    /// The vectors of a record that is there; none there matches nothing.
    Id(RecordId),
    /// A dense vector, a sparse one, or (hybrid) both.
    Vector {
        /// The dense part.
        dense: Option<DenseVector>,
        /// The sparse part.
        sparse: Option<SparseVector>,
    },
}

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What to search with.
    pub target: QueryTarget,
    /// How many matches at most.
    pub top_k: TopK,
    /// Which records count.
    pub filter: Option<Filter>,
    /// Whether matches carry their vectors.
    pub include_values: bool,
    /// Whether matches carry their metadata.
    pub include_metadata: bool,
    /// Scales the effort of an approximate search, 0.5 to 4.
    pub scan_factor: Option<f32>,
    /// Caps the candidates of an approximate search, 1 to 100,000.
    pub max_candidates: Option<u32>,
}

impl Query {
    /// Checks the two effort settings' ranges.
    pub fn checked(self) -> Result<Self> {
        if let Some(f) = self.scan_factor
            && !(0.5..=4.0).contains(&f)
        {
            return Err(Error::invalid(format!("scan_factor is {f}; it must be between 0.5 and 4")));
        }
        if let Some(n) = self.max_candidates
            && !(1..=100_000).contains(&n)
        {
            return Err(Error::invalid(format!("max_candidates is {n}; it must be between 1 and 100000")));
        }
        Ok(self)
    }
}

/// One answer of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The record.
    pub id: RecordId,
    /// Its exact score: cosine similarity, dot product (dense plus sparse), or squared Euclidean distance.
    pub score: f32,
    /// Its dense vector, if asked for.
    pub dense: Option<DenseVector>,
    /// Its sparse vector, if asked for.
    pub sparse: Option<SparseVector>,
    /// Its metadata, if asked for.
    pub metadata: Option<Metadata>,
}

/// What an operation is billed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Read units, rounded up.
    pub read_units: u32,
    /// Write units.
    pub write_units: u32,
}

/// Which records an update changes.
#[derive(Debug, Clone, PartialEq)]
pub enum UpdateTarget {
    /// One record; a missing one is no error.
    Id(RecordId),
    /// All that match. Only their metadata can be set.
    Filter {
        /// Which.
        filter: Filter,
        /// Count them and change nothing.
        dry_run: bool,
    },
}

/// A change of records that are there.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Which records.
    pub target: UpdateTarget,
    /// The new dense vector.
    pub dense: Option<DenseVector>,
    /// The new sparse vector.
    pub sparse: Option<SparseVector>,
    /// Metadata fields to put over the old ones.
    pub set_metadata: Option<Metadata>,
}

impl Update {
    /// Checks what may be combined: a filter is not empty and sets metadata alone.
    pub fn checked(self) -> Result<Self> {
        if let UpdateTarget::Filter { filter, dry_run } = &self.target {
            if filter.is_empty() {
                return Err(Error::invalid("Update with empty metadata filter is not allowed"));
            }
            if self.dense.is_some() || self.sparse.is_some() {
                return Err(Error::invalid("Update by filter can set metadata only; values and sparse values need an id"));
            }
            if self.set_metadata.is_none() && !dry_run {
                return Err(Error::invalid("Update by filter needs the metadata to set"));
            }
        }
        Ok(self)
    }
}

/// Which records a delete removes.
#[derive(Debug, Clone, PartialEq)]
pub enum DeleteSelector {
    /// These; missing ones are no error.
    Ids(Vec<RecordId>),
    /// All that match.
    Filter(Filter),
    /// Every record: the namespace's whole content.
    All,
}

impl DeleteSelector {
    /// Checks that ids are 1 to 1,000 and a filter is not empty.
    pub fn checked(self) -> Result<Self> {
        match &self {
            DeleteSelector::Ids(ids) if ids.is_empty() || ids.len() > IDS_MAX => {
                Err(Error::invalid(format!("Delete takes 1 to {IDS_MAX} ids, but got {}", ids.len())))
            }
            DeleteSelector::Filter(f) if f.is_empty() => Err(Error::invalid("Delete with empty metadata filter is not allowed")),
            _ => Ok(self),
        }
    }
}

/// One page of a listing in bytewise order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The last entry of this page when more follow: the next page starts after it.
    pub next_after: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_edges() {
        assert!(TopK::new(0).is_err());
        assert!(TopK::new(1).is_ok());
        assert!(TopK::new(10_000).is_ok());
        assert!(TopK::new(10_001).is_err());
    }

    #[test]
    fn delete_edges() {
        let ids = |n: usize| DeleteSelector::Ids((0..n).map(|i| RecordId::new(format!("{i}")).unwrap()).collect()).checked();
        assert!(ids(0).is_err());
        assert!(ids(1_000).is_ok());
        assert!(ids(1_001).is_err());
        assert!(DeleteSelector::Filter(Filter::And(vec![])).checked().is_err());
    }
}
