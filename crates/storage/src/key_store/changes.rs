//! Changing the key store: what waits is written together, with one sync, by whoever comes first.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use pinyon_model::{IndexId, NamespaceId};
use tokio::sync::oneshot;

use super::entry::{Entry, KeyAbove, Owner, SealedProjectKey, Wrapped};
use super::{Shared, locked};
use crate::{DataKey, KeyId, Result, StorageError};

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Request>,
    /// Whether someone is writing, and will look again before it stops.
    pub(super) busy: bool,
}

pub(super) struct Request {
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Result<()>>,
}

pub(super) enum Change {
    /// Make a key for this owner, wrapped by the key above, unless it has one.
    Create(Owner, KeyAbove),
    /// Give this key to an owner that has none.
    Import(Owner, Arc<DataKey>, KeyAbove),
    /// Make a further key for a namespace.
    Rotate(IndexId, NamespaceId),
    /// Give these keys to a namespace that has none, and a new one.
    Adopt(IndexId, NamespaceId, Vec<Arc<DataKey>>),
    /// Wrap the owner's key by another.
    Rewrap(Owner, KeyAbove),
    /// Destroy the owner's keys, and an index's namespace keys with it.
    Destroy(Owner),
    /// Destroy one key of a namespace that is not its current one.
    DestroyOlder(IndexId, NamespaceId, KeyId),
    PutProject(KeyId, SealedProjectKey),
    DestroyProject(KeyId),
}

/// Writes what is queued, group by group, until nothing is. The last answers are sent when the store is let go of: whoever drops it
/// then may open it again at once.
pub(super) fn write_queue(shared: Arc<Shared>) {
    let mut next = shared.next_group();
    while let Some(group) = next {
        let answers = shared.write_group(group);
        next = shared.next_group();
        if next.is_none() {
            drop(shared);
            return send(answers);
        }
        send(answers);
    }
}

fn send(answers: Vec<(oneshot::Sender<Result<()>>, Result<()>)>) {
    for (done, answer) in answers {
        let _ = done.send(answer);
    }
}

impl Shared {
    /// Takes what is queued; `None`, and nobody is writing any more, if nothing is.
    fn next_group(&self) -> Option<Vec<Request>> {
        let mut queue = locked(&self.queue);
        queue.busy = !queue.waiting.is_empty();
        queue.busy.then(|| queue.waiting.drain(..).collect())
    }

