//! Opening a namespace: the newest manifest, its segments, then the log's frames since.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use pinyon_model::{Error, Lsn, MetadataSchema, NamespaceId, ObjectId, Record, Result};
use pinyon_storage::{BlobStore, KeyRing, Log, LogKind, LogOptions};
use roaring::RoaringBitmap;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{
    Core, Namespace,
    draft::{Change, Draft},
    effect::{self, Effect},
    manifest::{self, Manifest, Source, StoredSegment},
    memtable::Memtable,
    plan,
    removal::Superseded,
    stored::Stored,
    version::{Segment, SegmentView, Unsaved, Version},
    writer::Queue,
};
use crate::{
    error::{damaged, stored, stored_below},
    namespace_list::{NamespaceList, namespace_folder},
    numbered,
    recall::Measured,
    segment::{SegmentReader, deletes},
    shared::Shared,
    slot::Counts,
};

/// Segments opened at a time.
const OPEN_AT_ONCE: usize = 8;

/// Does what blocks with the log in a folder, on a thread that may block.
pub(crate) async fn log_blocking<T: Send + 'static>(
    shared: &Shared,
    folder: &str,
    work: impl FnOnce(&Path) -> pinyon_storage::Result<T> + Send + 'static,
) -> Result<T> {
    let dir = shared.root.join(folder);
    match tokio::task::spawn_blocking(move || work(&dir)).await {
        Ok(outcome) => outcome.map_err(|error| stored_below(&shared.root, error)),
        Err(_) => Err(Error::internal("Reading a log ended unexpectedly")),
    }
}

/// The ids of all objects in a folder, whether anything names them or not.
pub(super) async fn object_ids(store: &dyn BlobStore, folder: &str) -> Result<Vec<ObjectId>> {
    let prefix = format!("{folder}/");
    let objects = store.list(&prefix).await.map_err(stored)?;
    let id = |name: &str| name.strip_prefix(&prefix).filter(|rest| rest.len() == 32).and_then(|hex| ObjectId::parse(hex).ok());
    Ok(objects.iter().filter_map(|object| id(&object.name)).collect())
}

/// Where a namespace's objects are and what opens them.
struct Objects<'a> {
    shared: &'a Shared,
    folder: &'a str,
    keys: &'a KeyRing,
}

/// What is on disk of a namespace, read into memory.
pub(crate) struct Loaded {
    version: Version,
    core: Core,
    number: u64,
    manifest: Manifest,
}

impl Loaded {
    /// Reads the manifest, the segments and the log. Writes nothing.
    pub(super) async fn read(shared: &Shared, folder: &str, id: NamespaceId, keys: &KeyRing) -> Result<Self> {
        let objects = Objects { shared, folder, keys };
        let source = Source { sealed: &shared.sealed, folder, namespace: id, keys };
        let (number, manifest) = source.read_newest().await?;
        // The futures are made before the first wait: a closure over a borrow, kept across it, would not be `Send` to the compiler.
        let all: Vec<_> = manifest.segments.iter().map(|segment| objects.segment(segment)).collect();
        let segments: Vec<SegmentView> = stream::iter(all).buffered(OPEN_AT_ONCE).try_collect().await?;
        let options = LogOptions {
            kind: LogKind::NAMESPACE,
            owner: *id.as_bytes(),
            keys: keys.clone(),
            after: manifest.flushed,
            space: shared.store.space(),
        };
        let (log, frames) = log_blocking(shared, folder, move |dir| Log::open(dir.to_owned(), options)).await?;
        if number > 0 && log.files() == 0 {
            // A flush leaves the newest file of the log where it is.
            return Err(damaged(folder, "its log is missing"));
        }
        let version = Version {
            lsn: manifest.flushed,
            memtables: vec![Arc::new(Memtable::new())],
            records: segments.iter().map(SegmentView::live_rows).sum(),
            bytes: segments.iter().map(SegmentView::live_bytes).sum(),
            segments,
        };
        let mut core = Core { log_grown: log.bytes(), log, unsaved: Unsaved::default(), cleared: Vec::new(), frozen: None };
        let version = replay(folder, version, &mut core, frames).await?;
        Ok(Self { version, core, number, manifest })
    }

    /// The segments, with their dead rows.
    pub(super) fn segments(&self) -> &[SegmentView] {
        &self.version.segments
    }

    /// Live records, their bytes, and the last write.
    pub(super) fn counts(&self) -> Counts {
        self.version.counts()
    }
}

