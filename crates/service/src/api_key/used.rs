//! When keys were used, and from where: counted in memory, told to the audit log by the hour, and kept over restarts in one sealed
//! object that is written anew once a minute. A crash forgets at most that minute.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use pinyon_model::{ApiKeyId, AuditEvent, AuditOutcome, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError};

use crate::{
    Service,
    catalog::KeyActor,
    codec::{Reader, Writer},
    store::Store,
};

/// The object's name in the data directory.
pub(crate) const FILE: &str = "usage/api-keys";
const KIND: ObjectKind = ObjectKind(0x0102);
const FORMAT: u16 = 1;
/// How often it is written, when anything was used.
const WRITE_EVERY_MS: u64 = 60_000;
/// A key's uses from one address are one entry of the audit log in so long.
const WINDOW_MS: u64 = 60 * 60 * 1_000;
/// Addresses of one key that are told apart; the others share one.
const SOURCES_MAX: usize = 32;
const OTHER_SOURCES: &str = "other addresses";

/// When a key was used last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The caller's address; empty on a socket.
    pub source: String,
}

/// The uses of one key.
#[derive(Debug, Default)]
pub(crate) struct KeyUse {
    /// 0: never.
    at_ms: AtomicU64,
    sources: Mutex<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    last: String,
    /// Those of the last hour.
    recent: BTreeMap<String, Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Uses that no entry speaks of yet.
    untold: u64,
    /// When an entry was written last.
    told_at_ms: Option<u64>,
}

impl KeyUse {
    /// Counts a use.
    pub(crate) fn note(&self, now_ms: u64, source: &str) {
        self.at_ms.fetch_max(now_ms, Ordering::Relaxed);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.last != source {
            sources.last.clear();
            sources.last.push_str(source);
        }
        if let Some(window) = sources.recent.get_mut(source) {
            window.untold += 1;
            return;
        }
        let name = if sources.recent.len() < SOURCES_MAX { source } else { OTHER_SOURCES };
        sources.recent.entry(name.to_owned()).or_default().untold += 1;
    }

    /// When it was used last.
    pub(crate) fn last(&self) -> Option<LastUse> {
        let at_ms = self.at_ms.load(Ordering::Relaxed);
        let source = || self.sources.lock().unwrap_or_else(PoisonError::into_inner).last.clone();
        (at_ms > 0).then(|| LastUse { at_ms, source: source() })
    }

    fn restore(&self, last: LastUse) {
        self.at_ms.fetch_max(last.at_ms, Ordering::Relaxed);
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).last = last.source;
    }

    /// The uses that an entry is to speak of now, by address: the first of an hour at once, what follows when the hour is over.
    fn due(&self, now_ms: u64) -> Vec<(String, u64)> {
        if self.at_ms.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut due = Vec::new();
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).recent.retain(|source, window| {
            if window.told_at_ms.is_some_and(|told| now_ms < told + WINDOW_MS) {
                return true;
            }
            if window.untold == 0 {
                return false;
            }
            due.push((source.clone(), std::mem::take(&mut window.untold)));
            window.told_at_ms = Some(now_ms);
            true
        });
        due
    }

    fn put_back(&self, source: &str, count: u64) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let window = sources.recent.entry(source.to_owned()).or_default();
        window.untold += count;
        window.told_at_ms = None;
    }
}

/// When the object was written, and what of.
#[derive(Default)]
pub(crate) struct UseLog {
    written_at_ms: AtomicU64,
    /// What it says, see [`fingerprint`].
    written: AtomicU64,
    failing: AtomicBool,
}

impl Service {
    /// When a key was used last, to the moment on a running server.
    pub(crate) fn last_use(&self, id: ApiKeyId) -> Option<LastUse> {
        self.catalog().tables().keys.get(&id)?.used.last()
    }

    /// Tells the audit log of the uses that are due, and writes the object when its minute is over.
    pub(crate) async fn record_key_use(&self) -> Result<()> {
        let now_ms = self.clock().now_ms();
        if self.audits_key_use() {
            self.tell_key_use(now_ms).await?;
        }
        if now_ms >= self.use_log().written_at_ms.load(Ordering::Relaxed) + WRITE_EVERY_MS {
            self.write_key_use().await;
        }
        Ok(())
    }

    async fn tell_key_use(&self, now_ms: u64) -> Result<()> {
        let mut due = Vec::new();
        for key in self.catalog().tables().keys.values() {
            due.extend(key.used.due(now_ms).into_iter().map(|(source, count)| (key.clone(), source, count)));
        }
        if due.is_empty() {
            return Ok(());
        }
        let events = due.iter().map(|(key, source, count)| self.use_event(key, source, *count, now_ms)).collect();
        let recorded = self.audit().record_all(events).await;
        if recorded.is_err() {
            due.iter().for_each(|(key, source, count)| key.used.put_back(source, *count));
        }
        recorded
    }