    /// Makes a group of changes durable; the answers are for the caller to send.
    fn write_group(&self, group: Vec<Request>) -> Vec<(oneshot::Sender<Result<()>>, Result<()>)> {
        let mut file = locked(&self.file);
        let (mut added, mut accepted, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for Request { change, done } in group {
            match self.entries_for(&change, &added) {
                Ok(entries) => {
                    added.extend(entries);
                    accepted.push(done);
                }
                Err(e) => answers.push((done, Err(e))),
            }
        }
        let mut wrote = Ok(());
        if !added.is_empty() {
            wrote = file.append(&self.root(), &added, || self.entries().clone());
        }
        if wrote.is_ok() {
            self.publish(&added);
            file.compact_if_mostly_dead(&self.root(), &self.entries());
        }
        let mut failure = wrote.err();
        let failed = failure.is_some();
        // The first is told the cause; an error cannot be copied, so the others are told that they shared it.
        answers.extend(accepted.into_iter().map(|done| {
            let answer = if failed { Err(failure.take().unwrap_or_else(|| file.unwritten())) } else { Ok(()) };
            (done, answer)
        }));
        answers
    }

    /// The entries that make a change happen; none if it is so already.
    fn entries_for(&self, change: &Change, added: &[Entry]) -> Result<Vec<Entry>> {
        let has = |owner: &Owner| match added.iter().rev().find_map(|e| e.says_of(owner)) {
            Some(there) => there,
            None => self.entries().contains(owner),
        };
        // One that was destroyed may be unlocked for a moment more, and nothing may be wrapped by it.
        let is_there = |above: KeyAbove| {
            let KeyAbove::Project(id) = above else { return Ok(()) };
            let says = |e: &Entry| match e {
                Entry::Project(project, _) if *project == id => Some(true),
                Entry::ProjectDestroyed(project) if *project == id => Some(false),
                _ => None,
            };
            match added.iter().rev().find_map(says).unwrap_or_else(|| self.entries().project(id).is_some()) {
                true => Ok(()),
                false => Err(StorageError::invalid(format!("project key {id} is destroyed"))),
            }
        };
        let fresh = |owner: &Owner, above: KeyAbove| {
            is_there(above)?;
            let wrapped = self.with_key_above(owner, above, |bytes| Wrapped::fresh(owner, above, bytes))?;
            Ok(Entry::Key(owner.clone(), wrapped))
        };
        let wrap = |owner: &Owner, key: &DataKey, above: KeyAbove| {
            is_there(above)?;
            let wrapped = self.with_key_above(owner, above, |bytes| Wrapped::wrap(owner, key.id(), key.bytes(), above, bytes))?;
            Ok(Entry::Key(owner.clone(), wrapped))
        };
        let taken = |owner: &Owner| StorageError::invalid(format!("{} has a key already", owner.told()));
        match change {
            Change::Create(owner, above) => (!has(owner)).then(|| fresh(owner, *above)).into_iter().collect(),
            Change::Import(owner, key, above) => match has(owner) {
                true => Err(taken(owner)),
                false => Ok(vec![wrap(owner, key, *above)?]),
            },
            Change::Rotate(index, namespace) => {
                let owner = Owner::Namespace(*index, *namespace);
                if !has(&owner) {
                    return Err(owner.missing());
                }
                Ok(vec![fresh(&owner, KeyAbove::Root)?])
            }
            Change::Adopt(index, namespace, older) => {
                let owner = Owner::Namespace(*index, *namespace);
                if has(&owner) {
                    return Err(taken(&owner));
                }
                let older = older.iter().map(|key| wrap(&owner, key, KeyAbove::Root));
                older.chain([fresh(&owner, KeyAbove::Root)]).collect()
            }
            Change::Rewrap(owner, above) => {
                if !has(owner) {
                    return Err(owner.missing());
                }
                Ok(vec![wrap(owner, &*self.current(owner)?, *above)?])
            }
            Change::Destroy(owner) => Ok(if has(owner) { vec![Entry::Destroyed(owner.clone())] } else { Vec::new() }),
            Change::DestroyOlder(index, namespace, key) => {
                let keys = self.entries().get(&Owner::Namespace(*index, *namespace));
                match keys.iter().rposition(|k| k.key_id == *key) {
                    Some(at) if at + 1 == keys.len() => Err(StorageError::invalid("the current key of a namespace is in use")),
                    Some(_) => Ok(vec![Entry::NamespaceKeyDestroyed(*index, *namespace, *key)]),
                    None => Ok(Vec::new()),
                }
            }
            Change::PutProject(id, key) => Ok(vec![Entry::Project(*id, key.clone())]),
            Change::DestroyProject(id) => {
                let (indexes, backups) = self.entries().under(*id);
                let joins = |e: &Entry| matches!(e, Entry::Key(_, key) if key.above == KeyAbove::Project(*id));
                if !indexes.is_empty() || !backups.is_empty() || added.iter().any(joins) {
                    return Err(StorageError::invalid(format!("project key {id} is in use")));
                }
                Ok(vec![Entry::ProjectDestroyed(*id)])
            }
        }
    }

    fn publish(&self, added: &[Entry]) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for entry in added {
            match entry {
                Entry::Key(owner, _) => self.open.forget(owner),
                Entry::Destroyed(owner) => {
                    self.open.forget(owner);
                    if let Owner::Index(index) = owner {
                        entries.namespaces_of(*index).iter().for_each(|gone| self.open.forget(gone));
                    }
                }
                Entry::NamespaceKeyDestroyed(index, namespace, _) => self.open.forget(&Owner::Namespace(*index, *namespace)),
                Entry::Project(..) | Entry::ProjectDestroyed(_) => {}
            }
            entries.apply(entry.clone());
        }
    }
}