impl Namespace {
    /// Opens a namespace of the list. Writes nothing.
    pub(crate) async fn open(
        list: &NamespaceList,
        id: NamespaceId,
        own_schema: Option<MetadataSchema>,
        measured: Arc<Measured>,
    ) -> Result<Arc<Self>> {
        let shared = Arc::clone(&list.shared);
        let folder = namespace_folder(list.index, id);
        let keys = shared.keys.namespace_keys(list.index, id).map_err(stored)?;
        let Loaded { version, core, number, manifest } = Loaded::read(&shared, &folder, id, &keys).await?;
        let namespace = Arc::new(Self {
            id,
            index: list.index,
            measured,
            options: Arc::clone(&list.options),
            schema: own_schema.or_else(|| list.options.metadata_schema.clone()),
            version: RwLock::new(Arc::new(version)),
            queue: Mutex::new(Queue::default()),
            core: AsyncMutex::new(core),
            stored: AsyncMutex::new(Stored::new(number, manifest)),
            superseded: Superseded::new(shared.removals.clone(), folder.clone(), list.index, id),
            failure: OnceLock::new(),
            deleted: AtomicBool::new(false),
            flushing: AtomicBool::new(false),
            compacting: Arc::default(),
            lsn_seen: AtomicU64::new(u64::MAX),
            flush_error: Mutex::new(None),
            flush_ended: Notify::new(),
            gone: Mutex::new(None),
            shared,
            folder,
            keys: RwLock::new(keys),
        });
        namespace.sweep(number).await;
        Ok(namespace)
    }

    /// Hands in what an earlier process left behind: objects that no manifest names, and older manifests.
    async fn sweep(&self, number: u64) {
        if number == 0 {
            return;
        }
        let swept = async {
            for old in numbered::all(&*self.shared.store, &self.folder, manifest::PREFIX).await?.into_iter().filter(|n| *n < number) {
                self.shared.store.delete(&manifest::name(&self.folder, old)).await.map_err(stored)?;
            }
            let named: HashSet<ObjectId> = {
                let stored = self.stored.lock().await;
                stored.manifest.objects().collect()
            };
            for id in object_ids(&*self.shared.store, &self.folder).await?.into_iter().filter(|id| !named.contains(id)) {
                self.superseded.request(id);
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(namespace = %self.id, "not swept: {error}");
        }
    }

    /// Opens a segment that this namespace has just written.
    pub(super) async fn open_segment(&self, segment: &StoredSegment) -> Result<Arc<Segment>> {
        let keys = self.keys();
        let objects = Objects { shared: &self.shared, folder: &self.folder, keys: &keys };
        Ok(Segment::new(objects.reader(segment).await?, *segment))
    }
}

impl Objects<'_> {
    async fn reader(&self, segment: &StoredSegment) -> Result<SegmentReader> {
        let cache = Arc::clone(&self.shared.cache);
        let reader = SegmentReader::open(&self.shared.sealed, self.folder, self.keys, segment.id, cache).await?;
        if reader.rows() != segment.rows {
            return Err(damaged(reader.name(), "it is not the segment that the manifest names"));
        }
        Ok(reader)
    }

    async fn segment(&self, segment: &StoredSegment) -> Result<SegmentView> {
        let reader = self.reader(segment).await?;
        let (mut dead, mut dead_bytes) = (RoaringBitmap::new(), 0);
        if let Some(d) = &segment.deletes {
            dead = deletes::read(&self.shared.sealed, self.folder, self.keys, d.id, segment.id, segment.rows).await?;
            dead_bytes = d.counted_bytes;
        }
        Ok(SegmentView { segment: Segment::new(reader, *segment), dead: Arc::new(dead), dead_bytes })
    }
}

/// The version after these frames.
async fn replay(folder: &str, mut version: Version, core: &mut Core, frames: Vec<(Lsn, Bytes)>) -> Result<Version> {
    for (lsn, frame) in frames {
        if lsn.0 != version.lsn.0 + 1 {
            return Err(damaged(folder, &format!("the log goes from write {} to write {lsn}", version.lsn)));
        }
        let effects = effect::decode(&frame).ok_or_else(|| damaged(folder, &format!("write {lsn} of the log cannot be read")))?;
        let mut draft = Draft::new(&version, core);
        for change in changes(&version, effects).await? {
            draft.apply(change, lsn);
        }
        version = draft.finish(lsn);
    }
    Ok(version)
}

/// What the effects of one frame come to. A frame that patches does nothing else.
async fn changes(version: &Version, effects: Vec<Effect>) -> Result<Vec<Change>> {
    let mut puts: Vec<Record> = Vec::new();
    for effect in &effects {
        if let Effect::Patch { ids, fields } = effect {
            for record in version.records(ids).await? {
                puts.push(fields.over(record)?);
            }
        }
    }
    Ok(plan::changes(effects, puts))
}
