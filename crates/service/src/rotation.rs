//! Rotation of the keys that records are sealed under: every so many days each namespace of an index gets a new one, what it holds is
//! sealed anew in the background, and the key before is destroyed. When that was done last is kept for each index in one sealed object.

use std::collections::BTreeMap;

use pinyon_model::{IndexId, Principal, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError};

use crate::{
    IndexRef, OpContext, Service,
    authorize::Action,
    clock::DAY_MS,
    codec::{Reader, Writer},
    store::Store,
};

/// Its name in the store, and of the system key it is sealed under.
pub(crate) const OBJECT: &str = "rotation/indexes";
pub(crate) const KEY: &str = "rotation";
const KIND: ObjectKind = ObjectKind(0x0113);
const FORMAT: u16 = 1;

/// When the keys of each index were rotated last, in milliseconds since 1970; of others they are as old as the index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rotated(BTreeMap<IndexId, u64>);

impl Rotated {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (id, at_ms) in &self.0 {
            w.raw(id.as_bytes()).u64(*at_ms);
        }
        w.finish()
    }

    fn decode(plain: &[u8]) -> Result<Self> {
        let mut r = Reader::new("The times of rotation", plain);
        let times = r.list(|r| Ok((IndexId::from_bytes(r.array()?), r.u64()?)))?.into_iter().collect();
        r.end()?;
        Ok(Self(times))
    }

    pub(crate) async fn read(store: &Store) -> Result<Self> {
        let key = store.keys().system_key(KEY).await?;
        match store.sealed().get_named(OBJECT, KIND, &key).await {
            Ok(object) if object.format == FORMAT => Self::decode(&object.plain),
            Ok(_) => Err(StorageError::Damaged { file: OBJECT.to_owned(), what: "its format is not known".to_owned() }.into()),
            Err(StorageError::NotFound { .. }) => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    async fn write(&self, store: &Store) -> Result<()> {
        let key = store.keys().system_key(KEY).await?;
        store.sealed().put_named(OBJECT, KIND, FORMAT, &key, &self.encode(), PutMode::Overwrite, Purpose::Essential).await?;
        Ok(())
    }
}

impl Service {
    /// Rotates the keys of every index whose keys are as old as the settings allow, and tells of how many it did; a server does it by itself.
    /// One that cannot be now is tried at the next look.
    pub async fn rotate_due_keys(&self) -> Result<usize> {
        let Some(days) = self.data_key_days() else { return Ok(0) };
        let mut count = 0;
        let mut rotated = Rotated::read(self.store()).await.unwrap_or_else(|error| {
            // What is lost with it is a date: the keys are rotated a little early.
            tracing::error!(%error, "the times of rotation are not known");
            Rotated::default()
        });
        let indexes: Vec<IndexRef> = self.catalog().tables().indexes.values().cloned().collect();
        rotated.0.retain(|id, _| indexes.iter().any(|index| index.id() == *id));
        for index in indexes {
            let since = rotated.0.get(&index.id()).copied().unwrap_or(index.stored().created_at_ms);
            if self.clock().now_ms().saturating_sub(since) < u64::from(days) * DAY_MS {
                continue;
            }
            match self.rotate_keys(&index).await {
                Ok(()) => {
                    rotated.0.insert(index.id(), self.clock().now_ms());
                    rotated.write(self.store()).await?;
                    count += 1;
                }
                Err(error) => tracing::warn!(%error, index = %index.id(), "its keys were not rotated; tried again at the next look"),
            }
        }
        Ok(count)
    }

    async fn rotate_keys(&self, index: &IndexRef) -> Result<()> {
        let ctx = OpContext::internal(Principal::System, self.clock().now_ms());
        let mut authorized = self.authorize(&ctx, Action::RotateDataKeys, index.clone()).await?;
        let result = async {
            let handle = std::sync::Arc::clone(authorized.handle(self)?);
            handle.rotate_namespace_keys().await
        };
        let result = result.await;
        if let Ok(removed) = &result {
            authorized.note("keys_destroyed", removed.iter().map(|r| r.keys.len()).sum::<usize>().to_string());
        }
        authorized.close(result.map(drop)).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_back_what_was_written(times in prop::collection::btree_map(any::<[u8; 16]>(), any::<u64>(), 0..4)) {
            let rotated = Rotated(times.into_iter().map(|(id, at)| (IndexId::from_bytes(id), at)).collect());
            let plain = rotated.encode();
            for len in 0..plain.len() {
                prop_assert!(Rotated::decode(&plain[..len]).is_err());
            }
            prop_assert_eq!(Rotated::decode(&plain).unwrap(), rotated);
        }
    }
}
