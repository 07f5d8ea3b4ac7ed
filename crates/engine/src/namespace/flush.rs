//! Storing the memtable as a segment, so that the log can be trimmed.
//!
//! The memtable is frozen at a write F and a new one takes its place. What is stored is exactly the state after F: the
//! rows visible then, and the deletes up to then. Deletes that land while it is written stay in memory and in the log.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use pinyon_model::{Error, Lsn, ObjectId, Result};
use pinyon_storage::Purpose;
use roaring::RoaringBitmap;

use super::{
    Core, Namespace,
    manifest::{Manifest, StoredDeletes, StoredSegment},
    memtable::Memtable,
    stored::Stored,
    version::{Segment, SegmentView},
};
use crate::segment::{CodesFrom, SegmentInfo, SegmentOptions, SegmentWriter, deletes};

/// A frozen memtable as a segment.
struct Flushed {
    segment: Arc<Segment>,
    /// The memtable's row of each row of the segment.
    rows: Vec<u32>,
}

impl Namespace {
    /// Starts a flush if memory or the log have grown enough.
    pub(super) fn flush_if_due(self: &Arc<Self>, log_grown: u64, log_files: usize) {
        let settings = &self.shared.settings;
        let version = self.version();
        let due = version.active().bytes() >= settings.memtable_bytes
            || log_grown >= settings.log_bytes
            || log_files > settings.log_files
            || version.frozen().is_some();
        if due {
            self.start_flush();
        }
    }

    /// Starts a flush unless one is running.
    pub(super) fn start_flush(self: &Arc<Self>) {
        if self.is_ending() || self.flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        let namespace = Arc::clone(self);
        self.shared.tasks.spawn(async move { namespace.run_flush().await });
    }

    async fn run_flush(self: Arc<Self>) {
        let outcome = match self.shared.flushes.acquire().await {
            Ok(_permit) => self.flush().await,
            Err(_) => Ok(()),
        };
        let failed = outcome.is_err();
        if let Err(error) = &outcome {
            tracing::warn!(namespace = %self.id, "flush failed: {error}");
        }
        *self.flush_error.lock().unwrap_or_else(PoisonError::into_inner) = outcome.err();
        self.flushing.store(false, Ordering::Release);
        self.flush_ended.notify_waiters();
        if !failed {
            self.compact_if_due();
        }
    }

