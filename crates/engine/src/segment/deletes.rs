//! Rows of a segment that were deleted, as a side object: segments never change.
//!
//! Plaintext: the segment's object id (16) ‖ rows of the segment (u32) ‖ how many are dead (u32) ‖ a roaring bitmap.

use pinyon_model::{ObjectId, Result};
use pinyon_storage::{ChunkSize, DataKey, ObjectKind, Opens, Purpose, SealedStore};
use roaring::RoaringBitmap;

use super::{
    bitmap,
    codec::{Decoder, Encode, Malformed},
    damaged,
};
use crate::error::stored;

const FORMAT: u16 = 1;

fn encode(segment: ObjectId, rows: u32, dead: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(segment.as_bytes());
    out.put_u32(rows);
    out.put_u32(dead.len() as u32);
    out.extend_from_slice(&bitmap::encode(dead));
    out
}

/// Reads the dead rows of `segment`, which has `rows` rows.
pub(super) fn decode(bytes: &[u8], segment: ObjectId, rows: u32) -> Result<RoaringBitmap, Malformed> {
    let mut from = Decoder::new(bytes);
    if from.array()? != *segment.as_bytes() || from.u32()? != rows {
        return Err(Malformed("they belong to another segment"));
    }
    let count = from.u32()?;
    let dead = bitmap::decode(from.bytes(from.remaining())?, rows)?;
    if dead.len() == u64::from(count) { Ok(dead) } else { Err(Malformed("they are not as many as announced")) }
}

/// Stores the dead rows of a segment; returns the side object's id and its bytes of plaintext.
pub(crate) async fn write(
    store: &SealedStore,
    dir: &str,
    key: &DataKey,
    segment: ObjectId,
    rows: u32,
    dead: &RoaringBitmap,
    purpose: Purpose,
) -> Result<(ObjectId, u64)> {
    let mut writer = store.writer(dir, ObjectKind::DELETES, FORMAT, key, ChunkSize::KIB_64, purpose).await.map_err(stored)?;
    writer.write(&encode(segment, rows, dead)).await.map_err(stored)?;
    let object = writer.finish().await.map_err(stored)?;
    Ok((object.id, object.plain_len))
}

/// Reads the dead rows of `segment`, which has `rows` rows, from side object `object`.
pub(crate) async fn read(
    store: &SealedStore,
    dir: &str,
    keys: &(impl Opens + ?Sized),
    object: ObjectId,
    segment: ObjectId,
    rows: u32,
) -> Result<RoaringBitmap> {
    let name = format!("{dir}/{}", object.hex());
    let reader = store.open(&name, ObjectKind::DELETES, keys).await.map_err(stored)?;
    if reader.format() != FORMAT {
        return Err(crate::error::damaged(&name, "its format is not known"));
    }
    let bytes = reader.read_all().await.map_err(stored)?;
    decode(&bytes, segment, rows).map_err(|m| damaged(&name, "deletes", m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn belong_to_one_segment_and_count_their_rows() {
        let (a, b) = (ObjectId::from_bytes([1; 16]), ObjectId::from_bytes([2; 16]));
        let dead = RoaringBitmap::from([0, 5, 9]);
        let bytes = encode(a, 10, &dead);
        assert_eq!(decode(&bytes, a, 10), Ok(dead));
        assert!(decode(&bytes, b, 10).is_err());
        assert!(decode(&bytes, a, 11).is_err());
        let mut fewer = bytes.clone();
        fewer[20] = 2;
        assert!(decode(&fewer, a, 10).is_err());
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], a, 10).is_err(), "cut to {len}");
        }
    }
}
