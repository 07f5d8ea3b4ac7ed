//! Things as a command line lists them: names beside ids, times as text.

use pinyon_model::{
    ApiKey, Backup, BackupKind, BackupStatus, Invite, Organization, Project, Recall, ResourceRef, RoleBinding, ServiceAccount, User,
};
use pinyon_service::{CheckReport, CheckedRecall, EffectivePermissions, UsedApiKey};
use pinyon_wire::rfc3339;
use serde::{Deserialize, Serialize};

/// An API key as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) project_id: String,
    pub(crate) project: String,
    pub(crate) roles: Vec<String>,
    pub(crate) hint: String,
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
    #[serde(default)]
    pub(crate) last_used_at: Option<String>,
    #[serde(default)]
    pub(crate) last_used_from: Option<String>,
    /// The only indexes, namespaces and networks; none of them: all.
    #[serde(default)]
    pub(crate) indexes: Vec<String>,
    #[serde(default)]
    pub(crate) namespaces: Vec<String>,
    #[serde(default)]
    pub(crate) networks: Vec<String>,
    /// Until when the secret before the last rotation is accepted.
    #[serde(default)]
    pub(crate) previous_expires_at: Option<String>,
}

impl KeyRow {
    pub(super) fn new(projects: &[Project], used: UsedApiKey) -> Self {
        let UsedApiKey { key, last_use } = used;
        let ApiKey { id, name, project_id, roles, hint, created_at_ms: _, expires_at_ms, restrictions, previous } = key;
        Self {
            id: id.to_string(),
            name,
            project_id: project_id.to_string(),
            project: projects.iter().find(|p| p.id == project_id).map(|p| p.name.clone()).unwrap_or_default(),
            roles: roles.iter().map(|r| r.as_str().to_owned()).collect(),
            hint,
            expires_at: expires_at_ms.map(rfc3339),
            last_used_at: last_use.as_ref().map(|last| rfc3339(last.at_ms)),
            last_used_from: last_use.map(|last| last.source).filter(|source| !source.is_empty()),
            indexes: restrictions.indexes().iter().map(ToString::to_string).collect(),
            namespaces: restrictions.namespaces().iter().map(ToString::to_string).collect(),
            networks: restrictions.networks().iter().map(ToString::to_string).collect(),
            previous_expires_at: previous.map(|p| rfc3339(p.expires_at_ms)),
        }
    }

    /// What it is held to, in a few words.
    pub(crate) fn held_to(&self) -> String {
        let sets = [("index", &self.indexes), ("namespace", &self.namespaces), ("network", &self.networks)];
        sets.iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(",")))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// What somebody may do, and why.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PermissionRows {
    pub(crate) principal: String,
    pub(crate) name: String,
    pub(crate) resource: String,
    /// Each permission with the roles that give it and their bindings' ids.
    pub(crate) permissions: Vec<(String, Vec<(String, String)>)>,
    pub(crate) allowed: Option<bool>,
    pub(crate) reason: Option<String>,
}

impl From<EffectivePermissions> for PermissionRows {
    fn from(found: EffectivePermissions) -> Self {
        let EffectivePermissions { principal, name, resource, permissions, key: _, decision } = found;
        let by = |bindings: Vec<RoleBinding>| bindings.iter().map(|b| (b.role.as_str().to_owned(), b.id.to_string())).collect();
        Self {
            principal: format!("{}:{}", principal.principal_type().as_str(), principal.id()),
            name,
            resource: format!("{}:{}", resource.resource_type().as_str(), resource.id()),
            permissions: permissions.into_iter().map(|(permission, bindings)| (format!("{permission:?}"), by(bindings))).collect(),
            allowed: decision.as_ref().map(|d| d.allowed),
            reason: decision.map(|d| d.reason),
        }
    }
}

/// An organization as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OrganizationRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) plan: String,
    pub(crate) payment_status: String,
    pub(crate) created_at: String,
}

impl From<Organization> for OrganizationRow {
    fn from(organization: Organization) -> Self {
        let Organization { id, name, plan, payment_status, created_at_ms } = organization;
        let (plan, payment_status) = (plan.as_str().to_owned(), payment_status.as_str().to_owned());
        Self { id: id.to_string(), name, plan, payment_status, created_at: rfc3339(created_at_ms) }
    }
}

/// A project as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProjectRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) organization_id: String,
    pub(crate) created_at: String,
}

impl From<Project> for ProjectRow {
    fn from(project: Project) -> Self {
        let Project { id, organization_id, name, max_pods: _, force_encryption_with_cmek: _, access: _, created_at_ms } = project;
        Self { id: id.to_string(), name, organization_id: organization_id.to_string(), created_at: rfc3339(created_at_ms) }
    }
}

/// A service account as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServiceAccountRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) client_id: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

