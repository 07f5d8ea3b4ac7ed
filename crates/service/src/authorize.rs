//! The one gate. Nothing reaches the engine or changes the catalog without an [`Authorized`], and only [`Service::authorize`]
//! makes one. What it refuses is in the audit log before the caller hears of it; what it allows and is no read carries an open
//! record that has to be closed with the outcome, and that says so itself when it is dropped.

use std::sync::Arc;

use pinyon_model::{Error, ErrorCode, Permission, Principal, ProjectId, Result};
use pinyon_storage::random_bytes;

use crate::{
    DataPlaneAudit, IndexRef, OpContext, Service,
    audit::{Audit, AuditEvent, AuditOutcome},
};

/// Everything that can be done, in the words of the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    ListIndexes,
    DescribeIndex,
    CreateIndex,
    ConfigureIndex,
    DeleteIndex,
    Query,
    Fetch,
    FetchByMetadata,
    ListRecords,
    DescribeIndexStats,
    ListNamespaces,
    DescribeNamespace,
    Explain,
    DescribeRecall,
    Upsert,
    Update,
    Delete,
    CreateNamespace,
    DeleteNamespace,
    CreateApiKey,
    ListApiKeys,
    RevokeApiKey,
    CreateProject,
    ListProjects,
    RotateRootKey,
    ExportRootKey,
    Check,
    RebuildCatalog,
    ReadAuditLog,
    /// What Pinyon does not have yet, and who might use it if it had.
    Unbuilt(Permission),
}

impl Action {
    #[cfg(test)]
    pub(crate) const ALL: [Action; 29] = {
        use Action::*;
        [
            ListIndexes,
            DescribeIndex,
            CreateIndex,
            ConfigureIndex,
            DeleteIndex,
            Query,
            Fetch,
            FetchByMetadata,
            ListRecords,
            DescribeIndexStats,
            ListNamespaces,
            DescribeNamespace,
            Explain,
            DescribeRecall,
            Upsert,
            Update,
            Delete,
            CreateNamespace,
            DeleteNamespace,
            CreateApiKey,
            ListApiKeys,
            RevokeApiKey,
            CreateProject,
            ListProjects,
            RotateRootKey,
            ExportRootKey,
            Check,
            RebuildCatalog,
            ReadAuditLog,
        ]
    };

    /// What a principal must be allowed for it.
    pub(crate) const fn permission(self) -> Permission {
        use Action::*;
        match self {
            Unbuilt(permission) => permission,
            ListIndexes | DescribeIndex => Permission::ControlRead,
            CreateIndex | ConfigureIndex | DeleteIndex => Permission::ControlWrite,
            Query | Fetch | FetchByMetadata | ListRecords | DescribeIndexStats | ListNamespaces | DescribeNamespace | Explain
            | DescribeRecall => Permission::DataRead,
            Upsert | Update | Delete | CreateNamespace | DeleteNamespace => Permission::DataWrite,
            CreateApiKey | ListApiKeys | RevokeApiKey | CreateProject | ListProjects | RotateRootKey | ExportRootKey | Check
            | RebuildCatalog | ReadAuditLog => Permission::Operate,
        }
    }

    /// Whether it changes nothing. Exporting the root key changes nothing either, and is recorded all the same.
    const fn is_read(self) -> bool {
        use Action::*;
        matches!(
            self,
            ListIndexes
                | DescribeIndex
                | Query
                | Fetch
                | FetchByMetadata
                | ListRecords
                | DescribeIndexStats
                | ListNamespaces
                | DescribeNamespace
                | Explain
                | DescribeRecall
                | ListApiKeys
                | ListProjects
                | Check
                | Unbuilt(_)
                | ReadAuditLog
        )
    }

    /// The audit log's words for it: action and kind of resource.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        use Action::*;
        match self {
            ListIndexes => ("list", "index"),
            DescribeIndex => ("read", "index"),
            CreateIndex => ("create", "index"),
            ConfigureIndex => ("update", "index"),
            DeleteIndex => ("delete", "index"),
            Query => ("query", "record"),
            Fetch | FetchByMetadata => ("fetch", "record"),
            ListRecords => ("list", "record"),
            DescribeIndexStats => ("read", "index-stats"),
            ListNamespaces => ("list", "namespace"),
            DescribeNamespace => ("read", "namespace"),
            Explain => ("explain", "query"),
            DescribeRecall => ("read", "recall"),
            Upsert => ("upsert", "record"),
            Update => ("update", "record"),
            Delete => ("delete", "record"),
            CreateNamespace => ("create", "namespace"),
            DeleteNamespace => ("delete", "namespace"),
            CreateApiKey => ("create", "api-key"),
            ListApiKeys => ("list", "api-key"),
            RevokeApiKey => ("delete", "api-key"),
            CreateProject => ("create", "project"),
            ListProjects => ("list", "project"),
            RotateRootKey => ("update", "root-key"),
            ExportRootKey => ("read", "root-key"),
            Check => ("read", "installation"),
            Unbuilt(_) => ("use", "operation"),
            RebuildCatalog => ("update", "catalog"),
            ReadAuditLog => ("read", "audit-log"),
        }
    }
}