    /// Why the last flush failed.
    pub(super) fn flush_error(&self) -> Option<Error> {
        self.flush_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores everything that is in memory now, and starts what that makes due.
    pub(crate) async fn flush_now(self: &Arc<Self>) -> Result<()> {
        self.flush().await?;
        self.compact_if_due();
        Ok(())
    }

    /// Stores everything that is in memory now, or what an earlier flush froze and could not store.
    pub(super) async fn flush(&self) -> Result<()> {
        let mut stored = self.stored.lock().await;
        if self.is_ending() {
            return Ok(());
        }
        let frozen = {
            let mut core = self.core.lock().await;
            self.freeze(&mut core, stored.manifest.flushed)
        };
        let Some((frozen, upto)) = frozen else { return Ok(()) };
        let shed = stored.manifest.shed || frozen.rows().any(|(_, row)| row.deleted().is_some());
        self.store_frozen(&mut stored, &frozen, upto, shed).await
    }

    /// Stores a frozen memtable, and says whether anything that the current key sealed is shed besides what the manifest shows.
    pub(super) async fn store_frozen(&self, stored: &mut Stored, frozen: &Memtable, upto: Lsn, shed: bool) -> Result<()> {
        let flushed = self.store_memtable(frozen, upto).await?;
        let outcome = self.store_manifest(stored, flushed.as_ref(), upto, shed).await;
        let superseded = match outcome {
            Ok(superseded) => superseded,
            Err(error) => {
                // It may be named after all, if the manifest's answer was lost: the removal looks.
                flushed.iter().for_each(|f| self.superseded.request(f.segment.id()));
                return Err(error);
            }
        };
        self.take_in(flushed, frozen, upto).await;
        superseded.into_iter().for_each(|object| self.superseded.request(object));
        Ok(())
    }

    /// Puts a new memtable in the place of the one that is written to; none if nothing was written since `flushed`.
    pub(super) fn freeze(&self, core: &mut Core, flushed: Lsn) -> Option<(Arc<Memtable>, Lsn)> {
        let version = self.version();
        if let (Some(upto), Some(frozen)) = (core.frozen, version.frozen()) {
            return Some((Arc::clone(frozen), upto));
        }
        if version.lsn == flushed {
            return None;
        }
        let mut next = (*version).clone();
        next.memtables.insert(0, Arc::new(Memtable::new()));
        core.frozen = Some(version.lsn);
        core.log_grown = 0;
        self.publish(next);
        Some((Arc::clone(version.active()), version.lsn))
    }

    async fn store_memtable(&self, frozen: &Memtable, upto: Lsn) -> Result<Option<Flushed>> {
        let rows = frozen.sorted(upto);
        if rows.is_empty() {
            return Ok(None);
        }
        let mut writer = self.segment_writer().await?;
        for row in rows.iter().filter_map(|number| frozen.row(*number)) {
            writer.push(&row.record, row.lsn).await?;
        }
        let segment = self.finish_segment(writer).await?;
        Ok(Some(Flushed { segment, rows }))
    }

    pub(super) async fn segment_writer(&self) -> Result<SegmentWriter> {
        SegmentWriter::create(&self.shared.sealed, &self.folder, &self.key(), self.segment_options(), Purpose::Essential).await
    }

    /// How its segments are made.
    pub(super) fn segment_options(&self) -> SegmentOptions {
        let settings = &self.shared.settings;
        SegmentOptions {
            kernels: self.shared.kernels,
            dense: self.options.shape.dense,
            codes: CodesFrom { coded: settings.coded_vectors, clustered: settings.clustered_vectors },
            schema: self.schema.clone(),
        }
    }

    pub(super) async fn finish_segment(&self, writer: SegmentWriter) -> Result<Arc<Segment>> {
        let SegmentInfo { object: id, key, rows, bytes: plain_bytes, counted_bytes, .. } = writer.finish().await?;
        let stored = StoredSegment { id, key: *key.as_bytes(), rows, counted_bytes, plain_bytes, deletes: None };
        let opened = self.open_segment(&stored).await;
        if opened.is_err() {
            self.superseded.request(id);
        }
        opened
    }

    /// Stores the deletes up to `upto` and the manifest that says so. Returns the objects that it names no longer, but for
    /// segments, which readers may hold.
    async fn store_manifest(&self, stored: &mut Stored, flushed: Option<&Flushed>, upto: Lsn, shed: bool) -> Result<Vec<ObjectId>> {
        let views: Vec<(SegmentView, RoaringBitmap)> = {
            let core = self.core.lock().await;
            let version = self.version();
            let cleared = core.cleared.iter().filter(|c| c.at > upto).map(|c| &c.view);
            version.segments.iter().chain(cleared).map(|view| (view.clone(), core.unsaved.dead_at(view, upto))).collect()
        };
        let shed = shed || views.iter().any(|(_, dead)| !dead.is_empty());
        let mut next = Manifest { namespace: Some(self.id), shed, flushed: upto, segments: Vec::with_capacity(views.len() + 1) };
        for (view, dead) in &views {
            if dead.len() == u64::from(view.segment.stored.rows) {
                continue;
            }
            let before = stored.manifest.segments.iter().find(|s| s.id == view.id()).and_then(|s| s.deletes);
            let deletes = self.store_deletes(view, dead, before).await?;
            next.segments.push(StoredSegment { deletes, ..view.segment.stored });
        }
        // Segments that a write emptied as a whole are named no longer.
        next.shed |= stored.manifest.segments.iter().any(|before| next.segments.iter().all(|s| s.id != before.id));
        next.segments.extend(flushed.map(|f| f.segment.stored));
        let before: Vec<ObjectId> = stored.manifest.segments.iter().filter_map(|s| s.deletes.map(|d| d.id)).collect();
        stored.swap(self, next).await?;
        Ok(before.into_iter().filter(|object| !stored.manifest.names(*object)).collect())
    }

    /// Stores the dead rows of a segment, unless they are stored already: rows only ever die, so as many are the same ones.
    pub(super) async fn store_deletes(
        &self,
        view: &SegmentView,
        dead: &RoaringBitmap,
        before: Option<StoredDeletes>,
    ) -> Result<Option<StoredDeletes>> {
        if dead.is_empty() || before.is_some_and(|d| u64::from(d.rows) == dead.len()) {
            return Ok(before.filter(|_| !dead.is_empty()));
        }
        let StoredSegment { id, rows, .. } = view.segment.stored;
        let (object, _) = deletes::write(&self.shared.sealed, &self.folder, &self.key(), id, rows, dead, Purpose::Essential).await?;
        let counted_bytes = dead.iter().map(|row| view.segment.reader.size_bytes(row)).sum();
        Ok(Some(StoredDeletes { id: object, rows: dead.len() as u32, counted_bytes }))
    }

    /// Puts the segment in the memtable's place, with what was deleted from the memtable since, and trims the log.
    async fn take_in(&self, flushed: Option<Flushed>, frozen: &Memtable, upto: Lsn) {
        let mut core = self.core.lock().await;
        let mut next = (*self.version()).clone();
        next.memtables.truncate(1);
        let dead_then = |view: &SegmentView| core.unsaved.after(view.id(), upto).count() as u64 + view.live_rows() == 0;
        let (gone, kept): (Vec<_>, Vec<_>) = next.segments.drain(..).partition(dead_then);
        next.segments = kept;
        core.unsaved.saved(upto);
        if let Some(Flushed { segment, rows }) = flushed {
            let mut view = SegmentView { segment, dead: Arc::default(), dead_bytes: 0 };
            let since = (0..).zip(&rows).filter_map(|(row, number)| Some((row, frozen.row(*number)?)));
            let since: Vec<(u32, Lsn, u32)> = since.filter_map(|(row, was)| Some((row, was.deleted()?, was.size))).collect();
            view.dead = Arc::new(since.iter().map(|(row, ..)| *row).collect());
            view.dead_bytes = since.iter().map(|(_, _, size)| u64::from(*size)).sum();
            core.unsaved.put(view.id(), since.into_iter().map(|(row, lsn, _)| (row, lsn)).collect());
            next.segments.push(view);
        }
        let past: Vec<_> = core.cleared.extract_if(.., |c| c.at <= upto).map(|c| c.view).collect();
        core.frozen = None;
        self.publish(next);
        if let Err(error) = core.log.trim(upto).await {
            tracing::warn!(namespace = %self.id, "the log was not trimmed: {error}");
        }
        drop(core);
        for view in gone.iter().chain(&past) {
            view.segment.retire(self.superseded.clone());
        }
    }
}
