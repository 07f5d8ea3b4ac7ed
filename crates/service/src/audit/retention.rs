//! Retention: whole files of the log go once all of their entries are old enough. The anchor says where what is left begins.

use pinyon_model::{AuditEvent, AuditOutcome, Error, Lsn, Principal, Result};
use pinyon_storage::{DataKey, ObjectKind, Purpose, PutMode, StorageError, random_bytes};

use super::{Audit, Head, Start, event::actor};
use crate::{
    codec::{Reader, Writer},
    store::Store,
};

pub(super) const ANCHOR: &str = "audit/anchor";
pub(super) const ANCHOR_KIND: ObjectKind = ObjectKind(0x0105);
const ANCHOR_FORMAT: u16 = 1;

/// The last of the entries that were dropped; none while the log has its first.
pub(super) async fn read_anchor(store: &Store, key: &DataKey) -> Result<Option<Head>> {
    let object = match store.sealed().get_named(ANCHOR, ANCHOR_KIND, key).await {
        Ok(object) => object,
        Err(StorageError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut r = Reader::new("The file audit/anchor", &object.plain);
    if object.format != ANCHOR_FORMAT {
        return Err(r.malformed());
    }
    let head = Head { seq: r.u64()?, hash: r.array()?, generation: r.u64()? };
    r.end()?;
    Ok(Some(head))
}

async fn write_anchor(store: &Store, key: &DataKey, head: Head) -> Result<()> {
    let mut w = Writer::default();
    w.u64(head.seq).raw(&head.hash).u64(head.generation);
    let plain = w.finish();
    store.sealed().put_named(ANCHOR, ANCHOR_KIND, ANCHOR_FORMAT, key, &plain, PutMode::Overwrite, Purpose::Essential).await?;
    Ok(())
}

/// Files that may go.
struct Old {
    first: u64,
    last: Head,
    latest_ms: u64,
}

impl Audit {
    /// Drops the files whose entries are all older than this and not above `delivered`; answers how many entries went. A damaged file
    /// is an error, and stays. While anybody reads, none goes: the next round does it.
    pub(crate) async fn retain(&self, older_than_ms: u64, delivered: u64) -> Result<u64> {
        let _alone = self.0.retaining.lock().await;
        let Some(old) = self.old_files(older_than_ms, delivered).await? else {
            // A crash may have come between the anchor and the files.
            return self.drop_below_anchor().await.map(|()| 0);
        };
        // Whoever reads opens the files one by one, by their names.
        let Ok(_files) = self.0.files.try_write() else { return Ok(0) };
        let count = old.last.seq - old.first + 1;
        self.record(dropped(&old, self.0.clock.now_ms())).await?;
        write_anchor(&self.0.store, &self.0.key, old.last).await?;
        let mut chain = self.0.chain.lock().await;
        chain.as_mut().map_err(|e| e.clone())?.log.trim(Lsn(old.last.seq)).await.map_err(Error::from)?;
        Ok(count)
    }

    async fn drop_below_anchor(&self) -> Result<()> {
        let Some(anchor) = read_anchor(&self.0.store, &self.0.key).await? else { return Ok(()) };
        let Ok(_files) = self.0.files.try_write() else { return Ok(()) };
        let mut chain = self.0.chain.lock().await;
        chain.as_mut().map_err(|e| e.clone())?.log.trim(Lsn(anchor.seq)).await.map_err(Error::from)
    }

    /// The oldest files as far as they may go, read and followed.
    async fn old_files(&self, older_than_ms: u64, delivered: u64) -> Result<Option<Old>> {
        let mut entries = self.entries(Start::Oldest).await?;
        let (first, newest) = (entries.head().seq + 1, entries.last().seq);
        let (mut old, mut latest_ms) = (None, 0);
        while let Some(part) = entries.next_part().await? {
            let Some(last) = part.last().map(|e| e.head) else { continue };
            latest_ms = part.iter().map(|e| e.event.time_ms).fold(latest_ms, u64::max);
            if latest_ms >= older_than_ms || last.seq > delivered || last.seq >= newest {
                break;
            }
            old = Some(Old { first, last, latest_ms });
        }
        Ok(old)
    }
}

/// The entry that tells of it.
fn dropped(old: &Old, now_ms: u64) -> AuditEvent {
    AuditEvent {
        id: random_bytes(),
        actor: actor(&Principal::System),
        time_ms: now_ms,
        action: "delete".to_owned(),
        resource_type: "audit-log".to_owned(),
        outcome: AuditOutcome::Success,
        count: 1,
        parameters: vec![
            ("first_entry".to_owned(), old.first.to_string()),
            ("last_entry".to_owned(), old.last.seq.to_string()),
            ("newest_time_ms".to_owned(), old.latest_ms.to_string()),
        ],
        ..AuditEvent::default()
    }
}