/// What an action is about, as far as permission is concerned.
pub(crate) trait Resource {
    /// Whose it is; `None` is the installation itself.
    fn project_id(&self) -> Option<ProjectId>;
    /// How the audit log names it: id and name.
    fn names(&self) -> (String, String);
}

/// The installation: keys of all projects, the root key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Installation;

impl Resource for Installation {
    fn project_id(&self) -> Option<ProjectId> {
        None
    }
    fn names(&self) -> (String, String) {
        (String::new(), String::new())
    }
}

/// A project, as the place where indexes are looked up and made. `index` is the name the caller gave, for the record.
#[derive(Debug, Clone)]
pub(crate) struct ProjectScope {
    pub(crate) id: ProjectId,
    pub(crate) index: Option<String>,
}

impl Resource for ProjectScope {
    fn project_id(&self) -> Option<ProjectId> {
        Some(self.id)
    }
    fn names(&self) -> (String, String) {
        let name: String = self.index.as_deref().unwrap_or_default().chars().take(NAME_SHOWN_MAX).collect();
        (name.clone(), name)
    }
}

impl Resource for IndexRef {
    fn project_id(&self) -> Option<ProjectId> {
        Some(IndexRef::project_id(self))
    }
    fn names(&self) -> (String, String) {
        (self.name().to_string(), self.name().to_string())
    }
}

/// A caller's text goes into the audit log cut to this many characters.
const NAME_SHOWN_MAX: usize = 64;

/// The permission to do one thing to one resource, with the open audit record of it.
#[must_use = "what was authorized must be closed with its outcome"]
pub(crate) struct Authorized<T> {
    resource: T,
    record: Option<OpenRecord>,
}

impl<T> Authorized<T> {
    /// What may be worked with.
    pub(crate) fn resource(&self) -> &T {
        &self.resource
    }

    /// Names the resource in the record once it is known.
    pub(crate) fn name(&mut self, id: impl Into<String>, name: impl Into<String>) {
        if let Some(record) = &mut self.record {
            record.event.resource_id = id.into();
            record.event.resource_name = name.into();
        }
    }

    /// Adds a fact to the record.
    pub(crate) fn note(&mut self, key: &str, value: impl Into<String>) {
        if let Some(record) = &mut self.record {
            record.event.parameters.push((key.to_owned(), value.into()));
        }
    }

    /// The record as it reads when the act succeeds: the catalog puts it beside the change, in one transaction.
    pub(crate) fn success(&self) -> Option<AuditEvent> {
        self.record.as_ref().map(|r| AuditEvent { outcome: AuditOutcome::Success, ..r.event.clone() })
    }

    /// The catalog has the record now: closing it again would write it twice.
    pub(crate) fn recorded(&mut self) {
        if let Some(record) = &mut self.record {
            record.closed = true;
        }
    }

    /// Closes the record with what came of it; durable when it returns. A success that cannot be recorded is no success.
    pub(crate) async fn close<R>(mut self, result: Result<R>) -> Result<R> {
        let Some(mut record) = self.record.take() else { return result };
        if record.closed {
            return result;
        }
        record.closed = true;
        let audit = record.audit.clone();
        let event = std::mem::take(&mut record.event);
        match &result {
            Ok(_) => audit.record(AuditEvent { outcome: AuditOutcome::Success, ..event }).await?,
            Err(error) => audit.refuse(AuditEvent { outcome: AuditOutcome::failure(error), ..event }).await?,
        }
        result
    }
}

/// An audit record whose outcome is not known yet.
struct OpenRecord {
    event: AuditEvent,
    audit: Arc<Audit>,
    closed: bool,
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if !self.closed {
            self.audit.abandoned(std::mem::take(&mut self.event));
        }
    }
}

impl Service {
    /// Asks whether this caller may do this to this resource. `Unauthenticated` for another project's key, `Forbidden` for a key of
    /// the right project without the role; either is in the audit log when this returns.
    pub(crate) async fn authorize<T: Resource>(&self, ctx: &OpContext, action: Action, resource: T) -> Result<Authorized<T>> {
        ctx.check_deadline(self.clock().now_ms())?;
        match decide(&ctx.principal, action, resource.project_id()) {
            Ok(()) => {}
            Err(error) => {
                let mut event = self.event(ctx, action, &resource);
                event.outcome = AuditOutcome::failure(&error);
                self.audit().refuse(event).await?;
                return Err(error);
            }
        }
        let silent = action.is_read() || (action.permission() == Permission::DataWrite && self.data_plane_audit() == DataPlaneAudit::Off);
        let record = if silent {
            None
        } else {
            self.audit().check_writable().await?;
            Some(OpenRecord { event: self.event(ctx, action, &resource), audit: Arc::clone(self.audit()), closed: false })
        };
        Ok(Authorized { resource, record })
    }

