//! What the owner of the data directory does: keys, projects, the root key, checks, the catalog's rebuild.

use std::sync::Arc;

use pinyon_engine::Clock;
use pinyon_model::{ApiKeyId, IndexName, ProjectId, Result};
use pinyon_storage::RootKey;

use crate::{ApiKeyInfo, CreatedApiKey, NewApiKey, OpContext, Project, Service, ServiceOptions, service::later};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Indexes looked at.
    pub indexes: u64,
    /// Namespaces looked at.
    pub namespaces: u64,
    /// Live records.
    pub records: u64,
    /// Files read to the end.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries of the audit log's chain.
    pub audit_events: u64,
    /// What is damaged; empty when all is well.
    pub damaged: Vec<DamagedFile>,
}

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its path below the data directory.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// What the catalog's rebuild brought back.
#[derive(Debug, Clone)]
pub struct RebuildReport {
    /// The indexes that are served again, with their projects.
    pub indexes: Vec<(ProjectId, IndexName)>,
    /// The folders that hold no readable descriptor, and why.
    pub unreadable: Vec<DamagedFile>,
    /// What could not be brought back, one line each.
    pub lost: Vec<String>,
    /// A new key with the role ProjectEditor for each project.
    pub keys: Vec<CreatedApiKey>,
}

impl Service {
    /// Makes an API key.
    pub async fn create_key(self: &Arc<Self>, ctx: &OpContext, new: NewApiKey) -> Result<CreatedApiKey> {
        let _ = (ctx, new);
        later()
    }
    /// The API keys of one project, or of all, oldest first.
    pub async fn list_keys(&self, ctx: &OpContext, project: Option<ProjectId>) -> Result<Vec<ApiKeyInfo>> {
        let _ = (ctx, project);
        later()
    }
    /// Revokes the key that `which` names: its id, or the beginning of its secret when that fits one key only. It is refused from now on.
    pub async fn revoke_key(self: &Arc<Self>, ctx: &OpContext, which: &str) -> Result<ApiKeyId> {
        let _ = (ctx, which);
        later()
    }
    /// Makes a project in the default organization.
    pub async fn create_project(self: &Arc<Self>, ctx: &OpContext, name: &str) -> Result<Project> {
        let _ = (ctx, name);
        later()
    }
    /// The projects, oldest first.
    pub async fn list_projects(&self, ctx: &OpContext) -> Result<Vec<Project>> {
        let _ = ctx;
        later()
    }
    /// Seals the key store under a new root key; the data stays as it is.
    pub async fn rotate_root(self: &Arc<Self>, ctx: &OpContext, new: RootKey) -> Result<()> {
        let _ = (ctx, new);
        later()
    }
    /// The root key as text with a checksum, to be kept where the data is not.
    pub async fn export_root(&self, ctx: &OpContext) -> Result<RootKey> {
        let _ = ctx;
        later()
    }
    /// Reads and verifies every stored byte of a running service.
    pub async fn check(&self, ctx: &OpContext) -> Result<CheckReport> {
        let _ = ctx;
        later()
    }
    /// Reads and verifies every stored byte of a data directory that no server has open, however damaged.
    pub async fn check_offline(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<CheckReport> {
        let _ = (options, clock);
        later()
    }
    /// Makes the catalog anew from what lies in storage, after its file was lost, damaged or put back from an older copy. The old
    /// file is set aside.
    pub async fn rebuild_catalog(options: ServiceOptions, clock: Arc<dyn Clock>) -> Result<RebuildReport> {
        let _ = (options, clock);
        later()
    }
}
