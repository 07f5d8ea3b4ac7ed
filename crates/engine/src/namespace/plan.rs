//! From operations to effects and changes: what a group of writes comes to, decided before any of it is logged.
//!
//! Each operation is decided against the published version and the effects of the operations before it in its group. It
//! is decided as a whole: one that fails leaves nothing behind.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use pinyon_model::{DeleteSelector, Error, Filter, Record, RecordId, Result, Update, UpdateTarget};
use tokio::sync::oneshot;

use super::{
    Namespace,
    draft::Change,
    effect::{self, Effect, Fields},
    read::Matching,
    version::Version,
    writer::{Operation, Outcome},
};

/// One operation, decided.
pub(super) struct Planned {
    /// The payload of its frame; none when there is nothing to do.
    pub(super) frame: Option<Vec<u8>>,
    /// Whether it has one.
    pub(super) logged: bool,
    pub(super) changes: Vec<Change>,
    pub(super) matched: Option<u64>,
    /// Counted bytes of the records it puts.
    pub(super) new_bytes: u64,
    pub(super) done: oneshot::Sender<Result<Outcome>>,
}

/// A group of operations on its way.
pub(super) struct Plan<'a> {
    namespace: &'a Namespace,
    version: Arc<Version>,
    pub(super) operations: Vec<Planned>,
    /// What the group makes of an id: the change that puts it, by operation and place, or none.
    overlay: HashMap<RecordId, Option<(usize, usize)>>,
    /// Whether the group has removed everything that was there before it.
    cleared: bool,
}

/// What one operation comes to.
#[derive(Default)]
struct Decision {
    effects: Vec<Effect>,
    /// What the effects come to, where they do not say it themselves.
    puts: Vec<Record>,
    matched: Option<u64>,
}

/// A decision as it is logged and applied.
struct Encoded {
    frame: Option<Vec<u8>>,
    changes: Vec<Change>,
    matched: Option<u64>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(namespace: &'a Namespace) -> Self {
        let version = namespace.version();
        Self { namespace, version, operations: Vec::new(), overlay: HashMap::new(), cleared: false }
    }

    /// Decides one more operation; if it cannot be done, its caller is told, and the group goes on without it.
    pub(super) async fn add(&mut self, operation: Operation, done: oneshot::Sender<Result<Outcome>>) {
        match self.decide(operation).await.and_then(|decision| self.encode(decision)) {
            Ok(encoded) => self.take(encoded, done),
            Err(error) => drop(done.send(Err(error))),
        }
    }

    async fn decide(&self, operation: Operation) -> Result<Decision> {
        match operation {
            Operation::Upsert(records) => Ok(upsert(records)),
            Operation::Update(update) => self.update(update).await,
            Operation::Delete(DeleteSelector::Ids(ids)) => Ok(Decision { effects: vec![Effect::Delete(ids)], ..Decision::default() }),
            Operation::Delete(DeleteSelector::All) => Ok(Decision { effects: vec![Effect::Clear], ..Decision::default() }),
            Operation::Delete(DeleteSelector::Filter(filter)) => {
                let ids = self.matching(filter).await?.ids;
                let matched = Some(ids.len() as u64);
                let effects = if ids.is_empty() { Vec::new() } else { vec![Effect::Delete(ids)] };
                Ok(Decision { effects, matched, ..Decision::default() })
            }
        }
    }

