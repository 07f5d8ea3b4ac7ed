//! Merging segments, so that a search meets few of them and the room of dead rows comes back.
//!
//! A merge copies the rows that are alive in the stored state, which is that of some write F. What dies while it runs is
//! carried over row by row when the new segment takes the place of the old ones: deletes up to the then stored state go
//! into its side object, later ones stay in memory and in the log, as everywhere.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use pinyon_model::{Error, Lsn, ObjectId, RecordId, Result};
use roaring::RoaringBitmap;

use super::{
    Cleared, Core, Namespace,
    manifest::Manifest,
    version::{Segment, SegmentView, Version},
};
use crate::segment::{Parts, SegmentWriter};

/// Rows, and counted bytes, that are read and written at a time.
const BATCH_ROWS: usize = 512;
const BATCH_BYTES: u64 = 4 << 20;
/// Segments whose sizes differ by less than this factor are of one tier.
const TIER_FACTOR: u64 = 4;
/// A quiet namespace is merged into one segment when all but its greatest are at least one part in this many of that.
const SETTLE_SHARE: u64 = 16;
/// Bytes of records in a quiet namespace's memtable from which on it is stored.
const SETTLE_BYTES: u64 = 1 << 20;
/// What a row that was not copied maps to.
const DROPPED: u32 = u32::MAX;

/// One segment that is being merged.
struct Input {
    segment: Arc<Segment>,
    /// Its rows that are not copied: those dead in the stored state that the merge began with.
    dropped: RoaringBitmap,
    /// The row in the output of each of its rows.
    moved: Vec<u32>,
}

/// What was carried over to the output.
struct Carried {
    view: SegmentView,
    unsaved: Vec<(u32, Lsn)>,
}

impl Namespace {
    /// Starts a compaction if one is due and none is running.
    pub(super) fn compact_if_due(self: &Arc<Self>) {
        if !self.choose(&self.version()).is_empty() {
            self.start_compaction(false);
        }
    }

    /// Stores and merges what is left when nothing was written since the last call: a search scores every row of a memtable, and pays for
    /// each segment.
    pub(crate) fn settle_if_quiet(self: &Arc<Self>) {
        let version = self.version();
        let quiet = self.lsn_seen.swap(version.lsn.0, Ordering::AcqRel) == version.lsn.0 && !self.flushing.load(Ordering::Acquire);
        if quiet && version.active().bytes() >= SETTLE_BYTES {
            self.start_flush();
        } else if quiet && !self.choose_to_settle(&version).is_empty() {
            self.start_compaction(true);
        }
    }

