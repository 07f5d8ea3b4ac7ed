//! What the operations answer.

use std::collections::BTreeMap;

use pinyon_model::{Lsn, Match, NamespaceName, Record, RecordId, Usage};

/// A write that is durable and visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteAck {
    /// The write's position; a read whose `max_indexed_lsn` is at least this sees it.
    pub lsn: Lsn,
    /// What it is billed as.
    pub usage: Usage,
}

/// An update that is durable and visible, or had nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateAck {
    /// The update's position; none when the namespace was never made.
    pub lsn: Option<Lsn>,
    /// How many records matched; of an update by filter only.
    pub matched: Option<u64>,
    /// What it is billed as.
    pub usage: Usage,
}

/// The answer of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryAnswer {
    /// Best first; of equal scores the smaller id first.
    pub matches: Vec<Match>,
    /// What it is billed as.
    pub usage: Usage,
    /// Every write up to here was seen.
    pub max_indexed_lsn: Lsn,
}

/// Records by their ids.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchAnswer {
    /// Those that are there, in the order asked for, each once.
    pub records: Vec<Record>,
    /// What it is billed as.
    pub usage: Usage,
    /// Every write up to here was seen.
    pub max_indexed_lsn: Lsn,
}

/// A page of the records that match a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchPage {
    /// In the order of their ids.
    pub records: Vec<Record>,
    /// The last id of this page when more follow: the next page starts after it.
    pub next_after: Option<RecordId>,
    /// What it is billed as.
    pub usage: Usage,
    /// Every write up to here was seen.
    pub max_indexed_lsn: Lsn,
}

/// A page of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAnswer {
    /// In bytewise order.
    pub ids: Vec<RecordId>,
    /// The last id of this page when more follow: the next page starts after it.
    pub next_after: Option<RecordId>,
    /// What it is billed as.
    pub usage: Usage,
    /// Every write up to here was seen.
    pub max_indexed_lsn: Lsn,
}

/// How many records an index holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Live records of each namespace.
    pub namespaces: BTreeMap<NamespaceName, u64>,
    /// Their sum.
    pub total: u64,
}