    async fn update(&self, update: Update) -> Result<Decision> {
        let Update { target, dense, sparse, set_metadata: metadata } = update;
        let fields = Fields { dense, sparse, metadata };
        match target {
            UpdateTarget::Id(id) => {
                let Some(record) = self.current(&id).await? else { return Ok(Decision::default()) };
                let puts = vec![fields.over(record)?];
                Ok(Decision { effects: vec![Effect::Patch { ids: vec![id], fields }], puts, matched: None })
            }
            UpdateTarget::Filter { filter, .. } => {
                let Matching { ids, counted_bytes } = self.matching(filter).await?;
                let limit = self.namespace.shared.settings.update_bytes;
                if counted_bytes > limit {
                    return Err(Error::invalid(format!(
                        "The filter matches {} records of {counted_bytes} bytes; one update may change at most {limit} bytes, so use narrower \
                         filters",
                        ids.len()
                    )));
                }
                let matched = Some(ids.len() as u64);
                let mut puts = Vec::with_capacity(ids.len());
                for record in self.version.records(&ids).await? {
                    puts.push(fields.over(record)?);
                }
                let effects = if ids.is_empty() { Vec::new() } else { vec![Effect::Patch { ids, fields }] };
                Ok(Decision { effects, puts, matched })
            }
        }
    }

    /// What matches in the version. An operation by filter has its group to itself, so there is no overlay to look at.
    async fn matching(&self, filter: Filter) -> Result<Matching> {
        self.version.matching(&self.namespace.shared.pool, &Arc::new(filter)).await
    }

    /// The record of this id as the group has left it so far.
    async fn current(&self, id: &RecordId) -> Result<Option<Record>> {
        match self.overlay.get(id) {
            Some(Some((operation, place))) => match &self.operations[*operation].changes[*place] {
                Change::Put(record) => Ok(Some(record.clone())),
                Change::Remove(_) | Change::Clear => Err(Error::internal("The overlay of a group points to no record")),
            },
            Some(None) => Ok(None),
            None if self.cleared => Ok(None),
            None => Ok(self.version.records(std::slice::from_ref(id)).await?.pop()),
        }
    }

    fn encode(&self, decision: Decision) -> Result<Encoded> {
        let Decision { effects, puts, matched } = decision;
        if effects.is_empty() {
            return Ok(Encoded { frame: None, changes: Vec::new(), matched });
        }
        let limit = self.namespace.shared.settings.frame_bytes;
        let size: usize = effects.iter().map(effect::size_hint).sum();
        if size > limit {
            return Err(Error::invalid(format!("The write takes {size} bytes in the log; one write may take at most {limit}")));
        }
        let frame = effect::encode(&effects);
        Ok(Encoded { frame: Some(frame), changes: changes(effects, puts), matched })
    }

    fn take(&mut self, encoded: Encoded, done: oneshot::Sender<Result<Outcome>>) {
        let Encoded { frame, changes, matched } = encoded;
        let operation = self.operations.len();
        let mut new_bytes = 0;
        for (place, change) in changes.iter().enumerate() {
            match change {
                Change::Put(record) => {
                    new_bytes += record.size_bytes() as u64;
                    self.overlay.insert(record.id.clone(), Some((operation, place)));
                }
                Change::Remove(id) => drop(self.overlay.insert(id.clone(), None)),
                Change::Clear => {
                    self.overlay.clear();
                    self.cleared = true;
                }
            }
        }
        self.operations.push(Planned { logged: frame.is_some(), frame, changes, matched, new_bytes, done });
    }
}

/// Of equal ids the last wins.
fn upsert(records: Vec<Record>) -> Decision {
    let mut seen = HashSet::with_capacity(records.len());
    let last: Vec<bool> = records.iter().rev().map(|record| seen.insert(record.id.clone())).collect();
    let kept = records.into_iter().zip(last.into_iter().rev()).filter(|(_, last)| *last);
    Decision { effects: kept.map(|(record, _)| Effect::Upsert(record)).collect(), ..Decision::default() }
}

/// What effects come to; `puts` are the records that the patches make, in order.
pub(super) fn changes(effects: Vec<Effect>, puts: Vec<Record>) -> Vec<Change> {
    let mut changes: Vec<Change> = puts.into_iter().map(Change::Put).collect();
    for effect in effects {
        match effect {
            Effect::Upsert(record) => changes.push(Change::Put(record)),
            Effect::Patch { .. } => {}
            Effect::Delete(ids) => changes.extend(ids.into_iter().map(Change::Remove)),
            Effect::Clear => changes.push(Change::Clear),
        }
    }
    changes
}
