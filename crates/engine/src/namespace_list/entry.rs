//! What the list's log and its whole copies are made of.
//!
//! ```text
//! entry: 1 ‖ id 16 ‖ name (u32 length ‖ bytes) ‖ schema      Created
//!        2 ‖ id 16                                           Deleted
//!        3 ‖ id 16 ‖ records u64 ‖ bytes u64 ‖ lsn u64       Counted: true until the namespace is written to again
//!        4 ‖ id 16                                           Written: the counts are true no longer
//!        5 ‖ id 16 ‖ at u64 ‖ until u64, ms since 1970       Kept: deleted, and can be brought back; then 2 or 6 follows
//!        6 ‖ id 16                                           Restored
//! schema: 0, or 1 ‖ count u32 ‖ (u32 length ‖ name)*
//! whole list: last LSN of the log that it covers u64 ‖ count u32 ‖ entry*
//! ```

use pinyon_model::{Lsn, MetadataSchema, NamespaceId, NamespaceName};

use crate::{
    codec::{Decoder, Encoder},
    slot::Counts,
};

/// One thing that happened to the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Created { id: NamespaceId, name: NamespaceName, schema: Option<MetadataSchema> },
    Deleted { id: NamespaceId },
    Counted { id: NamespaceId, counts: Counts },
    Written { id: NamespaceId },
    Kept { id: NamespaceId, at_ms: u64, until_ms: u64 },
    Restored { id: NamespaceId },
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        self.put(&mut out);
        out.0
    }

    pub(super) fn decode(frame: &[u8]) -> Option<Self> {
        let mut from = Decoder(frame);
        let entry = Self::take(&mut from)?;
        from.is_empty().then_some(entry)
    }

    fn put(&self, out: &mut Encoder) {
        match self {
            Entry::Created { id, name, schema } => {
                out.u8(1);
                out.id16(id.as_bytes());
                out.text(name.as_str());
                out.schema(schema.as_ref());
            }
            Entry::Deleted { id } => {
                out.u8(2);
                out.id16(id.as_bytes());
            }
            Entry::Counted { id, counts } => {
                out.u8(3);
                out.id16(id.as_bytes());
                out.u64(counts.records);
                out.u64(counts.bytes);
                out.u64(counts.lsn);
            }
            Entry::Written { id } => {
                out.u8(4);
                out.id16(id.as_bytes());
            }
            Entry::Kept { id, at_ms, until_ms } => {
                out.u8(5);
                out.id16(id.as_bytes());
                out.u64(*at_ms);
                out.u64(*until_ms);
            }
            Entry::Restored { id } => {
                out.u8(6);
                out.id16(id.as_bytes());
            }
        }
    }

    fn take(from: &mut Decoder<'_>) -> Option<Self> {
        let tag = from.u8()?;
        let id = NamespaceId::from_bytes(from.id16()?);
        Some(match tag {
            1 => Entry::Created { id, name: NamespaceName::new(from.text()?).ok()?, schema: from.schema()? },
            2 => Entry::Deleted { id },
            3 => Entry::Counted { id, counts: Counts { records: from.u64()?, bytes: from.u64()?, lsn: from.u64()? } },
            4 => Entry::Written { id },
            5 => Entry::Kept { id, at_ms: from.u64()?, until_ms: from.u64()? },
            6 => Entry::Restored { id },
            _ => return None,
        })
    }
}

/// The whole list at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Snapshot {
    /// The last log entry that it covers.
    pub(super) lsn: Lsn,
    pub(super) entries: Vec<Entry>,
}

impl Snapshot {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u64(self.lsn.0);
        out.count(self.entries.len());
        self.entries.iter().for_each(|entry| entry.put(&mut out));
        out.0
    }

    pub(super) fn decode(plain: &[u8]) -> Option<Self> {
        let mut from = Decoder(plain);
        let lsn = Lsn(from.u64()?);
        let n = from.count(17)?;
        let entries = (0..n).map(|_| Entry::take(&mut from)).collect::<Option<_>>()?;
        from.is_empty().then_some(Self { lsn, entries })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let id = any::<[u8; 16]>().prop_map(NamespaceId::from_bytes);
        let schema = proptest::collection::btree_set("[a-z]{1,6}", 0..4).prop_map(|f| MetadataSchema::new(f).unwrap());
        let name = "[ -~]{0,20}".prop_map(|n| NamespaceName::new(&n).unwrap());
        (id, name, option::of(schema), 0..6u8, any::<[u64; 3]>()).prop_map(|(id, name, schema, kind, n)| match kind {
            0 => Entry::Created { id, name, schema },
            1 => Entry::Deleted { id },
            2 => Entry::Counted { id, counts: Counts { records: n[0], bytes: n[1], lsn: n[2] } },
            3 => Entry::Written { id },
            4 => Entry::Kept { id, at_ms: n[0], until_ms: n[1] },
            _ => Entry::Restored { id },
        })
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(entries in vec(entry(), 0..6), lsn in any::<u64>()) {
            for entry in &entries {
                let bytes = entry.encode();
                prop_assert_eq!(Entry::decode(&bytes), Some(entry.clone()));
                prop_assert_eq!(Entry::decode(&bytes[..bytes.len() - 1]), None);
            }
            let snapshot = Snapshot { lsn: Lsn(lsn), entries };
            let bytes = snapshot.encode();
            prop_assert_eq!(Snapshot::decode(&bytes[..bytes.len() - 1]), None);
            prop_assert_eq!(Snapshot::decode(&bytes), Some(snapshot));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..120)) {
            let _ = (Entry::decode(&bytes), Snapshot::decode(&bytes));
        }
    }
}
