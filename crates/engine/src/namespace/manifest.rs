//! The manifest: what a namespace consists of, beside its log.
//!
//! `manifest-N` is one sealed object in the namespace's folder; the one of the highest number counts, and making the next
//! number is the compare-and-swap. Its plaintext:
//! ```text
//! namespace id 16 ‖ flags u8 (1: shed) ‖ flushed LSN u64 ‖ segments u32 ‖ segment*
//! segment: object id 16 ‖ key id 16 ‖ rows u32 ‖ counted bytes of all rows u64 ‖ bytes of plaintext u64
//!          ‖ dead rows u32 ‖ (dead rows > 0: object id 16 of the deletes ‖ counted bytes of the dead rows u64)
//! ```
//! Segments and deletes are exactly the state after the frame of the flushed LSN, so that replaying the frames after it
//! finds what they found. Format 1 began with the flushed LSN; it opens only in a namespace of one key, where it cannot be another's.

use pinyon_model::{Lsn, NamespaceId, ObjectId, Result};
use pinyon_storage::{KeyRing, ObjectKind, Purpose, PutMode, SealedStore};

use crate::{
    codec::{Decoder, Encoder},
    error::{damaged, stored},
    numbered,
};

/// The format number in the object's header.
pub(super) const FORMAT: u16 = 2;
/// The shed flag.
const SHED: u8 = 1;
/// What a manifest's name begins with, in its folder.
pub(super) const PREFIX: &str = "manifest-";

/// What is stored of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Whose it is; none in format 1.
    pub(crate) namespace: Option<NamespaceId>,
    /// Whether anything that the current key sealed was deleted or overwritten since: its bytes may still lie somewhere.
    pub(crate) shed: bool,
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
    /// That of a namespace of which nothing is stored yet.
    pub(crate) fn empty(namespace: NamespaceId) -> Self {
        Self { namespace: Some(namespace), shed: false, flushed: Lsn(0), segments: Vec::new() }
    }

    /// As format 2, of this namespace.
    pub(crate) fn encode(&self, namespace: NamespaceId) -> Vec<u8> {
        let mut out = Encoder::default();
        out.id16(namespace.as_bytes());
        out.u8(if self.shed { SHED } else { 0 });
        out.u64(self.flushed.0);
        out.count(self.segments.len());
        self.segments.iter().for_each(|s| s.encode(&mut out));
        out.0
    }

    pub(crate) fn decode(format: u16, plain: &[u8]) -> Option<Self> {
        let mut from = Decoder(plain);
        let (namespace, flags) = match format {
            // What was deleted before it was noted is not known: then something was.
            1 => (None, SHED),
            FORMAT => (Some(NamespaceId::from_bytes(from.id16()?)), from.u8()?),
            _ => return None,
        };
        let flushed = Lsn(from.u64()?);
        let n = from.count(56)?;
        let segments = (0..n).map(|_| StoredSegment::decode(&mut from)).collect::<Option<_>>()?;
        (from.is_empty() && flags <= SHED).then_some(Self { namespace, shed: flags == SHED, flushed, segments })
    }

    /// Whether the manifest names this object.
    pub(crate) fn names(&self, id: ObjectId) -> bool {
        self.segments.iter().any(|s| s.id == id || s.deletes.is_some_and(|d| d.id == id))
    }

    /// Every object that it names.
    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.segments.iter().flat_map(StoredSegment::objects)
    }
}

impl StoredSegment {
    /// The segment's object, and that of its deletes.
    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> + use<> {
        std::iter::once(self.id).chain(self.deletes.map(|d| d.id))
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.id16(self.id.as_bytes());
        out.id16(&self.key);
        out.u32(self.rows);
        out.u64(self.counted_bytes);
        out.u64(self.plain_bytes);
        out.u32(self.deletes.map_or(0, |d| d.rows));
        if let Some(d) = self.deletes {
            out.id16(d.id.as_bytes());
            out.u64(d.counted_bytes);
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let mut s = Self {
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
}

/// The name of the manifest of this number.
pub(super) fn name(folder: &str, number: u64) -> String {
    format!("{folder}/{PREFIX}{number}")
}

/// Whose manifest is looked for, where, and what opens it.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) sealed: &'a SealedStore,
    pub(crate) folder: &'a str,
    pub(crate) namespace: NamespaceId,
    pub(crate) keys: &'a KeyRing,
}

impl Source<'_> {
    /// The newest manifest and its number; 0 and empty when there is none. One that cannot be read is an error: an older one
    /// would bring back what was deleted.
    pub(crate) async fn read_newest(self) -> Result<(u64, Manifest)> {
        let store = &**self.sealed.blobs();
        loop {
            let Some(number) = numbered::newest(store, self.folder, PREFIX).await? else { return Ok((0, Manifest::empty(self.namespace))) };
            match self.read(number).await {
                Ok(manifest) => return Ok((number, manifest)),
                // A newer one took its place between the two looks.
                Err(_) if numbered::newest(store, self.folder, PREFIX).await? > Some(number) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the first manifest of a namespace that was made elsewhere.
    pub(crate) async fn write_first(self, manifest: &Manifest) -> Result<()> {
        let (name, plain) = (name(self.folder, 1), manifest.encode(self.namespace));
        let (kind, key) = (ObjectKind::MANIFEST, self.keys.current());
        self.sealed.put_named(&name, kind, FORMAT, key, &plain, PutMode::CreateOnly, Purpose::Data).await.map(drop).map_err(stored)
    }

    /// The manifest of this number.
    pub(super) async fn read(self, number: u64) -> Result<Manifest> {
        let name = name(self.folder, number);
        let object = self.sealed.get_named(&name, ObjectKind::MANIFEST, self.keys).await.map_err(stored)?;
        if !(1..=FORMAT).contains(&object.format) {
            return Err(damaged(&name, &format!("its format {} is not known", object.format)));
        }
        let manifest = Manifest::decode(object.format, &object.plain).ok_or_else(|| damaged(&name, "it cannot be read"))?;
        let own = match manifest.namespace {
            Some(namespace) => namespace == self.namespace,
            None => self.keys.older().is_empty(),
        };
        if own { Ok(manifest) } else { Err(damaged(&name, "it is another namespace's")) }
    }
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
        fn reads_back_what_was_written(segments in vec(segment(), 0..5), flushed in any::<u64>(), shed in any::<bool>(), id in any::<[u8; 16]>()) {
            let namespace = NamespaceId::from_bytes(id);
            let manifest = Manifest { namespace: Some(namespace), shed, flushed: Lsn(flushed), segments };
            let plain = manifest.encode(namespace);
            for len in 0..plain.len() {
                prop_assert_eq!(Manifest::decode(FORMAT, &plain[..len]), None);
            }
            prop_assert_eq!(Manifest::decode(FORMAT, &plain), Some(manifest.clone()));
            // What came before the flushed LSN is all that format 1 did not have.
            let old = Manifest { namespace: None, shed: true, ..manifest };
            prop_assert_eq!(Manifest::decode(1, &plain[17..]), Some(old));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200), format in 0u16..4) {
            let _ = Manifest::decode(format, &bytes);
        }
    }
}