    fn use_event(&self, key: &KeyActor, source: &str, count: u64, now_ms: u64) -> AuditEvent {
        let mut event = self.key_use_event(Arc::clone(&key.principal), source, now_ms);
        event.parameters.push(("project_id".to_owned(), key.stored.info.project_id.to_string()));
        AuditEvent { outcome: AuditOutcome::Success, count, ..event }
    }

    /// Writes what is known now. It is no more than a convenience: a failure is told to the program's own log, once.
    pub(crate) async fn write_key_use(&self) {
        let log = self.use_log();
        log.written_at_ms.store(self.clock().now_ms(), Ordering::Relaxed);
        let uses: Vec<(ApiKeyId, LastUse)> =
            self.catalog().tables().keys.iter().filter_map(|(id, key)| Some((*id, key.used.last()?))).collect();
        let now_known = fingerprint(&uses);
        if now_known == log.written.load(Ordering::Relaxed) {
            return;
        }
        match put(self.store(), &uses).await {
            Ok(()) => {
                log.written.store(now_known, Ordering::Relaxed);
                log.failing.store(false, Ordering::Relaxed);
            }
            Err(error) if !log.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "when API keys were used could not be written");
            }
            Err(_) => {}
        }
    }

    /// Reads when keys were used before this start. Damage costs only that.
    pub(crate) async fn read_key_use(&self) {
        let uses = match read(self.store()).await {
            Ok(uses) => uses,
            Err(error) => {
                tracing::warn!(%error, "when API keys were used before is not known");
                return;
            }
        };
        let tables = self.catalog().tables();
        self.use_log().written.store(fingerprint(&uses), Ordering::Relaxed);
        for (id, last) in uses {
            if let Some(key) = tables.keys.get(&id) {
                key.used.restore(last);
            }
        }
    }
}

/// Tells whether two lists say the same, in whichever order; 0 of an empty one.
fn fingerprint(uses: &[(ApiKeyId, LastUse)]) -> u64 {
    let one = |(id, last): &(ApiKeyId, LastUse)| {
        let mut hasher = DefaultHasher::new();
        (id.as_bytes(), last.at_ms, &last.source).hash(&mut hasher);
        hasher.finish()
    };
    uses.iter().map(one).fold(0, u64::wrapping_add)
}

async fn put(store: &Store, uses: &[(ApiKeyId, LastUse)]) -> Result<()> {
    let mut w = Writer::default();
    w.u32(u32::try_from(uses.len()).unwrap_or(u32::MAX));
    for (id, last) in uses {
        w.raw(id.as_bytes()).u64(last.at_ms).text(&last.source);
    }
    let key = store.keys().system_key(crate::catalog::KEY).await?;
    store.sealed().put_named(FILE, KIND, FORMAT, &key, &w.finish(), PutMode::Overwrite, Purpose::Data).await?;
    Ok(())
}

/// What the object says; nothing when it was never written.
pub(crate) async fn read(store: &Store) -> Result<Vec<(ApiKeyId, LastUse)>> {
    let key = store.keys().system_key(crate::catalog::KEY).await?;
    let object = match store.sealed().get_named(FILE, KIND, &key).await {
        Ok(object) => object,
        Err(StorageError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut r = Reader::new("The file usage/api-keys", &object.plain);
    if object.format != FORMAT {
        return Err(r.malformed());
    }
    let uses = r.list(|r| Ok((ApiKeyId::from_bytes(r.array()?), LastUse { at_ms: r.u64()?, source: r.text()? })))?;
    r.end()?;
    Ok(uses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_uses_is_two_entries() {
        let used = KeyUse::default();
        assert_eq!((used.last(), used.due(5)), (None, vec![]));
        used.note(10, "10.0.0.1");
        used.note(11, "10.0.0.2");
        assert_eq!(used.due(20), [("10.0.0.1".to_owned(), 1), ("10.0.0.2".to_owned(), 1)]);
        (0..7).for_each(|n| used.note(30 + n, "10.0.0.1"));
        assert_eq!(used.last(), Some(LastUse { at_ms: 36, source: "10.0.0.1".into() }));
        assert!(used.due(20 + WINDOW_MS - 1).is_empty());
        assert_eq!(used.due(20 + WINDOW_MS), [("10.0.0.1".to_owned(), 7)], "who was not seen again is not told again");
        used.put_back("10.0.0.1", 7);
        assert_eq!(used.due(21 + WINDOW_MS), [("10.0.0.1".to_owned(), 7)], "what could not be written is told later");
    }

    #[test]
    fn addresses_are_bounded() {
        let used = KeyUse::default();
        (0..1_000).for_each(|n| used.note(n + 1, &format!("10.0.{}.{}", n / 256, n % 256)));
        let due = used.due(2_000);
        assert_eq!(due.len(), SOURCES_MAX + 1);
        assert_eq!(due.iter().map(|(_, n)| n).sum::<u64>(), 1_000);
        assert!(used.sources.lock().unwrap().recent.len() <= SOURCES_MAX + 1);
    }
}