    fn start_compaction(self: &Arc<Self>, settle: bool) {
        if self.is_ending() {
            return;
        }
        let Ok(one) = Arc::clone(&self.compacting).try_lock_owned() else { return };
        let namespace = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            if let Ok(_permit) = namespace.shared.compactions.acquire().await
                && let Err(error) = namespace.compact_all(settle).await
            {
                tracing::warn!(namespace = %namespace.id, "compaction failed: {error}");
            }
            drop(one);
        });
    }

    async fn compact_all(&self, settle: bool) -> Result<()> {
        while !self.is_ending() {
            let version = self.version();
            let mut chosen = self.choose(&version);
            if chosen.is_empty() && settle {
                chosen = self.choose_to_settle(&version);
            }
            if chosen.is_empty() || !self.compact(chosen, false).await? {
                break;
            }
        }
        Ok(())
    }

    /// All segments, if they fit one and the lesser ones are worth rewriting the greatest for.
    fn choose_to_settle(&self, version: &Version) -> Vec<Arc<Segment>> {
        let sizes = || version.segments.iter().map(SegmentView::live_bytes);
        let (total, greatest) = (sizes().sum::<u64>(), sizes().max().unwrap_or(0));
        let worth = version.segments.len() > 1 && (total - greatest) * SETTLE_SHARE >= greatest;
        if worth && total <= self.shared.settings.segment_bytes {
            version.segments.iter().map(|view| Arc::clone(&view.segment)).collect()
        } else {
            Vec::new()
        }
    }

    /// Which segments to merge next: enough of one tier, or one that is largely dead.
    fn choose(&self, version: &Version) -> Vec<Arc<Segment>> {
        let settings = &self.shared.settings;
        let size = |view: &SegmentView| view.live_bytes().max(1);
        let mut by_size: Vec<&SegmentView> = version.segments.iter().collect();
        by_size.sort_by_key(|view| size(view));
        for (start, smallest) in by_size.iter().enumerate() {
            // Below the size of a memtable all are one tier: they come from flushes that were forced early.
            let tier_end = size(smallest).max(settings.memtable_bytes / TIER_FACTOR).saturating_mul(TIER_FACTOR);
            let mut total = 0;
            let tier = by_size[start..].iter().take_while(|view| {
                total += size(view);
                size(view) < tier_end && total <= settings.segment_bytes
            });
            let tier: Vec<Arc<Segment>> = tier.map(|view| Arc::clone(&view.segment)).collect();
            if tier.len() >= settings.compact_segments.max(2) {
                return tier;
            }
        }
        let dead =
            |view: &&&SegmentView| view.dead.len() * 100 > u64::from(view.segment.stored.rows) * u64::from(settings.compact_dead_percent);
        by_size.iter().find(dead).map(|view| vec![Arc::clone(&view.segment)]).unwrap_or_default()
    }

    /// Merges segments into one, or into none if nothing in them is alive. Tells whether there may be more to do; with `anew`, whether it
    /// was done, also to one segment of which nothing is dead.
    pub(super) async fn compact(&self, chosen: Vec<Arc<Segment>>, anew: bool) -> Result<bool> {
        let Some(mut inputs) = self.begin(chosen).await else { return Ok(false) };
        // Rows that died since the last flush must still be copied; if no other are dead, a rewrite of one gains nothing.
        if !anew && inputs.len() == 1 && inputs[0].dropped.is_empty() {
            return Ok(false);
        }
        let Some(output) = self.merge(&mut inputs).await? else { return Ok(false) };
        let swapped = self.swap_in(&inputs, output.as_ref()).await;
        if !matches!(swapped, Ok(true)) {
            output.iter().for_each(|segment| self.superseded.request(segment.id()));
        }
        swapped
    }

    /// The inputs as they are in the stored state; none if one of them is gone.
    async fn begin(&self, chosen: Vec<Arc<Segment>>) -> Option<Vec<Input>> {
        let stored = self.stored.lock().await;
        let core = self.core.lock().await;
        let version = self.version();
        let input = |segment: Arc<Segment>| {
            let view = version.segments.iter().find(|view| view.id() == segment.id())?;
            let dropped = core.unsaved.dead_at(view, stored.manifest.flushed);
            Some(Input { moved: vec![DROPPED; segment.stored.rows as usize], segment, dropped })
        };
        chosen.into_iter().map(input).collect()
    }

    /// Writes the output: `None` when the work should end early, `Some(None)` when nothing is alive.
    async fn merge(&self, inputs: &mut [Input]) -> Result<Option<Option<Arc<Segment>>>> {
        let mut writer: Option<SegmentWriter> = None;
        let mut plan = MergePlan::new(inputs);
        loop {
            let batch = plan.next_batch();
            if batch.is_empty() {
                break;
            }
            if self.is_ending() {
                return Ok(None);
            }
            let out = match &mut writer {
                Some(writer) => writer,
                none => none.insert(self.segment_writer().await?),
            };
            let moved = copy(inputs, &batch, out).await?;
            for ((input, row), to) in batch.into_iter().zip(moved) {
                inputs[input].moved[row as usize] = to;
            }
        }
        match writer {
            Some(writer) => Ok(Some(Some(self.finish_segment(writer).await?))),
            None => Ok(Some(None)),
        }
    }

    /// Puts the output in the place of the inputs, on disk and for readers.
    async fn swap_in(&self, inputs: &[Input], output: Option<&Arc<Segment>>) -> Result<bool> {
        let mut stored = self.stored.lock().await;
        let flushed = stored.manifest.flushed;
        let is_input = |id: ObjectId| inputs.iter().any(|input| input.segment.id() == id);
        let carried = {
            let core = self.core.lock().await;
            let version = self.version();
            let all_there = inputs.iter().all(|input| version.segments.iter().any(|view| view.id() == input.segment.id()));
            if !all_there || self.is_ending() {
                return Ok(false);
            }
            output.map(|segment| carry(&core, &version.segments.iter().collect::<Vec<_>>(), inputs, segment, flushed))
        };
        let segments = stored.manifest.segments.iter().filter(|s| !is_input(s.id)).copied().collect();
        let mut next = Manifest { namespace: Some(self.id), flushed, segments, ..stored.manifest };
        if let Some(Carried { view, unsaved }) = &carried {
            let mut dead = (*view.dead).clone();
            for (row, _) in unsaved {
                dead.remove(*row);
            }
            let deletes = self.store_deletes(view, &dead, None).await?;
            next.shed |= deletes.is_some();
            next.segments.push(super::manifest::StoredSegment { deletes, ..view.segment.stored });
        }
        let before: Vec<ObjectId> =
            stored.manifest.segments.iter().filter(|s| is_input(s.id)).filter_map(|s| s.deletes.map(|d| d.id)).collect();
        stored.swap(self, next).await?;
        self.replace(inputs, output, flushed).await;
        before.into_iter().for_each(|object| self.superseded.request(object));
        Ok(true)
    }

    /// The manifest names the output now: so do the version, or, if all was cleared in the meantime, what is kept of that.
    async fn replace(&self, inputs: &[Input], output: Option<&Arc<Segment>>, flushed: Lsn) {
        let mut core = self.core.lock().await;
        let mut next = (*self.version()).clone();
        let is_input = |id: ObjectId| inputs.iter().any(|input| input.segment.id() == id);
        let mut views: Vec<SegmentView> = next.segments.extract_if(.., |view| is_input(view.id())).collect();
        let cleared: Vec<Cleared> = core.cleared.extract_if(.., |c| is_input(c.view.id())).collect();
        let cleared_at = cleared.first().map(|c| c.at);
        views.extend(cleared.into_iter().map(|c| c.view));
        if let Some(segment) = output {
            let Carried { view, unsaved } = carry(&core, &views.iter().collect::<Vec<_>>(), inputs, segment, flushed);
            core.unsaved.put(view.id(), unsaved);
            match cleared_at {
                Some(at) => core.cleared.push(Cleared { view, at }),
                None => next.segments.push(view),
            }
        }
        inputs.iter().for_each(|input| core.unsaved.forget(input.segment.id()));
        self.publish(next);
        drop(core);
        inputs.iter().for_each(|input| input.segment.retire(self.superseded.clone()));
    }
}

