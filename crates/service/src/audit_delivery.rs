//! Delivery of audit events to the buckets that organizations set up: in order, at least once, from where the last object ended.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use bytes::Bytes;
use pinyon_model::{AuditEvent, AuditSinkSettings, AuditSinkState, Error, ErrorCode, OrganizationId, Result};
use pinyon_storage::{Purpose, PutMode, StorageError, random_bytes};
use tokio::sync::Mutex;

use crate::{
    Service,
    audit::{self, CURSOR_KIND, CURSORS, Entries, RecordedSettings, Start},
    catalog::StoredAuditSink,
    clock::DAY_MS,
    codec::{Reader, Writer},
};

const CURSOR_FORMAT: u16 = 1;
/// An object ends with so many events, or with the one that makes it longer than so many bytes.
const BATCH_EVENTS: usize = 10_000;
const BATCH_BYTES: usize = 8 << 20;
/// After a failure, the first wait and the longest.
const RETRY_FIRST_MS: u64 = 1_000;
const RETRY_MAX_MS: u64 = 5 * 60 * 1_000;
/// How long a sink that is being disabled or removed may still deliver.
const DRAIN_MS: u64 = 10_000;

/// Buckets, as `cloud` reaches them.
#[async_trait::async_trait]
pub trait AuditBucket: Send + Sync {
    /// Stores an object in the sink's bucket, below its folder; an object of this name is replaced. `FailedPrecondition` when a
    /// step is refused, `Unavailable` when it may go better later; either says which step and why.
    async fn put(&self, sink: &AuditSinkSettings, name: &str, body: Bytes) -> Result<()>;
}

/// How audit events leave the house.
#[derive(Clone)]
pub struct AuditDelivery {
    /// Where they go.
    pub bucket: Arc<dyn AuditBucket>,
    /// One event as one line of text, without its end.
    pub print: fn(&AuditEvent) -> Vec<u8>,
    /// The hosts that the operator set in place of AWS's, for the record.
    pub endpoints: String,
}

impl fmt::Debug for AuditDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditDelivery({})", self.endpoints)
    }
}

/// Every sink's delivery.
pub(crate) struct Deliveries {
    delivery: Option<AuditDelivery>,
    sinks: StdMutex<HashMap<OrganizationId, Arc<Sink>>>,
}

/// One organization's.
#[derive(Default)]
struct Sink {
    /// Held while objects are delivered; none until the cursor was read.
    cursor: Mutex<Option<Cursor>>,
    progress: StdMutex<Progress>,
}

/// Up to where events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cursor {
    /// Of which sink: one that was removed and set up anew begins anew.
    created_at_ms: u64,
    /// The number of the last entry that was looked at.
    sequence: u64,
    /// The time in the last object's name, which the next one's is not before.
    key_time_ms: u64,
    /// When the last object was stored.
    delivered_at_ms: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    /// When the next attempt is due.
    due_ms: u64,
    failures: u32,
    last_error: Option<String>,
}

/// What goes into one object.
struct Batch {
    first: u64,
    first_time_ms: u64,
    /// The last entry that was looked at.
    last: u64,
    events: usize,
    body: Vec<u8>,
}

impl Deliveries {
    pub(crate) fn new(delivery: Option<AuditDelivery>) -> Self {
        Self { delivery, sinks: StdMutex::default() }
    }

    /// How events leave; `FailedPrecondition` in a process that delivers none.
    pub(crate) fn delivery(&self) -> Result<&AuditDelivery> {
        let none = || Error::new(ErrorCode::FailedPrecondition, "This needs the running server: start it first");
        self.delivery.as_ref().ok_or_else(none)
    }

    fn sink(&self, organization: OrganizationId) -> Arc<Sink> {
        Arc::clone(lock(&self.sinks).entry(organization).or_default())
    }

    /// Makes the next attempt due now: the settings changed.
    pub(crate) fn hurry(&self, organization: OrganizationId) {
        *lock(&self.sink(organization).progress) = Progress::default();
    }

    fn forget(&self, organization: OrganizationId) {
        lock(&self.sinks).remove(&organization);
    }
}

impl Sink {
    fn is_due(&self, now_ms: u64) -> bool {
        lock(&self.progress).due_ms <= now_ms
    }

    /// Notes how an attempt went, and when the next one is.
    fn note(&self, outcome: &Result<()>, interval_s: u32, now_ms: u64) {
        let mut progress = lock(&self.progress);
        match outcome {
            Ok(()) => *progress = Progress { due_ms: now_ms + u64::from(interval_s) * 1_000, failures: 0, last_error: None },
            Err(error) => {
                let wait = RETRY_FIRST_MS.saturating_mul(1 << progress.failures.min(16)).min(RETRY_MAX_MS);
                let chance = u64::from_le_bytes(random_bytes()) % (wait / 2 + 1);
                progress.due_ms = now_ms + wait + chance;
                progress.failures += 1;
                progress.last_error = Some(error.message.clone());
            }
        }
    }
}

