//! The manifest: what a namespace consists of, beside its log.
//!
//! `manifest-N` is one sealed object in the namespace's folder; the one of the highest number counts, and making the next
//! number is the compare-and-swap. Its plaintext:
//! ```text
//! flushed LSN u64 ‖ segments u32 ‖ segment*
//! segment: object id 16 ‖ key id 16 ‖ rows u32 ‖ counted bytes of all rows u64 ‖ bytes of plaintext u64
//!          ‖ dead rows u32 ‖ (dead rows > 0: object id 16 of the deletes ‖ counted bytes of the dead rows u64)
//! ```
//! Segments and deletes are exactly the state after the frame of the flushed LSN, so that replaying the frames after it
//! finds what they found.

use pinyon_model::{Lsn, ObjectId, Result};
use pinyon_storage::{BlobStore, DataKey, ObjectKind, SealedStore};

use crate::{
    codec::{Decoder, Encoder},
    error::{damaged, stored},
    numbered,
};

/// The format number in the object's header.
pub(super) const FORMAT: u16 = 1;
/// What a manifest's name begins with, in its folder.
pub(super) const PREFIX: &str = "manifest-";

/// What is stored of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// Every frame up to this one is in the segments.
    pub(crate) flushed: Lsn,
    /// The segments.
    pub(crate) segments: Vec<StoredSegment>,
}

/// One segment as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredSegment {
    /// The segment's object.
    pub(crate) id: ObjectId,
    /// The key it is sealed under.
    pub(crate) key: [u8; 16],
    /// Its rows, dead ones too.
    pub(crate) rows: u32,
    /// Their counted bytes.
    pub(crate) counted_bytes: u64,
    /// Its bytes of plaintext; on disk it is a little more.
    pub(crate) plain_bytes: u64,
    /// Its dead rows, if there are any.
    pub(crate) deletes: Option<StoredDeletes>,
}

/// The side object that holds a segment's dead rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredDeletes {
    /// The object.
    pub(crate) id: ObjectId,
    /// How many rows are dead; at least one.
    pub(crate) rows: u32,
    /// Their counted bytes.
    pub(crate) counted_bytes: u64,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u64(self.flushed.0);
        out.count(self.segments.len());
        for s in &self.segments {
            out.id16(s.id.as_bytes());
            out.id16(&s.key);
            out.u32(s.rows);
            out.u64(s.counted_bytes);
            out.u64(s.plain_bytes);
            out.u32(s.deletes.map_or(0, |d| d.rows));
            if let Some(d) = s.deletes {
                out.id16(d.id.as_bytes());
                out.u64(d.counted_bytes);
            }
        }
        out.0
    }

    pub(crate) fn decode(plain: &[u8]) -> Option<Self> {
        let mut from = Decoder(plain);
        let flushed = Lsn(from.u64()?);
        let n = from.count(56)?;
        let segments = (0..n).map(|_| Self::segment(&mut from)).collect::<Option<_>>()?;
        from.is_empty().then_some(Self { flushed, segments })
    }

    fn segment(from: &mut Decoder<'_>) -> Option<StoredSegment> {
        let mut s = StoredSegment {
            id: ObjectId::from_bytes(from.id16()?),
            key: from.id16()?,
            rows: from.u32()?,
            counted_bytes: from.u64()?,
            plain_bytes: from.u64()?,
            deletes: None,
        };
        let dead = from.u32()?;
        if dead > s.rows {
            return None;
        }
        if dead > 0 {
            s.deletes = Some(StoredDeletes { rows: dead, id: ObjectId::from_bytes(from.id16()?), counted_bytes: from.u64()? });
        }
        Some(s)
    }

    /// Whether the manifest names this object.
    pub(crate) fn names(&self, id: ObjectId) -> bool {
        self.segments.iter().any(|s| s.id == id || s.deletes.is_some_and(|d| d.id == id))
    }
}

/// The name of the manifest of this number.
pub(super) fn name(folder: &str, number: u64) -> String {
    format!("{folder}/{PREFIX}{number}")
}

/// The newest manifest and its number; 0 and empty when there is none. One that cannot be read is an error: an older one
/// would bring back what was deleted.
pub(crate) async fn read_newest(store: &dyn BlobStore, sealed: &SealedStore, folder: &str, key: &DataKey) -> Result<(u64, Manifest)> {
    loop {
        let Some(number) = numbered::newest(store, folder, PREFIX).await? else { return Ok((0, Manifest::default())) };
        match read(sealed, folder, number, key).await {
            Ok(manifest) => return Ok((number, manifest)),
            // A newer one took its place between the two looks.
            Err(_) if numbered::newest(store, folder, PREFIX).await? > Some(number) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The manifest of this number.
pub(super) async fn read(sealed: &SealedStore, folder: &str, number: u64, key: &DataKey) -> Result<Manifest> {
    let name = name(folder, number);
    let object = sealed.get_named(&name, ObjectKind::MANIFEST, key).await.map_err(stored)?;
    if object.format != FORMAT {
        return Err(damaged(&name, &format!("its format {} is not known", object.format)));
    }
    Manifest::decode(&object.plain).ok_or_else(|| damaged(&name, "it cannot be read"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn segment() -> impl Strategy<Value = StoredSegment> {
        let id = || any::<[u8; 16]>().prop_map(ObjectId::from_bytes);
        (id(), any::<[u8; 16]>(), 1..u32::MAX, any::<u64>(), any::<u64>(), option::of((id(), any::<u64>(), any::<u32>()))).prop_map(
            |(id, key, rows, counted_bytes, plain_bytes, deletes)| StoredSegment {
                id,
                key,
                rows,
                counted_bytes,
                plain_bytes,
                deletes: deletes.map(|(id, counted_bytes, n)| StoredDeletes { id, rows: n % rows + 1, counted_bytes }),
            },
        )
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(segments in vec(segment(), 0..5), flushed in any::<u64>()) {
            let manifest = Manifest { flushed: Lsn(flushed), segments };
            let plain = manifest.encode();
            for len in 0..plain.len() {
                prop_assert_eq!(Manifest::decode(&plain[..len]), None);
            }
            prop_assert_eq!(Manifest::decode(&plain), Some(manifest));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Manifest::decode(&bytes);
        }
    }
}
