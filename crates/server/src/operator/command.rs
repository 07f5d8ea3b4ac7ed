//! The commands and what they answer: as JSON between a command line and a running server, as text for people.

use std::{fmt, sync::Arc};

use pinyon_model::{Error, Principal, ProjectId, Recall, Result, Role};
use pinyon_service::{ApiKeyInfo, ApiKeySecret, CheckReport, CheckedRecall, Clock, CreatedApiKey, NewApiKey, OpContext, Project, Service};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::RootKeyFile;

/// Text that grants access: wiped when dropped, printed only where a command's whole purpose is to print it.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Secret {
    pub(crate) fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    CreateKey { name: String, roles: Vec<String>, project: Option<String>, value: Option<Secret> },
    ListKeys { project: Option<String> },
    RevokeKey { id: String },
    RotateRoot,
    ExportRoot,
    CreateProject { name: String },
    ListProjects,
    Check,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Output {
    KeyCreated { key: KeyRow, value: Secret },
    Keys { keys: Vec<KeyRow> },
    KeyRevoked { id: String },
    RootRotated { place: String },
    Root { value: Secret },
    ProjectCreated { project: ProjectRow },
    Projects { projects: Vec<ProjectRow> },
    Checked { report: CheckRows },
}

/// An API key as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) project_id: String,
    pub(crate) project: String,
    pub(crate) roles: Vec<String>,
    pub(crate) hint: String,
}

/// A project as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProjectRow {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// What a check found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CheckRows {
    pub(crate) indexes: u64,
    pub(crate) namespaces: u64,
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

impl Command {
    /// Carries the command out.
    pub(crate) async fn execute(self, service: &Arc<Service>, clock: &dyn Clock, root_key: &RootKeyFile) -> Result<Output> {
        let ctx = OpContext::internal(Principal::Operator, clock.now_ms());
        Ok(match self {
            Command::CreateKey { name, roles, project, value } => {
                let projects = service.list_projects(&ctx).await?;
                let new = NewApiKey {
                    name,
                    project_id: project.map(|p| find_project(&projects, &p)).transpose()?,
                    roles: roles.iter().map(|r| Role::parse(r)).collect::<Result<_>>()?,
                    secret: value.map(|v| ApiKeySecret::import(v.reveal())).transpose()?,
                };
                let CreatedApiKey { key, secret } = service.create_key(&ctx, new).await?;
                Output::KeyCreated { key: key_row(&projects, key), value: Secret::new(secret.reveal().to_owned()) }
            }
            Command::ListKeys { project } => {
                let projects = service.list_projects(&ctx).await?;
                let project = project.map(|p| find_project(&projects, &p)).transpose()?;
                let keys = service.list_keys(&ctx, project).await?;
                Output::Keys { keys: keys.into_iter().map(|k| key_row(&projects, k)).collect() }
            }
            Command::RevokeKey { id } => Output::KeyRevoked { id: service.revoke_key(&ctx, &id).await?.to_string() },
            Command::RotateRoot => Output::RootRotated { place: root_key.rotate(service, &ctx).await? },
            Command::ExportRoot => Output::Root { value: Secret::new(service.export_root(&ctx).await?.export_text()) },
            Command::CreateProject { name } => Output::ProjectCreated { project: project_row(service.create_project(&ctx, &name).await?) },
            Command::ListProjects => {
                Output::Projects { projects: service.list_projects(&ctx).await?.into_iter().map(project_row).collect() }
            }
            Command::Check => Output::Checked { report: service.check(&ctx).await?.into() },
        })
    }
}

/// A project by its id or its name.
fn find_project(projects: &[Project], text: &str) -> Result<ProjectId> {
    let found: Vec<_> = projects.iter().filter(|p| p.name == text || p.id.to_string() == text).collect();
    match found[..] {
        [project] => Ok(project.id),
        [] => Err(Error::not_found(format!("There is no project '{}'", text.escape_debug()))),
        _ => Err(Error::invalid(format!("More than one project is called '{}'; use its id", text.escape_debug()))),
    }
}

fn project_row(project: Project) -> ProjectRow {
    ProjectRow { id: project.id.to_string(), name: project.name }
}

fn key_row(projects: &[Project], key: ApiKeyInfo) -> KeyRow {
    let ApiKeyInfo { id, name, project_id, roles, hint, created_at_ms: _ } = key;
    let project = projects.iter().find(|p| p.id == project_id).map(|p| p.name.clone()).unwrap_or_default();
    let roles = roles.iter().map(|r| r.as_str().to_owned()).collect();
    KeyRow { id: id.to_string(), name, project_id: project_id.to_string(), project, roles, hint }
}

impl From<CheckReport> for CheckRows {
    fn from(report: CheckReport) -> Self {
        let CheckReport { indexes, namespaces, records, files, bytes, audit_events, recall, damaged } = report;
        let damaged = damaged.into_iter().map(|d| (d.file, d.what)).collect();
        let row = |CheckedRecall { index, live, recall: Recall { samples, mean, worst } }| RecallRow { index, live, samples, mean, worst };
        let recall = recall.into_iter().map(row).collect();
        Self { indexes, namespaces, records, files, bytes, audit_events, recall, damaged }
    }
}