impl Service {
    /// Begins every delivery that is due and not under way.
    pub(crate) fn deliver_due(self: &Arc<Self>) {
        let now_ms = self.clock().now_ms();
        for stored in self.enabled_sinks() {
            let organization = stored.info.organization_id;
            let sink = self.deliveries().sink(organization);
            if !sink.is_due(now_ms) || sink.cursor.try_lock().is_err() || self.deliveries().delivery().is_err() {
                continue;
            }
            let this = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = this.deliver_audit(organization).await {
                    tracing::warn!(%error, %organization, "audit events could not be delivered; they are kept, and tried again");
                }
            });
        }
    }

    fn enabled_sinks(&self) -> Vec<StoredAuditSink> {
        self.catalog().tables().audit_sinks.values().filter(|s| s.info.settings.enabled).cloned().collect()
    }

    /// Delivers all that an organization has not got yet, and notes how it went. Nothing for one without an enabled sink.
    pub async fn deliver_audit(&self, organization: OrganizationId) -> Result<()> {
        let sink = self.deliveries().sink(organization);
        let mut cursor = sink.cursor.lock().await;
        let stored = self.catalog().tables().audit_sinks.get(&organization).cloned();
        let Some(stored) = stored.filter(|s| s.info.settings.enabled) else { return Ok(()) };
        let outcome = self.deliver_from(&mut cursor, &stored).await;
        sink.note(&outcome, stored.info.settings.interval.seconds(), self.clock().now_ms());
        outcome
    }

    async fn deliver_from(&self, held: &mut Option<Cursor>, stored: &StoredAuditSink) -> Result<()> {
        let organization = stored.info.organization_id;
        let AuditDelivery { bucket, print, .. } = self.deliveries().delivery()?;
        let mut cursor = match *held {
            Some(cursor) if cursor.created_at_ms == stored.info.created_at_ms => cursor,
            _ => self.read_cursor(stored).await?,
        };
        *held = Some(cursor);
        let name = organization.to_string();
        let newest = self.audit().head().await?.seq;
        if self.audit().latest_of(&name).is_some_and(|latest| latest <= cursor.sequence) {
            *held = Some(Cursor { sequence: newest.max(cursor.sequence), ..cursor });
            return Ok(());
        }
        let mut batches = Batches { entries: self.audit().entries(Start::After(cursor.sequence)).await?, rest: Vec::new().into_iter() };
        while let Some(batch) = batches.next(&name, *print).await? {
            cursor.sequence = batch.last;
            if batch.events > 0 {
                cursor.key_time_ms = cursor.key_time_ms.max(batch.first_time_ms);
                bucket.put(&stored.info.settings, &object_name(cursor.key_time_ms, batch.first), Bytes::from(batch.body)).await?;
                cursor.delivered_at_ms = Some(self.clock().now_ms());
                self.write_cursor(organization, cursor).await?;
            }
            *held = Some(cursor);
        }
        Ok(())
    }

    /// Delivers what can be delivered in a moment. Whether all of it went out shows in what is still pending.
    pub(crate) async fn drain_audit(&self, organization: OrganizationId) {
        tokio::select! {
            // How it went is noted with the sink.
            _ = self.deliver_audit(organization) => {}
            () = self.clock().wait_ms(DRAIN_MS) => {}
        }
    }

    /// How an organization's delivery stands; how many events are pending is counted in the log.
    pub(crate) async fn audit_sink_state(&self, stored: &StoredAuditSink) -> Result<AuditSinkState> {
        let organization = stored.info.organization_id;
        let sink = self.deliveries().sink(organization);
        // While objects are delivered, what is stored is the last that is known.
        let held = sink.cursor.try_lock().ok().and_then(|held| *held).filter(|c| c.created_at_ms == stored.info.created_at_ms);
        let read = match held {
            Some(cursor) => Ok(cursor),
            None => self.read_cursor(stored).await,
        };
        // Of a cursor that cannot be read, all since the set-up counts as pending.
        let unread = read.as_ref().err().map(|error| error.message.clone());
        let cursor = read.unwrap_or(Cursor { sequence: stored.after, ..Cursor::default() });
        let name = organization.to_string();
        let mut pending = 0;
        let mut entries = self.audit().entries(Start::After(cursor.sequence)).await?;
        while let Some(part) = entries.next_part().await? {
            pending += part.iter().filter(|e| e.event.organization_id == name).count() as u64;
        }
        let last_error = unread.or(lock(&sink.progress).last_error.clone());
        Ok(AuditSinkState {
            delivered_at_ms: cursor.delivered_at_ms,
            delivered_sequence: cursor.sequence,
            entries_pending: pending,
            last_error,
        })
    }

    /// Drops the files of the audit log whose time is over and whose events every enabled sink has.
    pub async fn retain_audit(&self) -> Result<()> {
        let Some(days) = self.audit_retention_days().filter(|_| self.audit().is_writable()) else { return Ok(()) };
        let mut delivered = u64::MAX;
        for stored in self.enabled_sinks() {
            let sink = self.deliveries().sink(stored.info.organization_id);
            let cursor = match sink.cursor.try_lock().ok().and_then(|held| *held) {
                Some(cursor) if cursor.created_at_ms == stored.info.created_at_ms => cursor,
                _ => self.read_cursor(&stored).await?,
            };
            delivered = delivered.min(cursor.sequence);
        }
        let older_than = self.clock().now_ms().saturating_sub(u64::from(days) * DAY_MS);
        let dropped = self.audit().retain(older_than, delivered).await?;
        if dropped > 0 {
            tracing::info!(entries = dropped, days, "old entries of the audit log are dropped");
        }
        Ok(())
    }

    async fn read_cursor(&self, stored: &StoredAuditSink) -> Result<Cursor> {
        let begin = Cursor { created_at_ms: stored.info.created_at_ms, sequence: stored.after, ..Cursor::default() };
        let key = self.audit().key();
        let cursor = match self.store().sealed().get_named(&cursor_name(stored.info.organization_id), CURSOR_KIND, key).await {
            Ok(object) if object.format == CURSOR_FORMAT => Cursor::decode(&object.plain)?,
            Ok(_) => return Err(audit::damaged("a cursor is of a format that is not known".to_owned())),
            Err(StorageError::NotFound { .. }) => begin,
            Err(error) => return Err(error.into()),
        };
        let newest = self.audit().head().await?.seq;
        // A log that was begun anew knows nothing of later numbers: all of it is undelivered.
        let is_of_this = cursor.created_at_ms == begin.created_at_ms && cursor.sequence <= newest;
        Ok(if is_of_this { cursor } else { Cursor { sequence: if begin.sequence <= newest { begin.sequence } else { 0 }, ..begin } })
    }

    async fn write_cursor(&self, organization: OrganizationId, cursor: Cursor) -> Result<()> {
        let (name, key) = (cursor_name(organization), self.audit().key());
        let store = self.store().sealed();
        store.put_named(&name, CURSOR_KIND, CURSOR_FORMAT, key, &cursor.encode(), PutMode::Overwrite, Purpose::Essential).await?;
        Ok(())
    }

    /// Begins anew, whatever was there before.
    pub(crate) async fn forget_deliveries(&self, organization: OrganizationId) -> Result<()> {
        self.deliveries().forget(organization);
        match self.store().blobs().delete(&cursor_name(organization)).await {
            Ok(_) | Err(StorageError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Enters what of the audit log's settings is another than when a server last started. What cannot be entered now keeps nobody
    /// from being served; the next start finds it again.
    pub(crate) async fn record_settings(&self) -> Result<()> {
        if self.audit().is_damaged().await {
            return Ok(());
        }
        if let Err(error) = self.audit().record_changes(&self.settings_now(), self.clock().now_ms()).await {
            tracing::error!(%error, "the audit log's settings could not be recorded in it");
        }
        Ok(())
    }

    /// Remembers the root key as one that the log knows.
    pub(crate) async fn remember_settings(&self) -> Result<()> {
        match self.audit().recorded_settings().await? {
            Some(recorded) => self.audit().remember_settings(&RecordedSettings { root: self.settings_now().root, ..recorded }).await,
            None => Ok(()),
        }
    }

    fn settings_now(&self) -> RecordedSettings {
        let days = self.audit_retention_days().map_or("for ever".to_owned(), |days| days.to_string());
        let endpoints = self.deliveries().delivery().map_or("AWS".to_owned(), |d| d.endpoints.clone());
        let records = self.data_plane_audit().as_str().to_owned();
        let key_use = self.audits_key_use().to_string();
        let settings =
            [("audit_records", records), ("audit_retention_days", days), ("audit_endpoints", endpoints), ("audit_key_use", key_use)];
        RecordedSettings {
            settings: settings.into_iter().chain(self.customer_keys().settings()).map(|(name, value)| (name.to_owned(), value)).collect(),
            root: self.root().fingerprint().to_string(),
        }
    }
}

/// The entries of a reading, cut into objects.
struct Batches {
    entries: Entries,
    rest: std::vec::IntoIter<audit::Entry>,
}

impl Batches {
    /// The next object's events; one without any says how far the log was looked through. None at the end.
    async fn next(&mut self, organization: &str, print: fn(&AuditEvent) -> Vec<u8>) -> Result<Option<Batch>> {
        let mut batch: Option<Batch> = None;
        loop {
            let Some(entry) = self.rest.next() else {
                match self.entries.next_part().await? {
                    Some(part) => self.rest = part.into_iter(),
                    None => return Ok(batch),
                }
                continue;
            };
            let batch = batch.get_or_insert(Batch { first: 0, first_time_ms: 0, last: 0, events: 0, body: Vec::new() });
            batch.last = entry.head.seq;
            if entry.event.organization_id != organization {
                continue;
            }
            if batch.events == 0 {
                (batch.first, batch.first_time_ms) = (entry.head.seq, entry.event.time_ms);
            }
            batch.events += 1;
            batch.body.extend(print(&entry.event));
            batch.body.push(b'\n');
            if batch.events >= BATCH_EVENTS || batch.body.len() >= BATCH_BYTES {
                return Ok(Some(std::mem::replace(batch, Batch { first: 0, first_time_ms: 0, last: 0, events: 0, body: Vec::new() })));
            }
        }
    }
}

impl Cursor {
    fn encode(self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u64(self.created_at_ms).u64(self.sequence).u64(self.key_time_ms).option(self.delivered_at_ms, |w, t| {
            w.u64(t);
        });
        w.finish()
    }

    fn decode(plain: &[u8]) -> Result<Self> {
        let mut r = Reader::new("A cursor of an audit sink", plain);
        let cursor = Self { created_at_ms: r.u64()?, sequence: r.u64()?, key_time_ms: r.u64()?, delivered_at_ms: r.option(Reader::u64)? };
        r.end()?;
        Ok(cursor)
    }
}

fn cursor_name(organization: OrganizationId) -> String {
    format!("{CURSORS}{organization}")
}

/// `2026-04-10T15-23-00.123Z-00000000000000000042.jsonl`: names sort as the events do.
fn object_name(time_ms: u64, first: u64) -> String {
    let days = i64::try_from(time_ms / DAY_MS).unwrap_or(i64::MAX / 2);
    let (year, month, day) = civil_from_days(days);
    let ms = time_ms % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{:03}Z-{first:020}.jsonl", ms % 1_000)
}

/// The date of a day since 1970-01-01, in the proleptic Gregorian calendar.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A lock that outlives a panic of its holder: what it guards is whole between any two statements.
fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_are_named_by_time() {
        assert_eq!(object_name(1_775_834_580_123, 42), "2026-04-10T15-23-00.123Z-00000000000000000042.jsonl");
        assert_eq!(object_name(951_782_399_999, 1), "2000-02-28T23-59-59.999Z-00000000000000000001.jsonl");
        assert_eq!(object_name(0, 0), "1970-01-01T00-00-00.000Z-00000000000000000000.jsonl");
    }

    #[test]
    fn failures_are_waited_for_longer_and_longer() {
        let sink = Sink::default();
        let failed = Err(Error::unavailable("no"));
        let mut waits = Vec::new();
        for _ in 0..12 {
            sink.note(&failed, 10, 1_000);
            waits.push(lock(&sink.progress).due_ms - 1_000);
        }
        for (n, wait) in waits.iter().enumerate() {
            let base = (1_000 << n.min(16)).min(300_000);
            assert!((base..=base + base / 2).contains(wait), "{n}: {wait}");
        }
        sink.note(&Ok(()), 10, 1_000);
        assert_eq!((sink.is_due(10_999), sink.is_due(11_000)), (false, true));
    }

    proptest! {
        #[test]
        fn cursors_read_back(created_at_ms: u64, sequence: u64, key_time_ms: u64, delivered_at_ms: Option<u64>) {
            let cursor = Cursor { created_at_ms, sequence, key_time_ms, delivered_at_ms };
            prop_assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        }

        #[test]
        fn no_bytes_make_a_cursor_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Cursor::decode(&bytes);
        }

        #[test]
        fn names_sort_as_times_do(a in 0u64..4_000_000_000_000, b in 0u64..4_000_000_000_000, m: u32, n: u32) {
            let (a, b) = ((a, u64::from(m)), (b, u64::from(n)));
            prop_assert_eq!(a.cmp(&b), object_name(a.0, a.1).cmp(&object_name(b.0, b.1)));
        }
    }
}