    /// Asks whether this caller might use an operation that Pinyon does not have yet: only they are told that it is missing. A
    /// refusal is audited as any other.
    pub async fn permit_unbuilt(&self, ctx: &OpContext, permission: Permission, index: Option<&IndexRef>) -> Result<()> {
        let action = Action::Unbuilt(permission);
        match index {
            Some(index) => self.authorize(ctx, action, index.clone()).await.map(drop),
            None => {
                let id = ctx.project_id().unwrap_or_else(|| self.default_project());
                self.authorize(ctx, action, ProjectScope { id, index: None }).await.map(drop)
            }
        }
    }

    fn event<T: Resource>(&self, ctx: &OpContext, action: Action, resource: &T) -> AuditEvent {
        let (word, kind) = action.words();
        let mut event = AuditEvent::open(ctx, random_bytes(), word, kind);
        (event.resource_id, event.resource_name) = resource.names();
        if let Some(project) = resource.project_id() {
            event.parameters.push(("project_id".to_owned(), project.to_string()));
        }
        if let Some(organization) = self.catalog().default_organization() {
            event.organization_id = organization.id.to_string();
            event.organization_name = organization.name;
        }
        event
    }
}

/// The rule itself, without its record.
fn decide(principal: &Principal, action: Action, project: Option<ProjectId>) -> Result<()> {
    if let Principal::ApiKey { project_id, .. } = principal
        && project.is_some_and(|p| p != *project_id)
    {
        return Err(invalid_api_key());
    }
    if principal.allows(action.permission()) {
        return Ok(());
    }
    let (word, kind) = action.words();
    Err(Error::forbidden(format!(
        "This API key's roles do not allow it to {word} ({kind}); it lacks the permission {:?}",
        action.permission()
    )))
}

/// What an unknown, a missing and another project's key are answered alike.
pub(crate) fn invalid_api_key() -> Error {
    Error::new(ErrorCode::Unauthenticated, "Invalid API key.")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write};

    use pinyon_model::{ApiKeyId, Role};

    use super::*;

    fn key(project: ProjectId, roles: &[Role]) -> Principal {
        Principal::ApiKey { id: ApiKeyId::from_bytes([1; 16]), name: "k".into(), project_id: project, roles: roles.to_vec() }
    }

    /// The table of who may do what, as a file that a person reads. After a deliberate change, copy what the failure prints.
    #[test]
    fn roles_as_a_table() {
        let project = ProjectId::from_bytes([9; 16]);
        let mut table = String::from("action");
        Role::ALL.iter().for_each(|r| write!(table, "\t{}", r.as_str()).unwrap());
        table.push_str("\tOperator\n");
        for action in Action::ALL {
            write!(table, "{action:?}").unwrap();
            let principals = Role::ALL.iter().map(|r| key(project, &[*r])).chain([Principal::Operator]);
            for principal in principals {
                let word = match decide(&principal, action, Some(project)) {
                    Ok(()) => "yes",
                    Err(e) if e.code == ErrorCode::Forbidden => "-",
                    Err(_) => "?",
                };
                write!(table, "\t{word}").unwrap();
            }
            table.push('\n');
        }
        assert_eq!(table, include_str!("../tests/roles.tsv"), "\n{table}");
    }

    #[test]
    fn another_projects_key_is_an_unknown_key() {
        let (mine, theirs) = (ProjectId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
        for action in Action::ALL {
            let refused = decide(&key(mine, &Role::ALL), action, Some(theirs)).unwrap_err();
            assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Unauthenticated, "Invalid API key."), "{action:?}");
        }
    }

    #[test]
    fn roles_are_united() {
        let project = ProjectId::from_bytes([1; 16]);
        let both = key(project, &[Role::ControlPlaneViewer, Role::DataPlaneViewer]);
        assert!(decide(&both, Action::Query, Some(project)).is_ok());
        assert!(decide(&both, Action::ListIndexes, Some(project)).is_ok());
        assert!(decide(&both, Action::Upsert, Some(project)).is_err());
        assert!(decide(&key(project, &[]), Action::Query, Some(project)).is_err());
    }

    #[test]
    fn every_action_has_its_row() {
        assert_eq!(Action::ALL.iter().collect::<BTreeSet<_>>().len(), Action::ALL.len());
    }
}
