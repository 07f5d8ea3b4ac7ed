//! What a backup consists of.
//!
//! One sealed object under the backup's key; its plaintext:
//! ```text
//! backup id 16 ‖ count u32 ‖ key* ‖ count u32 ‖ namespace*
//! key         key id 16 ‖ sealed by the backup's key: salt 32 ‖ ciphertext 32 ‖ tag 16      context "pinyon backup " ‖ backup id
//! namespace   namespace id 16 ‖ name ‖ schema ‖ last write u64 ‖ records u64 ‖ counted bytes u64 ‖ count u32 ‖ key id 16* ‖ count u32 ‖ segment*
//! ```
//! with names, schemas and segments as in the namespace list and in manifests. A namespace's keys are those that its segments
//! and deletes are sealed under.

use std::{collections::BTreeMap, sync::Arc};

use pinyon_model::{BackupId, Lsn, MetadataSchema, NamespaceId, NamespaceName, Result};
use pinyon_storage::{DataKey, KeyId, ObjectKind, Opens, Purpose, PutMode, SEALED_KEY};

use crate::{
    Engine,
    codec::{Decoder, Encoder},
    error::{damaged, stored},
    namespace::StoredSegment,
    shared::Shared,
};

const FORMAT: u16 = 1;

/// A backup's manifest, with its keys open.
#[derive(Debug, Default)]
pub(super) struct BackupManifest {
    pub(super) keys: BTreeMap<KeyId, Arc<DataKey>>,
    pub(super) namespaces: Vec<BackupNamespace>,
}

/// One namespace as it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BackupNamespace {
    pub(super) id: NamespaceId,
    pub(super) name: NamespaceName,
    pub(super) schema: Option<MetadataSchema>,
    /// The last write that is in it.
    pub(super) lsn: Lsn,
    pub(super) records: u64,
    /// Their counted bytes.
    pub(super) bytes: u64,
    /// What its objects are sealed under.
    pub(super) keys: Vec<KeyId>,
    pub(super) segments: Vec<StoredSegment>,
}

impl Opens for BackupManifest {
    fn key(&self, id: KeyId) -> Option<&DataKey> {
        self.keys.get(&id).map(Arc::as_ref)
    }
}

fn context(id: BackupId) -> Vec<u8> {
    [b"pinyon backup ".as_slice(), id.as_bytes()].concat()
}

impl BackupManifest {
    pub(super) fn name(id: BackupId) -> String {
        format!("{}/manifest", Engine::backup_folder(id))
    }

    fn encode(&self, id: BackupId, above: &DataKey) -> Vec<u8> {
        let mut out = Encoder::default();
        out.id16(id.as_bytes());
        out.count(self.keys.len());
        for key in self.keys.values() {
            out.id16(key.id().as_bytes());
            out.0.extend_from_slice(&above.seal_key(&context(id), key));
        }
        out.count(self.namespaces.len());
        for n in &self.namespaces {
            out.id16(n.id.as_bytes());
            out.text(n.name.as_str());
            out.schema(n.schema.as_ref());
            out.u64(n.lsn.0);
            out.u64(n.records);
            out.u64(n.bytes);
            out.count(n.keys.len());
            n.keys.iter().for_each(|key| out.id16(key.as_bytes()));
            out.count(n.segments.len());
            n.segments.iter().for_each(|s| s.encode(&mut out));
        }
        out.0
    }

    fn decode(id: BackupId, above: &DataKey, plain: &[u8]) -> Option<Self> {
        let mut from = Decoder(plain);
        if from.id16()? != *id.as_bytes() {
            return None;
        }
        let n = from.count(16 + SEALED_KEY)?;
        let keys = (0..n).map(|_| key(id, above, &mut from)).collect::<Option<_>>()?;
        let n = from.count(16 + 4 + 1 + 24 + 8)?;
        let namespaces = (0..n).map(|_| namespace(&mut from)).collect::<Option<_>>()?;
        from.is_empty().then_some(Self { keys, namespaces })
    }

