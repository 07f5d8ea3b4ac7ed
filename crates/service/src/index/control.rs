use std::sync::Arc;

use pinyon_model::{Index, IndexChange, IndexSpec, Result};

use crate::{IndexRef, OpContext, Service, service::later};

impl Service {
    /// Makes an index in the caller's project. `Ready` in the answer means that its first request succeeds. A name is made up when
    /// none is given. `AlreadyExists` when the name is taken, `QuotaExceeded` when the project or the port range is full,
    /// `Unavailable` when the disk is.
    pub async fn create_index(self: &Arc<Self>, ctx: &OpContext, spec: IndexSpec) -> Result<Index> {
        let _ = (ctx, spec);
        later()
    }
    /// The indexes of the caller's project, ordered by name.
    pub async fn list_indexes(&self, ctx: &OpContext) -> Result<Vec<Index>> {
        let _ = ctx;
        later()
    }
    /// One index of the caller's project. `NotFound` for a name that is not there, is not valid, or is another project's.
    pub async fn describe_index(&self, ctx: &OpContext, name: &str) -> Result<Index> {
        let _ = (ctx, name);
        later()
    }
    /// Changes an index and answers what it is now.
    pub async fn configure_index(self: &Arc<Self>, ctx: &OpContext, name: &str, change: IndexChange) -> Result<Index> {
        let _ = (ctx, name, change);
        later()
    }
    /// Deletes an index with everything in it. `Forbidden` while it is protected.
    pub async fn delete_index(self: &Arc<Self>, ctx: &OpContext, name: &str) -> Result<()> {
        let _ = (ctx, name);
        later()
    }

    /// The index served on this port.
    pub fn resolve_index_by_port(&self, port: u16) -> Option<IndexRef> {
        let _ = port;
        None
    }
    /// The index that a host name `NAME-PROJECT` speaks of, by the project's short id.
    pub fn resolve_index_by_name(&self, project_short_id: &str, name: &str) -> Option<IndexRef> {
        let _ = (project_short_id, name);
        None
    }
    /// Every port that an index is served on now, ascending: the listeners to open at start.
    pub fn index_ports(&self) -> Vec<u16> {
        Vec::new()
    }
    /// A receiver that is told whenever an index comes or goes, so that listeners can follow.
    pub fn index_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}