impl From<ServiceAccount> for ServiceAccountRow {
    fn from(account: ServiceAccount) -> Self {
        let client_id = account.client_id();
        let ServiceAccount { id, organization_id: _, name, created_at_ms, updated_at_ms } = account;
        Self { id: id.to_string(), name, client_id, created_at: rfc3339(created_at_ms), updated_at: rfc3339(updated_at_ms) }
    }
}

/// A role binding as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RoleRow {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) principal_type: String,
    pub(crate) principal_id: String,
    pub(crate) resource_type: String,
    pub(crate) resource_id: String,
    /// The project's name; none for a role in the organization.
    pub(crate) project: Option<String>,
    pub(crate) created_at: String,
}

impl RoleRow {
    pub(super) fn new(projects: &[Project], binding: &RoleBinding) -> Self {
        let RoleBinding { id, organization_id: _, principal, resource, role, created_at_ms } = binding;
        let project = match resource {
            ResourceRef::Organization(_) => None,
            ResourceRef::Project(id) => projects.iter().find(|p| p.id == *id).map(|p| p.name.clone()),
        };
        Self {
            id: id.to_string(),
            role: role.as_str().to_owned(),
            principal_type: principal.principal_type().as_str().to_owned(),
            principal_id: principal.id(),
            resource_type: resource.resource_type().as_str().to_owned(),
            resource_id: resource.id(),
            project,
            created_at: rfc3339(*created_at_ms),
        }
    }
}

/// A user as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserRow {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) created_at: String,
}

impl From<User> for UserRow {
    fn from(user: User) -> Self {
        let User { id, organization_id: _, email, name, created_at_ms } = user;
        Self { id: id.to_string(), email: email.as_str().to_owned(), name, created_at: rfc3339(created_at_ms) }
    }
}

/// An invite as it is told of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InviteRow {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) expires_at: String,
}

impl From<Invite> for InviteRow {
    fn from(invite: Invite) -> Self {
        let Invite { id, organization_id: _, email, created_at_ms: _, expires_at_ms, processed_at_ms: _ } = invite;
        Self { id: id.to_string(), email: email.as_str().to_owned(), expires_at: rfc3339(expires_at_ms) }
    }
}

/// A backup as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BackupRow {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) index: String,
    pub(crate) index_id: String,
    pub(crate) status: String,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    pub(crate) namespaces: Option<u64>,
    pub(crate) records: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
}

impl From<Backup> for BackupRow {
    fn from(backup: Backup) -> Self {
        let counts = backup.status.counts();
        let (name, description) = match backup.kind {
            BackupKind::Backup { name, description } => (name, description),
            BackupKind::Collection(name) => (Some(name.to_string()), None),
        };
        let (status, reason) = match backup.status {
            BackupStatus::Initializing => ("Initializing", None),
            BackupStatus::Ready(_) => ("Ready", None),
            BackupStatus::Failed(reason) => ("Failed", Some(reason)),
        };
        Self {
            id: backup.id.to_string(),
            name,
            description,
            index: backup.source_index_name.to_string(),
            index_id: backup.source_index_id.to_string(),
            status: status.to_owned(),
            reason,
            namespaces: counts.map(|c| c.namespaces),
            records: counts.map(|c| c.records),
            bytes: counts.map(|c| c.bytes),
            created_at: rfc3339(backup.created_at_ms),
            expires_at: backup.expires_at_ms.map(rfc3339),
        }
    }
}

/// What a check found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckRows {
    pub(crate) indexes: u64,
    pub(crate) namespaces: u64,
    pub(crate) backups: u64,
    /// Not looked at: a customer's key is not available.
    pub(crate) locked: u64,
    pub(crate) records: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) audit_events: u64,
    /// Of each index with approximate search.
    #[serde(default)]
    pub(crate) recall: Vec<RecallRow>,
    /// Path and what is wrong.
    pub(crate) damaged: Vec<(String, String)>,
}

/// The recall of an index as a check tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecallRow {
    pub(crate) index: String,
    /// By live queries, or by probes made of stored vectors.
    pub(crate) live: bool,
    pub(crate) samples: u64,
    pub(crate) mean: f64,
    pub(crate) worst: f64,
}

impl From<CheckReport> for CheckRows {
    fn from(report: CheckReport) -> Self {
        let CheckReport { indexes, namespaces, backups, locked, records, files, bytes, audit_events, recall, damaged } = report;
        let damaged = damaged.into_iter().map(|d| (d.file, d.what)).collect();
        let row = |CheckedRecall { index, live, recall: Recall { samples, mean, worst } }| RecallRow { index, live, samples, mean, worst };
        let recall = recall.into_iter().map(row).collect();
        Self { indexes, namespaces, backups, locked, records, files, bytes, audit_events, recall, damaged }
    }
}
