//! Reading every stored byte of one namespace.

use std::{path::Path, sync::Arc};

use pinyon_model::{IndexId, NamespaceId, ObjectId, Result};
use pinyon_storage::{KeyRing, Log, LogKind, LogOptions, ObjectKind};

use super::{
    Namespace,
    manifest::{Manifest, Source},
    open::{Loaded, log_blocking},
    version::SegmentView,
};
use crate::{error::stored, recall, segment::SegmentReader, shared::Shared, slot::Counts};

/// A namespace that is whole.
pub(crate) struct Verified {
    /// Its live records.
    pub(crate) records: u64,
    /// The recall of probes of its segments with codes.
    pub(crate) probes: Vec<f64>,
}

/// Where a namespace is stored.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    shared: &'a Arc<Shared>,
    index: IndexId,
    id: NamespaceId,
    folder: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, index: IndexId, id: NamespaceId, folder: &'a str) -> Self {
        Self { shared, index, id, folder }
    }

    /// Verifies a namespace that is closed, and that nobody opens meanwhile.
    pub(crate) async fn verify_closed(self, probe: bool) -> Result<(Counts, Vec<f64>)> {
        let keys = self.shared.keys.namespace_keys(self.index, self.id).map_err(stored)?;
        let (_, manifest) = self.source(&keys).read_newest().await?;
        self.verify(&keys, &manifest).await?;
        let loaded = Loaded::read(self.shared, self.folder, self.id, &keys).await?;
        let probes = if probe { self.probe(loaded.segments()).await? } else { Vec::new() };
        Ok((loaded.counts(), probes))
    }

    /// Verifies an open namespace. What is small is held still while it is read; segments are
    /// pinned, as for any reader.
    pub(crate) async fn verify_open(self, namespace: &Namespace, probe: bool) -> Result<Verified> {
        let held = namespace.stored.lock().await;
        if namespace.is_deleted() {
            return Err(crate::error::no_namespace());
        }
        let keys = namespace.keys();
        let (_, manifest) = self.source(&keys).read_newest().await?;
        self.verify_deletes(&keys, &manifest).await?;
        self.verify_rest(&manifest).await?;
        let version = {
            let _quiet = namespace.core.lock().await;
            self.verify_log(&keys, &manifest).await?;
            namespace.version()
        };
        drop(held);
        for view in &version.segments {
            view.segment.reader.verify().await?;
        }
        let probes = if probe { self.probe(&version.segments).await? } else { Vec::new() };
        Ok(Verified { records: version.records, probes })
    }

    fn source<'b>(&'b self, keys: &'b KeyRing) -> Source<'b> {
        Source { sealed: &self.shared.sealed, folder: self.folder, namespace: self.id, keys }
    }

    async fn probe(self, segments: &[SegmentView]) -> Result<Vec<f64>> {
        let mut recalls = Vec::new();
        for view in segments {
            recalls.extend(recall::probe(self.shared, &view.segment.reader, &view.dead).await?);
        }
        Ok(recalls)
    }

    async fn verify(self, keys: &KeyRing, manifest: &Manifest) -> Result<()> {
        for segment in &manifest.segments {
            let cache = Arc::clone(&self.shared.cache);
            SegmentReader::open(&self.shared.sealed, self.folder, keys, segment.id, cache).await?.verify().await?;
        }
        self.verify_deletes(keys, manifest).await?;
        self.verify_rest(manifest).await?;
        self.verify_log(keys, manifest).await
    }

    async fn verify_deletes(self, keys: &KeyRing, manifest: &Manifest) -> Result<()> {
        for deletes in manifest.segments.iter().filter_map(|segment| segment.deletes) {
            self.verify_deletes_object(keys, deletes.id).await?;
        }
        Ok(())
    }

    async fn verify_log(self, keys: &KeyRing, manifest: &Manifest) -> Result<()> {
        let options = LogOptions {
            kind: LogKind::NAMESPACE,
            owner: *self.id.as_bytes(),
            keys: keys.clone(),
            after: manifest.flushed,
            space: self.shared.store.space(),
        };
        log_blocking(self.shared, self.folder, move |dir: &Path| Log::check(dir, &options)).await.map(drop)
    }

    /// Objects that wait to be removed: no matter what is in them, and their keys may be destroyed, but they are stored bytes.
    async fn verify_rest(self, manifest: &Manifest) -> Result<()> {
        for id in super::open::object_ids(&*self.shared.store, self.folder).await? {
            if manifest.names(id) {
                continue;
            }
            match self.shared.sealed.scrub(&format!("{}/{}", self.folder, id.hex())).await {
                Err(error) if !error.is_not_found() => return Err(stored(error)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn verify_deletes_object(self, keys: &KeyRing, id: ObjectId) -> Result<()> {
        let name = format!("{}/{}", self.folder, id.hex());
        let reader = self.shared.sealed.open(&name, ObjectKind::DELETES, keys).await.map_err(stored)?;
        reader.verify().await.map_err(stored)
    }
}