    /// Makes the backup be there: durable when it returns.
    pub(super) async fn write(&self, shared: &Shared, id: BackupId, above: &DataKey) -> Result<()> {
        let (name, plain) = (Self::name(id), self.encode(id, above));
        let sealed = &shared.sealed;
        sealed.put_named(&name, ObjectKind::BACKUP, FORMAT, above, &plain, PutMode::CreateOnly, Purpose::Data).await.map_err(stored)?;
        Ok(())
    }

    pub(super) async fn read(shared: &Shared, id: BackupId) -> Result<Self> {
        let (name, above) = (Self::name(id), shared.keys.backup_key(id).map_err(stored)?);
        let object = shared.sealed.get_named(&name, ObjectKind::BACKUP, &above).await.map_err(stored)?;
        if object.format != FORMAT {
            return Err(damaged(&name, &format!("its format {} is not known", object.format)));
        }
        Self::decode(id, &above, &object.plain).ok_or_else(|| damaged(&name, "it cannot be read"))
    }
}

fn key(id: BackupId, above: &DataKey, from: &mut Decoder<'_>) -> Option<(KeyId, Arc<DataKey>)> {
    let key = KeyId::from_bytes(from.id16()?);
    let sealed: [u8; SEALED_KEY] = from.bytes(SEALED_KEY)?.try_into().ok()?;
    Some((key, Arc::new(above.open_key(&context(id), key, &sealed).ok()?)))
}

fn namespace(from: &mut Decoder<'_>) -> Option<BackupNamespace> {
    let (id, name) = (NamespaceId::from_bytes(from.id16()?), NamespaceName::new(from.text()?).ok()?);
    let (schema, lsn, records, bytes) = (from.schema()?, Lsn(from.u64()?), from.u64()?, from.u64()?);
    let n = from.count(16)?;
    let keys = (0..n).map(|_| from.id16().map(KeyId::from_bytes)).collect::<Option<_>>()?;
    let n = from.count(56)?;
    let segments = (0..n).map(|_| StoredSegment::decode(from)).collect::<Option<_>>()?;
    Some(BackupNamespace { id, name, schema, lsn, records, bytes, keys, segments })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn reads_back_what_was_written(names in vec("[ -~]{0,20}", 0..4), id in any::<[u8; 16]>(), n in any::<[u64; 3]>()) {
            let (id, above) = (BackupId::from_bytes(id), DataKey::generate());
            let segment = StoredSegment {
                id: pinyon_model::ObjectId::from_bytes([7; 16]),
                key: [8; 16],
                rows: 5,
                counted_bytes: n[0],
                plain_bytes: n[1],
                deletes: None,
            };
            let namespace = |name: &String| BackupNamespace {
                id: NamespaceId::from_bytes([1; 16]),
                name: NamespaceName::new(name).unwrap(),
                schema: None,
                lsn: Lsn(n[0]),
                records: n[1],
                bytes: n[2],
                keys: vec![KeyId::from_bytes([8; 16])],
                segments: vec![segment],
            };
            let namespaces: Vec<_> = names.iter().map(namespace).collect();
            let key = Arc::new(DataKey::generate());
            let manifest = BackupManifest { keys: BTreeMap::from([(key.id(), key)]), namespaces: namespaces.clone() };
            let plain = manifest.encode(id, &above);
            for len in 0..plain.len() {
                prop_assert!(BackupManifest::decode(id, &above, &plain[..len]).is_none());
            }
            let read = BackupManifest::decode(id, &above, &plain).unwrap();
            prop_assert_eq!(read.namespaces, namespaces);
            prop_assert!(read.keys.keys().eq(manifest.keys.keys()));
            prop_assert!(BackupManifest::decode(id, &DataKey::generate(), &plain).is_none());
            prop_assert!(BackupManifest::decode(BackupId::from_bytes([9; 16]), &above, &plain).is_none());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = BackupManifest::decode(BackupId::from_bytes([0; 16]), &DataKey::generate(), &bytes);
        }
    }
}