/// The output with everything that died in the inputs since they were begun.
fn carry(core: &Core, views: &[&SegmentView], inputs: &[Input], segment: &Arc<Segment>, flushed: Lsn) -> Carried {
    let mut dead = RoaringBitmap::new();
    let mut unsaved = Vec::new();
    for input in inputs {
        let Some(view) = views.iter().find(|view| view.id() == input.segment.id()) else { continue };
        dead.extend((&*view.dead - &input.dropped).iter().map(|row| input.moved[row as usize]));
        unsaved.extend(core.unsaved.after(view.id(), flushed).map(|(row, lsn)| (input.moved[row as usize], lsn)));
    }
    let dead_bytes = dead.iter().map(|row| segment.reader.size_bytes(row)).sum();
    Carried { view: SegmentView { segment: Arc::clone(segment), dead: Arc::new(dead), dead_bytes }, unsaved }
}

/// Reads a batch of rows, writes them, and tells where each of them is now.
async fn copy(inputs: &[Input], batch: &[(usize, u32)], out: &mut SegmentWriter) -> Result<Vec<u32>> {
    let mut records = Vec::with_capacity(inputs.len());
    for (position, input) in inputs.iter().enumerate() {
        let rows: Vec<u32> = batch.iter().filter(|(from, _)| *from == position).map(|(_, row)| *row).collect();
        let read = if rows.is_empty() { Vec::new() } else { input.segment.reader.records(&rows, Parts::ALL).await? };
        records.push(read.into_iter());
    }
    let mut moved = Vec::with_capacity(batch.len());
    for (from, row) in batch {
        let record = records[*from].next().ok_or_else(|| Error::internal("A row was not read"))?;
        moved.push(out.rows());
        out.push(&record, inputs[*from].segment.reader.lsn(*row)).await?;
    }
    Ok(moved)
}

/// Walks the live rows of all inputs in the order of their ids.
struct MergePlan {
    cursors: Vec<Walk>,
    /// The next id of each input that has one, smallest first.
    heads: BTreeSet<(RecordId, usize, u32)>,
}

struct Walk {
    segment: Arc<Segment>,
    dropped: RoaringBitmap,
    next: u32,
}

impl MergePlan {
    fn new(inputs: &[Input]) -> Self {
        let walk = |input: &Input| Walk { segment: Arc::clone(&input.segment), dropped: input.dropped.clone(), next: 0 };
        let mut plan = Self { cursors: inputs.iter().map(walk).collect(), heads: BTreeSet::new() };
        (0..inputs.len()).for_each(|input| plan.advance(input));
        plan
    }

    /// The next rows, as many as are written at a time; empty at the end.
    fn next_batch(&mut self) -> Vec<(usize, u32)> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some((_, input, row)) = self.heads.pop_first() else { break };
            bytes += self.cursors[input].segment.reader.size_bytes(row);
            batch.push((input, row));
            self.advance(input);
        }
        batch
    }

    fn advance(&mut self, input: usize) {
        let walk = &mut self.cursors[input];
        while walk.next < walk.segment.stored.rows && walk.dropped.contains(walk.next) {
            walk.next += 1;
        }
        if let Some(id) = walk.segment.reader.id(walk.next) {
            self.heads.insert((id, input, walk.next));
            walk.next += 1;
        }
    }
}
