use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use pinyon_engine::{IndexHandle, IndexOptions};
use pinyon_model::{Error, ErrorCode, Index, IndexId, IndexName, IndexState, ProjectId, Result};

use super::StoredIndex;
use crate::{
    Service,
    authorize::{Authorized, Records},
};

/// An index that was found by its host, or by its name. Good for as long as it is held: once the index is deleted, its operations
/// answer `NotFound`. Cheap to clone.
#[derive(Clone)]
pub struct IndexRef(Arc<Slot>);

struct Slot {
    id: IndexId,
    project_id: ProjectId,
    name: IndexName,
    stored: RwLock<Arc<StoredIndex>>,
    deleted: AtomicBool,
    handle: OnceLock<Arc<IndexHandle>>,
}

impl IndexRef {
    pub(crate) fn new(stored: StoredIndex) -> Self {
        let Index { id, project_id, ref name, .. } = stored.index;
        Self(Arc::new(Slot {
            id,
            project_id,
            name: name.clone(),
            stored: RwLock::new(Arc::new(stored)),
            deleted: AtomicBool::new(false),
            handle: OnceLock::new(),
        }))
    }

    /// The index as it is described now.
    pub fn describe(&self) -> Index {
        self.stored().index.clone()
    }

    /// Its id.
    pub fn id(&self) -> IndexId {
        self.0.id
    }

    /// Whose it is.
    pub fn project_id(&self) -> ProjectId {
        self.0.project_id
    }

    /// Its name.
    pub fn name(&self) -> &IndexName {
        &self.0.name
    }

    pub(crate) fn stored(&self) -> Arc<StoredIndex> {
        Arc::clone(&self.0.stored.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, stored: StoredIndex) {
        *self.0.stored.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(stored);
    }

    pub(crate) fn mark_deleted(&self) {
        self.0.deleted.store(true, Ordering::SeqCst);
    }

    /// The engine's side of it, once its records are there, and while the customer's key above it may be used.
    fn handle(&self, service: &Service) -> Result<&Arc<IndexHandle>> {
        let slot = &self.0;
        if slot.deleted.load(Ordering::SeqCst) {
            return Err(not_found(slot.name.as_str()));
        }
        let stored = self.stored();
        match stored.index.state {
            IndexState::Ready => {
                service.check_data_key(self)?;
                Ok(slot.handle.get_or_init(|| service.engine().index(slot.id, options(&stored.index))))
            }
            IndexState::Initializing => Err(Error::unavailable(format!("Index {} is being restored and not ready yet", slot.name))),
            IndexState::InitializationFailed => Err(Error::new(
                ErrorCode::FailedPrecondition,
                format!("Index {} could not be restored, and holds nothing; delete it", slot.name),
            )),
            IndexState::Terminating => Err(not_found(slot.name.as_str())),
        }
    }
}

/// What was authorized on an index, or in one.
pub(crate) trait OfIndex {
    fn index(&self) -> &IndexRef;
}

impl OfIndex for IndexRef {
    fn index(&self) -> &IndexRef {
        self
    }
}

impl OfIndex for Records<'_> {
    fn index(&self) -> &IndexRef {
        self.index
    }
}

impl<T: OfIndex> Authorized<T> {
    /// The engine's side of the index. Only what is authorized gets here, and only while the customer's key above it may be used.
    pub(crate) fn handle(&self, service: &Service) -> Result<&Arc<IndexHandle>> {
        self.resource().index().handle(service)
    }
}

impl<T> Authorized<T> {
    /// The engine's side of an index that was looked up in what is authorized.
    pub(crate) fn handle_of<'i>(&self, index: &'i IndexRef, service: &Service) -> Result<&'i Arc<IndexHandle>> {
        index.handle(service)
    }
}

/// What the engine needs to know of an index.
pub(crate) fn options(index: &Index) -> IndexOptions {
    IndexOptions { shape: index.schema.shape(), metadata_schema: index.schema.metadata_schema() }
}

/// What is answered for a name that is not there and for one that is another project's alike.
pub(crate) fn not_found(name: &str) -> Error {
    let shown: String = name.chars().take(100).collect();
    Error::not_found(format!("Resource {shown} not found"))
}
