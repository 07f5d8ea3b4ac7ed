//! The matrix of the admin plane: every operation, asked by everybody, held to a table that was not made by the code.

use std::collections::BTreeSet;

use pinyon_model::Plane;
use pinyon_wire::ROUTES;
use serde_json::{Value, json};

use crate::{
    kit::{Api, Home, Server},
    kms::{EXTERNAL_ID, Kms, ROLE, Trouble, key},
    matrix::{Caller, Kind, Row, Table, account_token, foreign_owner, token_holders},
};

const CALLERS: [&str; 6] = ["none", "bad", "key", "revoked", "foreign", "other"];

fn table() -> Table {
    Table::read(include_str!("../fixtures/authorization-admin.txt"), &CALLERS)
}

#[test]
fn the_table_has_every_operation_and_no_other() {
    let rows = table().rows;
    let typed: BTreeSet<(String, String)> = rows.iter().map(|r| (r.method.clone(), r.path.clone())).collect();
    assert_eq!(typed.len(), rows.len(), "a row is there twice");
    let ours = ROUTES.iter().filter(|r| r.plane == Plane::Admin && r.permission.is_some());
    let served: BTreeSet<(String, String)> = ours.flat_map(|r| r.methods.iter().map(|m| ((*m).to_owned(), r.path.to_owned()))).collect();
    assert_eq!(typed, served);
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let (kms, home) = (Kms::start(), Home::with_env(Kms::env()));
    let words = kms.words();
    let server = home.serve(&words.each_ref().map(String::as_str));
    home.run(&["project", "create", "other"]);
    let callers = callers(&home, &server).await;
    let things = Things::make(&home, &server, callers.len()).await;
    // What is permitted is refused by the key itself, so that each caller finds the same.
    kms.breaks(&key(2), Trouble::Disabled);
    let mut differences = Vec::new();
    let table = table();
    for row in &table.rows {
        for (n, caller) in callers.iter().enumerate() {
            let (found, expected) = (things.ask(&server, row, caller, n).await, table.expected(row, caller));
            if found != expected {
                differences.push(format!("{} {} as {caller}: {found}, not {expected}", row.method, row.path));
            }
        }
    }
    let cells = table.rows.len() * callers.len();
    assert!(differences.is_empty(), "{} of {cells} answers differ:\n{}", differences.len(), differences.join("\n"));
    println!("{cells} answers to {} callers, 0 differences", callers.len());
}

/// Everybody who asks.
async fn callers(home: &Home, server: &Server) -> Vec<Caller> {
    let doomed = account_token(home, server, "doomed", &["--role", "OrgOwner"]).await;
    let accounts = home.json(&["service-account", "list"]);
    let account = accounts["service_accounts"].as_array().unwrap().iter().find(|a| a["name"] == "doomed").unwrap();
    home.run(&["service-account", "delete", account["id"].as_str().unwrap()]);
    let other = account_token(home, server, "other", &["--role", "ProjectOwner", "--project", "other"]).await;
    let mut callers = vec![
        Caller::nobody("none"),
        Caller::bearer("bad", Kind::Nobody, "pinyon_at_not-a-token"),
        Caller::bearer("key", Kind::ApiKey, &home.first_key()),
        Caller::bearer("revoked", Kind::ServiceAccount, &doomed),
        Caller::bearer("foreign", Kind::ServiceAccount, &foreign_owner(home, server).await),
        Caller::bearer("other", Kind::ServiceAccount, &other),
    ];
    let projects = home.json(&["project", "list"]);
    let project = projects["projects"].as_array().unwrap().iter().find(|p| p["name"] == "default").unwrap()["id"].as_str().unwrap();
    callers.extend(token_holders(home, server, project).await);
    callers
}

