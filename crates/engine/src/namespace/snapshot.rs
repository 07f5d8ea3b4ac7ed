//! What a version holds in memory, as objects of another folder: for a backup, which has everything else by a second name.

use pinyon_model::Result;
use pinyon_storage::{DataKey, Purpose};

use super::{
    Namespace,
    manifest::{StoredDeletes, StoredSegment},
    memtable::Row,
    version::{SegmentView, Version},
};
use crate::segment::{SegmentInfo, SegmentWriter, deletes};

impl Namespace {
    /// Stores the dead rows of a segment, if it has any.
    pub(crate) async fn store_dead(&self, folder: &str, key: &DataKey, view: &SegmentView) -> Result<Option<StoredDeletes>> {
        if view.dead.is_empty() {
            return Ok(None);
        }
        let StoredSegment { id, rows, .. } = view.segment.stored;
        let (object, _) = deletes::write(&self.shared.sealed, folder, key, id, rows, &view.dead, Purpose::Data).await?;
        Ok(Some(StoredDeletes { id: object, rows: view.dead.len() as u32, counted_bytes: view.dead_bytes }))
    }

    /// Stores what is in the memtables of a version as one segment, if there is anything.
    pub(crate) async fn store_memtables(&self, folder: &str, key: &DataKey, version: &Version) -> Result<Option<StoredSegment>> {
        let visible = version.memtables.iter().flat_map(|table| table.rows()).map(|(_, row)| row);
        let mut rows: Vec<&Row> = visible.filter(|row| row.visible_at(version.lsn)).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_unstable_by(|a, b| a.record.id.cmp(&b.record.id));
        let mut writer = SegmentWriter::create(&self.shared.sealed, folder, key, self.segment_options(), Purpose::Data).await?;
        for row in rows {
            writer.push(&row.record, row.lsn).await?;
        }
        let SegmentInfo { object: id, key, rows, bytes: plain_bytes, counted_bytes, .. } = writer.finish().await?;
        Ok(Some(StoredSegment { id, key: *key.as_bytes(), rows, counted_bytes, plain_bytes, deletes: None }))
    }
}
