//! The matrix of the admin plane: every operation, asked by everybody, held to a table that was typed by hand.

use std::collections::BTreeSet;

use pinyon_model::Plane;
use pinyon_wire::ROUTES;
use serde_json::{Value, json};

use crate::{
    kit::{Api, Home, Server},
    matrix::{self, Row},
};

const TABLE: &str = include_str!("../fixtures/authorization-admin.txt");
const CALLERS: [&str; 11] = ["none", "key", "Owner", "Manager", "Member", "Bill", "PrOwn", "PrMan", "PrMem", "PrEdit", "other"];

#[test]
fn the_table_has_every_operation_and_no_other() {
    let rows = matrix::read(TABLE, &CALLERS);
    let typed: BTreeSet<(String, String)> = rows.iter().map(|r| (r.method.clone(), r.path.clone())).collect();
    assert_eq!(typed.len(), rows.len(), "a row is there twice");
    let ours = ROUTES.iter().filter(|r| r.plane == Plane::Admin && r.permission.is_some());
    let served: BTreeSet<(String, String)> = ours.flat_map(|r| r.methods.iter().map(|m| ((*m).to_owned(), r.path.to_owned()))).collect();
    assert_eq!(typed, served);
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let home = Home::new();
    let server = home.serve(&[]);
    home.run(&["project", "create", "other"]);
    let callers = callers(&home, &server).await;
    let things = Things::make(&home, &server, &callers[2]).await;
    let mut differences = Vec::new();
    let rows = matrix::read(TABLE, &CALLERS);
    for row in &rows {
        for ((caller, api), expected) in CALLERS.into_iter().zip(&callers).zip(&row.expected) {
            let reply = things.ask(&server, api, row, caller).await;
            if reply != *expected {
                differences.push(format!("{} {} as {caller}: {reply}, not {expected}", row.method, row.path));
            }
        }
    }
    let cells = rows.len() * CALLERS.len();
    assert!(differences.is_empty(), "{} of {cells} cells differ:\n{}", differences.len(), differences.join("\n"));
    println!("{cells} cells, 0 differences");
}

/// A client for each caller, in the order of the columns.
async fn callers(home: &Home, server: &Server) -> Vec<Api> {
    let mut callers = vec![Api::bare(), Api::bearer(&home.first_key())];
    for (role, project) in [
        ("OrgOwner", None),
        ("OrgManager", None),
        ("OrgMember", None),
        ("OrgBillingAdmin", None),
        ("ProjectOwner", Some("default")),
        ("ProjectManager", Some("default")),
        ("ProjectMember", Some("default")),
        ("ProjectEditor", Some("default")),
        ("ProjectOwner", Some("other")),
    ] {
        let words = [&["--role", role][..], project.map(|p| ["--project", p]).as_ref().map_or(&[][..], |p| &p[..])].concat();
        callers.push(Api::with_token(server, &home.service_account(role, &words)).await);
    }
    callers
}

/// What the requests are about: some that stay, and for each caller some of its own to delete.
struct Things {
    organization: String,
    project: String,
    own: Vec<Own>,
}

struct Own {
    api_key: String,
    service_account: String,
    grantee: String,
    invite: String,
    role_binding: String,
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

impl Things {
    async fn make(home: &Home, server: &Server, owner: &Api) -> Self {
        Api::new(&home.first_key()).create_index(server, "main").await;
        let url = |path: &str| format!("{}{path}", server.url());
        let organization = id(&owner.get(&url("/admin/organizations")).await.json()["data"][0]);
        let projects = owner.get(&url("/admin/projects")).await.json();
        let project = id(projects["data"].as_array().unwrap().iter().find(|p| p["name"] == "default").unwrap());
        let mut own = Vec::new();
        for caller in CALLERS {
            let make = async |path: &str, body: Value| owner.post(&url(path), body).await.json();
            let account = async |name: String| id(&make("/admin/service-accounts", json!({"name": name})).await["service_account"]);
            let (service_account, grantee) = (account(format!("doomed-{caller}")).await, account(format!("grantee-{caller}")).await);
            let grant = grant(&grantee, &project, "DataPlaneViewer");
            let key = make(&format!("/admin/projects/{project}/api-keys"), json!({"name": format!("doomed-{caller}")})).await;
            own.push(Own {
                api_key: id(&key["key"]),
                service_account,
                invite: id(&make("/admin/invites", invite(&format!("doomed-{caller}@example.com"))).await),
                role_binding: id(&make("/admin/role-bindings", grant).await),
                grantee,
            });
        }
        Self { organization, project, own }
    }

    /// Sends a request that is in order, and tells its status.
    async fn ask(&self, server: &Server, api: &Api, row: &Row, caller: &str) -> u16 {
        let own = &self.own[CALLERS.iter().position(|c| *c == caller).unwrap()];
        let permissions = format!("service_account/{}/permissions?resource_type=project&resource_id={}", own.grantee, self.project);
        let path = row
            .path
            .replace("{organization_id}", &self.organization)
            .replace("{project_id}", &self.project)
            .replace("{api_key_id}", &own.api_key)
            .replace("{service_account_id}", &own.service_account)
            .replace("{principal_type}/{principal_id}/permissions", &permissions)
            .replace("{user_id}", "a2f7dddb-1597-4eff-9f71-535fde243f58")
            .replace("{invite_id}", &own.invite)
            .replace("{role_binding_id}", &own.role_binding);
        let name = json!({"name": format!("new-{caller}")});
        let body = match (row.method.as_str(), row.path.as_str()) {
            ("PATCH", "/admin/organizations/{organization_id}") => json!({"name": "Acme"}),
            ("PATCH", "/admin/projects/{project_id}") => json!({"max_pods": 1}),
            ("POST", "/admin/invites") => invite(&format!("new-{caller}@example.com")),
            ("POST", "/admin/role-bindings") => grant(&own.grantee, &self.project, "ProjectViewer"),
            ("POST", "/pinyon/v1/password") => json!({"old_password": "old", "password": "a longer one"}),
            ("POST", "/pinyon/v1/api-keys/{api_key_id}/rotate") => json!({"overlap_seconds": 60}),
            ("POST" | "PATCH", _) => name,
            _ => json!({}),
        };
        api.send(&row.method, &format!("{}{path}", server.url()), body.to_string()).await.status
    }
}

fn invite(email: &str) -> Value {
    json!({"email": email, "role_bindings": [{"resource_type": "organization", "role": "OrgMember"}]})
}

fn grant(service_account: &str, project: &str, role: &str) -> Value {
    json!({
        "principal_type": "service_account", "principal_id": service_account,
        "resource_type": "project", "resource_id": project, "role": role
    })
}
