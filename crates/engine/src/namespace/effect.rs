//! What a write does, as it stands in the log: ids and values, never the predicate that found them.
//!
//! One frame is one operation. Its payload:
//! ```text
//! format u8 = 1 ‖ effect*
//! effect: 1 ‖ record                                  Upsert
//!         2 ‖ fields ‖ count u32 ‖ (id)*              Patch: the same fields put over each of these records
//!         3 ‖ count u32 ‖ (id)*                       Delete
//!         4                                           Clear: every record
//! record: id ‖ fields          fields: flags u8 (1 dense, 2 sparse, 4 metadata) ‖ dense? ‖ sparse? ‖ metadata?
//! ```
//! Replaying a frame against the state it was written against gives the same state again: a `Patch` reads what it changes,
//! so nothing may be dropped from storage before every frame that could have read it is stored too.

use pinyon_model::{DenseVector, Metadata, Record, RecordId, SparseVector};

use crate::codec::{Decoder, Encoder};

/// The format number at the head of a payload.
const FORMAT: u8 = 1;

/// One change of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Puts a whole record.
    Upsert(Record),
    /// Puts fields over those of records that are there.
    Patch { ids: Vec<RecordId>, fields: Fields },
    /// Removes records.
    Delete(Vec<RecordId>),
    /// Removes every record.
    Clear,
}

/// What a patch sets; metadata is merged key by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fields {
    pub(crate) dense: Option<DenseVector>,
    pub(crate) sparse: Option<SparseVector>,
    pub(crate) metadata: Option<Metadata>,
}

impl Fields {
    /// The record with these fields put over its own; fails when the metadata grows too large.
    pub(crate) fn over(&self, mut record: Record) -> pinyon_model::Result<Record> {
        if let Some(dense) = &self.dense {
            record.dense = Some(dense.clone());
        }
        if let Some(sparse) = &self.sparse {
            record.sparse = Some(sparse.clone());
        }
        if let Some(metadata) = &self.metadata {
            record.metadata = record.metadata.merged(metadata)?;
        }
        Ok(record)
    }
}

/// The payload of the frame of one operation.
pub(crate) fn encode(effects: &[Effect]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.0.reserve(effects.iter().map(size_hint).sum::<usize>() + 1);
    out.u8(FORMAT);
    for effect in effects {
        match effect {
            Effect::Upsert(record) => {
                out.u8(1);
                out.text(record.id.as_str());
                let metadata = Some(&record.metadata).filter(|m| !m.is_empty());
                fields(&mut out, record.dense.as_ref(), record.sparse.as_ref(), metadata);
            }
            Effect::Patch { ids, fields: f } => {
                out.u8(2);
                fields(&mut out, f.dense.as_ref(), f.sparse.as_ref(), f.metadata.as_ref());
                list(&mut out, ids);
            }
            Effect::Delete(ids) => {
                out.u8(3);
                list(&mut out, ids);
            }
            Effect::Clear => out.u8(4),
        }
    }
    out.0
}

/// Bytes that one effect takes in a frame, about; never less than it takes.
pub(crate) fn size_hint(effect: &Effect) -> usize {
    let ids = |ids: &[RecordId]| ids.iter().map(|id| id.as_bytes().len() + 4).sum::<usize>() + 16;
    match effect {
        Effect::Upsert(record) => 24 + record.size_bytes() + metadata_overhead(&record.metadata),
        Effect::Patch { ids: list, fields } => {
            ids(list)
                + 32
                + fields.dense.as_ref().map_or(0, |v| 4 * v.len())
                + fields.sparse.as_ref().map_or(0, |v| 8 * v.len())
                + fields.metadata.as_ref().map_or(0, |m| m.size_bytes() + metadata_overhead(m))
        }
        Effect::Delete(list) => ids(list),
        Effect::Clear => 1,
    }
}

fn metadata_overhead(metadata: &Metadata) -> usize {
    use pinyon_model::MetadataValue::StringList;
    4 + metadata.fields().values().map(|v| 9 + if let StringList(list) = v { 4 * list.len() } else { 0 }).sum::<usize>()
}

fn fields(out: &mut Encoder, dense: Option<&DenseVector>, sparse: Option<&SparseVector>, metadata: Option<&Metadata>) {
    out.u8(u8::from(dense.is_some()) | u8::from(sparse.is_some()) << 1 | u8::from(metadata.is_some()) << 2);
    if let Some(v) = dense {
        out.dense(v);
    }
    if let Some(v) = sparse {
        out.sparse(v);
    }
    if let Some(m) = metadata {
        out.metadata(m);
    }
}