/// What the requests are about: some that stay, and for each caller some of its own to delete.
struct Things {
    organization: String,
    project: String,
    cmek: String,
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
    async fn make(home: &Home, server: &Server, callers: usize) -> Self {
        let owner = Api::with_token(server, &home.service_account("maker", &["--role", "OrgOwner"])).await;
        Api::new(&home.first_key()).create_index(server, "main").await;
        let url = |path: &str| format!("{}{path}", server.url());
        let organization = id(&owner.get(&url("/admin/organizations")).await.json()["data"][0]);
        let projects = owner.get(&url("/admin/projects")).await.json();
        let project = id(projects["data"].as_array().unwrap().iter().find(|p| p["name"] == "default").unwrap());
        let mut own = Vec::new();
        for caller in 0..callers {
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
        let body = json!({"project_id": project, "name": "main", "key_arn": key(1), "role_arn": ROLE, "external_id": EXTERNAL_ID});
        let cmek = id(&owner.post(&url("/pinyon/v1/cmeks"), body).await.json());
        Self { organization, project, cmek, own }
    }

    /// Sends a request that is in order, and tells its status.
    async fn ask(&self, server: &Server, row: &Row, caller: &Caller, n: usize) -> u16 {
        let own = &self.own[n];
        let permissions = format!("service_account/{}/permissions?resource_type=project&resource_id={}", own.grantee, self.project);
        let path = row
            .path
            .replace("{organization_id}", &self.organization)
            .replace("{project_id}", &self.project)
            .replace("{api_key_id}", &own.api_key)
            .replace("{service_account_id}", &own.service_account)
            .replace("{principal_type}/{principal_id}/permissions", &permissions)
            .replace("{cmek_id}", &if row.method == "DELETE" { format!("{}?name=another", self.cmek) } else { self.cmek.clone() })
            .replace("{user_id}", "a2f7dddb-1597-4eff-9f71-535fde243f58")
            .replace("{invite_id}", &own.invite)
            .replace("{private_endpoint_id}", "a2f7dddb-1597-4eff-9f71-535fde243f58")
            .replace("{role_binding_id}", &own.role_binding);
        let name = json!({"name": format!("new-{n}")});
        let body = match (row.method.as_str(), row.path.as_str()) {
            ("PATCH", "/admin/organizations/{organization_id}") => json!({"name": "Acme"}),
            ("PATCH", "/admin/projects/{project_id}") => json!({"max_pods": 1}),
            ("POST", "/admin/invites") => invite(&format!("new-{n}@example.com")),
            ("POST", "/admin/role-bindings") => grant(&own.grantee, &self.project, "ProjectViewer"),
            ("POST", "/pinyon/v1/cmeks") => {
                json!({"project_id": self.project, "name": "new", "key_arn": key(2), "role_arn": ROLE, "external_id": EXTERNAL_ID})
            }
            ("POST", "/pinyon/v1/cmeks/{cmek_id}/replace") => json!({"key_arn": key(2), "role_arn": ROLE, "external_id": EXTERNAL_ID}),
            ("POST", "/pinyon/v1/password") => json!({"old_password": "old", "password": "a longer one"}),
            ("POST", "/pinyon/v1/api-keys/{api_key_id}/rotate") => json!({"overlap_seconds": 60}),
            ("POST", "/pinyon/v1/projects/{project_id}/private-endpoints") => {
                json!({"provider": "aws", "endpoint_id": format!("vpce-{n}"), "region": "us-east-1"})
            }
            ("DELETE", "/pinyon/v1/projects/{project_id}/private-endpoints/{private_endpoint_id}") => json!({"confirm": "vpce-0"}),
            ("PUT", "/pinyon/v1/projects/{project_id}/access") => json!({"private_only": false}),
            ("PUT", _) => json!({"role_arn": "arn:aws:iam::123456789012:role/audit", "bucket": "logs", "enabled": false}),
            ("POST" | "PATCH", _) => name,
            _ => json!({}),
        };
        caller.api("2026-07").send(&row.method, &format!("{}{path}", server.url()), body.to_string()).await.status
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
