use pinyon_model::{NewProject, Project, ProjectChange, Result};
use serde::{Deserialize, Serialize};

use crate::{json, listing, rfc3339};

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(default)]
    max_pods: Option<u32>,
    #[serde(default)]
    force_encryption_with_cmek: Option<bool>,
}

/// Reads the body of `POST /admin/projects`.
pub fn create_project(body: &[u8]) -> Result<NewProject> {
    let CreateBody { name, max_pods, force_encryption_with_cmek } = json::from_control(body)?;
    let force_encryption_with_cmek = force_encryption_with_cmek.unwrap_or_default();
    Ok(NewProject { name: Project::parse_name(&name)?, max_pods, force_encryption_with_cmek })
}

#[derive(Deserialize)]
struct UpdateBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    max_pods: Option<u32>,
    #[serde(default)]
    force_encryption_with_cmek: Option<bool>,
}

/// Reads the body of `PATCH /admin/projects/{id}`.
pub fn update_project(body: &[u8]) -> Result<ProjectChange> {
    let UpdateBody { name, max_pods, force_encryption_with_cmek } = json::from_control(body)?;
    let name = name.as_deref().map(Project::parse_name).transpose()?;
    Ok(ProjectChange { name, max_pods, force_encryption_with_cmek })
}

/// The body that describes one project.
pub fn project_model(project: &Project) -> Vec<u8> {
    json::to_vec(&ProjectOut::from(project))
}

/// The body that lists projects.
pub fn project_list(projects: &[Project]) -> Vec<u8> {
    listing::list(projects.iter().map(ProjectOut::from))
}

#[derive(Serialize)]
struct ProjectOut<'a> {
    id: String,
    name: &'a str,
    max_pods: u32,
    force_encryption_with_cmek: bool,
    organization_id: String,
    created_at: String,
}

impl<'a> From<&'a Project> for ProjectOut<'a> {
    fn from(project: &'a Project) -> Self {
        let Project { id, organization_id, name, max_pods, force_encryption_with_cmek, access: _, created_at_ms } = project;
        Self {
            id: id.to_string(),
            name,
            max_pods: *max_pods,
            force_encryption_with_cmek: *force_encryption_with_cmek,
            organization_id: organization_id.to_string(),
            created_at: rfc3339(*created_at_ms),
        }
    }
}