fn list(out: &mut Encoder, ids: &[RecordId]) {
    out.count(ids.len());
    ids.iter().for_each(|id| out.text(id.as_str()));
}

/// Reads a payload back; `None` when it is not one.
pub(crate) fn decode(payload: &[u8]) -> Option<Vec<Effect>> {
    let mut from = Decoder(payload);
    if from.u8()? != FORMAT {
        return None;
    }
    let mut effects = Vec::new();
    while !from.is_empty() {
        effects.push(match from.u8()? {
            1 => {
                let id = from.record_id()?;
                let Fields { dense, sparse, metadata } = read_fields(&mut from)?;
                Effect::Upsert(Record { id, dense, sparse, metadata: metadata.unwrap_or_default() })
            }
            2 => {
                let fields = read_fields(&mut from)?;
                Effect::Patch { ids: read_list(&mut from)?, fields }
            }
            3 => Effect::Delete(read_list(&mut from)?),
            4 => Effect::Clear,
            _ => return None,
        });
    }
    Some(effects)
}

fn read_fields(from: &mut Decoder<'_>) -> Option<Fields> {
    let flags = from.u8()?;
    if flags > 7 {
        return None;
    }
    Some(Fields {
        dense: if flags & 1 != 0 { Some(from.dense()?) } else { None },
        sparse: if flags & 2 != 0 { Some(from.sparse()?) } else { None },
        metadata: if flags & 4 != 0 { Some(from.metadata()?) } else { None },
    })
}

fn read_list(from: &mut Decoder<'_>) -> Option<Vec<RecordId>> {
    let n = from.count(5)?;
    (0..n).map(|_| from.record_id()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pinyon_model::MetadataValue;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn id() -> impl Strategy<Value = RecordId> {
        "[a-z#/ ]{1,20}".prop_map(|s| RecordId::new(s).unwrap())
    }

    fn metadata() -> impl Strategy<Value = Metadata> {
        let value = prop_oneof![
            "\\PC{0,12}".prop_map(MetadataValue::String),
            (-1e300f64..1e300).prop_map(MetadataValue::Number),
            any::<bool>().prop_map(MetadataValue::Bool),
            vec("[a-c]{0,3}", 0..4).prop_map(MetadataValue::StringList),
        ];
        vec(("[a-z]{0,6}", value), 0..5).prop_map(|f| Metadata::new(f.into_iter().collect::<BTreeMap<_, _>>()).unwrap())
    }

    fn fields() -> impl Strategy<Value = Fields> {
        let dense = vec(-1e30f32..1e30, 1..40).prop_map(|v| DenseVector::new(v).unwrap());
        let sparse = proptest::collection::btree_map(any::<u32>(), -1e3f32..1e3, 1..20)
            .prop_map(|m| SparseVector::new(m.keys().copied().collect(), m.values().copied().collect()).unwrap());
        (option::of(dense), option::of(sparse), option::of(metadata())).prop_map(|(dense, sparse, metadata)| Fields {
            dense,
            sparse,
            metadata,
        })
    }

    fn effect() -> impl Strategy<Value = Effect> {
        prop_oneof![
            (id(), fields()).prop_map(|(id, f)| Effect::Upsert(Record {
                id,
                dense: f.dense,
                sparse: f.sparse,
                metadata: f.metadata.unwrap_or_default()
            })),
            (vec(id(), 0..4), fields()).prop_map(|(ids, fields)| Effect::Patch { ids, fields }),
            vec(id(), 0..4).prop_map(Effect::Delete),
            Just(Effect::Clear),
        ]
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(effects in vec(effect(), 0..6)) {
            let payload = encode(&effects);
            prop_assert!(payload.len() <= 1 + effects.iter().map(size_hint).sum::<usize>());
            prop_assert_eq!(decode(&payload), Some(effects));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_cut_payload_is_not_one(effects in vec(effect(), 1..4), cut in any::<prop::sample::Index>()) {
            let payload = encode(&effects);
            let short = &payload[..cut.index(payload.len())];
            // A cut between two effects leaves fewer effects; a frame's seal, not its payload, says where it ends.
            if let Some(read) = decode(short) {
                prop_assert_eq!(&effects[..read.len()], &read[..]);
            }
        }
    }
}
