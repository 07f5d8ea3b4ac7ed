//! The writer of a namespace: one at a time, there while its queue is not empty.
//!
//! What waits is taken as one group: decided, logged with one fsync, applied, published, acknowledged, in this order. A
//! group that cannot be logged was never visible, and every operation of it is refused.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use pinyon_model::{DeleteSelector, Error, Lsn, Record, Result, Update, UpdateTarget};
use pinyon_storage::Purpose;
use tokio::sync::oneshot;

use super::{
    Core, Namespace,
    draft::Draft,
    plan::{Plan, Planned},
};

/// A write whose vectors were checked.
pub(crate) enum Operation {
    Upsert(Vec<Record>),
    Update(Update),
    Delete(DeleteSelector),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Its position; of one that had nothing to do, that of the last write before it.
    pub(crate) lsn: Lsn,
    /// How many records matched its filter.
    pub(crate) matched: Option<u64>,
    /// Counted bytes of the records that it put, replaced and removed.
    pub(crate) bytes: u64,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    running: bool,
}

struct Waiting {
    operation: Operation,
    bytes: usize,
    done: oneshot::Sender<Result<Outcome>>,
}

impl Operation {
    /// Deletions may use the disk's reserve: they are how room is made.
    pub(crate) fn purpose(&self) -> Purpose {
        match self {
            Operation::Upsert(_) | Operation::Update(_) => Purpose::Data,
            Operation::Delete(_) => Purpose::Essential,
        }
    }

    /// What it finds by a filter must see what every operation before it did.
    fn by_filter(&self) -> bool {
        match self {
            Operation::Upsert(_) => false,
            Operation::Update(update) => matches!(update.target, UpdateTarget::Filter { .. }),
            Operation::Delete(selector) => matches!(selector, DeleteSelector::Filter(_)),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Operation::Upsert(records) => records.iter().map(Record::size_bytes).sum(),
            Operation::Update(_) | Operation::Delete(_) => 0,
        }
    }
}

impl Queue {
    /// Takes the operations at the front that may be one group: of one purpose, within `bytes`, and of those by filter the
    /// first alone.
    fn take_group(&mut self, bytes: usize) -> Vec<Waiting> {
        let Some(first) = self.waiting.front() else { return Vec::new() };
        let purpose = first.operation.purpose();
        let mut many = 1;
        if !first.operation.by_filter() {
            let mut total = first.bytes;
            for next in self.waiting.iter().skip(1) {
                total += next.bytes;
                if next.operation.purpose() != purpose || next.operation.by_filter() || total > bytes {
                    break;
                }
                many += 1;
            }
        }
        self.waiting.drain(..many).collect()
    }
}

impl Namespace {
    /// Makes a write durable and visible. It goes on to its end even if the caller goes away.
    pub(crate) async fn write(self: &Arc<Self>, operation: Operation) -> Result<Outcome> {
        self.shared.check_running()?;
        let (done, outcome) = oneshot::channel();
        let bytes = operation.size_bytes();
        let start = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push_back(Waiting { operation, bytes, done });
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            let namespace = Arc::clone(self);
            self.shared.tasks.spawn(async move { namespace.drain().await });
        }
        outcome.await.unwrap_or_else(|_| Err(Error::internal("A write ended unexpectedly; whether it was done is not known")))
    }

    async fn drain(self: Arc<Self>) {
        let guard = FailOnPanic(&self);
        loop {
            let group = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let group = queue.take_group(self.shared.settings.group_bytes);
                queue.running = !group.is_empty();
                group
            };
            let Some(purpose) = group.first().map(|w| w.operation.purpose()) else { break };
            match self.wait_for_room(purpose).await {
                Ok(()) => self.commit(group, purpose).await,
                Err(error) => group.into_iter().for_each(|w| drop(w.done.send(Err(error.clone())))),
            }
        }
        std::mem::forget(guard);
    }

    async fn commit(self: &Arc<Self>, group: Vec<Waiting>, purpose: Purpose) {
        let mut core = self.core.lock().await;
        if let Some(error) = self.refusal() {
            group.into_iter().for_each(|w| drop(w.done.send(Err(error.clone()))));
            return;
        }
        let mut plan = Plan::new(self);
        for waiting in group {
            plan.add(waiting.operation, waiting.done).await;
        }
        let mut operations = plan.operations;
        let frames: Vec<Bytes> = operations.iter_mut().filter_map(|op| op.frame.take()).map(Bytes::from).collect();
        let grown: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        if !frames.is_empty()
            && let Err(error) = core.log.append(frames, purpose).await
        {
            let error = self.write_error(error);
            operations.drain(..).for_each(|op| drop(op.done.send(Err(error.clone()))));
            return;
        }
        let answers = self.apply(&mut core, operations);
        core.log_grown += grown;
        let (log_grown, log_files) = (core.log_grown, core.log.files());
        drop(core);
        answers.into_iter().for_each(|(done, outcome)| drop(done.send(Ok(outcome))));
        self.flush_if_due(log_grown, log_files);
    }

    /// Applies what is durable now and publishes it at once.
    fn apply(&self, core: &mut Core, operations: Vec<Planned>) -> Vec<(oneshot::Sender<Result<Outcome>>, Outcome)> {
        let version = self.version();
        let mut lsn = version.lsn;
        let mut draft = Draft::new(&version, core);
        let mut answers = Vec::with_capacity(operations.len());
        for operation in operations {
            if operation.logged {
                lsn = Lsn(lsn.0 + 1);
            }
            let old: u64 = operation.changes.into_iter().map(|change| draft.apply(change, lsn)).sum();
            answers.push((operation.done, Outcome { lsn, matched: operation.matched, bytes: operation.new_bytes + old }));
        }
        let next = draft.finish(lsn);
        drop(version);
        debug_assert_eq!(next.lsn, core.log.last_lsn(), "one frame an operation");
        self.publish(next);
        answers
    }

    /// While one memtable is being stored and the other is full, new data waits; it is refused if storing fails. Deletions
    /// are let through.
    async fn wait_for_room(self: &Arc<Self>, purpose: Purpose) -> Result<()> {
        loop {
            let ended = self.flush_ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let version = self.version();
            let full = version.frozen().is_some() && version.active().bytes() >= self.shared.settings.memtable_bytes;
            if !full || purpose == Purpose::Essential || self.is_ending() {
                return Ok(());
            }
            drop(version);
            self.start_flush();
            ended.await;
            if let Some(error) = self.flush_error() {
                return Err(error);
            }
        }
    }
}

/// If the writer panics, what it left behind is not known: the namespace takes no more requests.
struct FailOnPanic<'a>(&'a Namespace);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        self.0.fail(Error::internal("The writer of this namespace ended unexpectedly; restart the server to recover from the log"));
    }
}
