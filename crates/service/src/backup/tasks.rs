//! What goes on: backups that are being taken, stored, read and imported, and restores.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinyon_engine::Progress;
use pinyon_model::{BackupId, IndexId, RestoreJobId};
use tokio::sync::Notify;

/// What a restore holds while it runs, and how far it is.
pub(crate) type RunningRestore = (Guard, Arc<Progress>);

/// Everything that goes on.
#[derive(Default)]
pub(crate) struct BackupTasks {
    running: Mutex<Running>,
    ended: Notify,
}

#[derive(Default)]
struct Running {
    /// Backups that are being taken or stored, with the index whose files they link.
    captures: HashMap<BackupId, IndexId>,
    restores: HashMap<RestoreJobId, Restore>,
    /// Backups that are being read: verified, or exported.
    readers: HashMap<BackupId, usize>,
    /// Backups that a file is being made into.
    imports: HashSet<BackupId>,
    scratch: HashSet<IndexId>,
}

struct Restore {
    target: IndexId,
    progress: Arc<Progress>,
}

impl BackupTasks {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The taking of a backup begins: the files of this index are needed until it is stored, or has failed.
    pub(crate) fn begin_capture(self: &Arc<Self>, backup: BackupId, index: IndexId) -> Guard {
        self.running().captures.insert(backup, index);
        Guard { tasks: Arc::clone(self), task: Task::Capture(backup) }
    }

    /// A restore begins; none when it runs already.
    pub(crate) fn begin_restore(self: &Arc<Self>, job: RestoreJobId, target: IndexId) -> Option<RunningRestore> {
        let progress = Arc::new(Progress::default());
        match self.running().restores.entry(job) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => _ = place.insert(Restore { target, progress: Arc::clone(&progress) }),
        }
        Some((Guard { tasks: Arc::clone(self), task: Task::Restore(job) }, progress))
    }

    /// An import begins; none when a file is being made into this backup already.
    pub(crate) fn begin_import(self: &Arc<Self>, backup: BackupId) -> Option<Guard> {
        let is_first = self.running().imports.insert(backup);
        is_first.then(|| Guard { tasks: Arc::clone(self), task: Task::Import(backup) })
    }

    /// A backup is being read, and must stay meanwhile.
    pub(crate) fn begin_reading(self: &Arc<Self>, backup: BackupId) -> Guard {
        *self.running().readers.entry(backup).or_default() += 1;
        Guard { tasks: Arc::clone(self), task: Task::Reading(backup) }
    }

    /// An index without a row is in use.
    pub(crate) fn begin_scratch(self: &Arc<Self>, index: IndexId) -> Guard {
        self.running().scratch.insert(index);
        Guard { tasks: Arc::clone(self), task: Task::Scratch(index) }
    }

    pub(crate) fn is_storing(&self, backup: BackupId) -> bool {
        self.running().captures.contains_key(&backup)
    }

    /// Whether a backup must stay for now: it is being read, or its import is not settled.
    pub(crate) fn is_reading(&self, backup: BackupId) -> bool {
        let running = self.running();
        running.readers.contains_key(&backup) || running.imports.contains(&backup)
    }

    /// Whether a backup is on its way, and may have a key and no row.
    pub(crate) fn is_being_made(&self, backup: BackupId) -> bool {
        let running = self.running();
        running.captures.contains_key(&backup) || running.imports.contains(&backup)
    }

    /// How far a restore is, 0 to 100; none when it does not run.
    pub(crate) fn percent(&self, job: RestoreJobId) -> Option<f64> {
        // A hundred is said when the index serves.
        Some(self.running().restores.get(&job)?.progress.percent().min(99.0))
    }

    /// Whether the files of an index are in use by something that goes on.
    pub(crate) fn uses(&self, index: IndexId) -> bool {
        let running = self.running();
        running.captures.values().any(|i| *i == index)
            || running.restores.values().any(|r| r.target == index)
            || running.scratch.contains(&index)
    }

    /// Waits until nothing uses the files of an index any more.
    pub(crate) async fn unused(&self, index: IndexId) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that no end is missed.
            ended.as_mut().enable();
            if !self.uses(index) {
                return;
            }
            ended.await;
        }
    }

    /// Waits until no backup is being stored.
    pub(crate) async fn stored(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.running().captures.is_empty() {
                return;
            }
            ended.await;
        }
    }
}

/// Ends what goes on when it is dropped.
pub(crate) struct Guard {
    tasks: Arc<BackupTasks>,
    task: Task,
}

enum Task {
    Capture(BackupId),
    Restore(RestoreJobId),
    Reading(BackupId),
    Import(BackupId),
    Scratch(IndexId),
}

impl Drop for Guard {
    fn drop(&mut self) {
        {
            let mut running = self.tasks.running();
            match &self.task {
                Task::Capture(id) => drop(running.captures.remove(id)),
                Task::Restore(id) => drop(running.restores.remove(id)),
                Task::Import(id) => _ = running.imports.remove(id),
                Task::Scratch(id) => _ = running.scratch.remove(id),
                Task::Reading(id) => {
                    if let Some(n) = running.readers.get_mut(id) {
                        *n -= 1;
                        if *n == 0 {
                            running.readers.remove(id);
                        }
                    }
                }
            }
        }
        self.tasks.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_index_is_in_use_until_the_last_task_on_it_ends() {
        let tasks = Arc::new(BackupTasks::default());
        let (index, other) = (IndexId::from_bytes([1; 16]), IndexId::from_bytes([2; 16]));
        let one = tasks.begin_capture(BackupId::from_bytes([1; 16]), index);
        let (two, progress) = tasks.begin_restore(RestoreJobId::from_bytes([2; 16]), index).unwrap();
        assert!(tasks.uses(index) && !tasks.uses(other));
        assert_eq!((tasks.percent(RestoreJobId::from_bytes([2; 16])), tasks.percent(RestoreJobId::from_bytes([3; 16]))), (Some(0.0), None));
        drop(progress);
        let waiting = tokio::spawn({
            let tasks = Arc::clone(&tasks);
            async move { tasks.unused(index).await }
        });
        tokio::task::yield_now().await;
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(two);
        waiting.await.unwrap();
        tasks.stored().await;
    }

    #[test]
    fn a_restore_and_an_import_run_once_at_a_time() {
        let tasks = Arc::new(BackupTasks::default());
        let (job, index, backup) = (RestoreJobId::from_bytes([1; 16]), IndexId::from_bytes([2; 16]), BackupId::from_bytes([3; 16]));
        let restore = tasks.begin_restore(job, index);
        assert!(restore.is_some() && tasks.begin_restore(job, index).is_none());
        // The refusal has not ended the one that runs.
        assert!(tasks.uses(index));
        drop(restore);
        assert!(!tasks.uses(index) && tasks.begin_restore(job, index).is_some());
        let import = tasks.begin_import(backup);
        assert!(import.is_some() && tasks.begin_import(backup).is_none());
        assert!(tasks.is_reading(backup) && tasks.is_being_made(backup));
        drop(import);
        assert!(!tasks.is_reading(backup) && !tasks.is_being_made(backup) && tasks.begin_import(backup).is_some());
    }

    #[test]
    fn readers_are_counted() {
        let tasks = Arc::new(BackupTasks::default());
        let id = BackupId::from_bytes([1; 16]);
        let (one, two) = (tasks.begin_reading(id), tasks.begin_reading(id));
        drop(one);
        assert!(tasks.is_reading(id));
        drop(two);
        assert!(!tasks.is_reading(id));
    }
}
