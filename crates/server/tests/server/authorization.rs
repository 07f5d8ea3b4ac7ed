//! The matrix: every operation, asked by everybody, held to a table that was not made by the code.

use std::collections::BTreeSet;

use pinyon_model::Plane;
use pinyon_wire::{ROUTES, proto};
use prost_types::{Struct, Value as ProtoValue, value::Kind as ProtoKind};
use serde_json::{Value, json};

use crate::{
    kit::{Api, Home, Server, grpc_as, index_spec, record, token_request},
    matrix::{Caller, KEY_ROLES, ROLES, Row, Table, foreign_owner, token_holders},
};

const CALLERS: [&str; 9] = ["none", "bad", "revoked", "expired", "network", "other", "foreign", "index", "names"];

fn table() -> Table {
    Table::read(include_str!("../fixtures/authorization.txt"), &CALLERS)
}

#[test]
fn the_table_has_every_operation_and_no_other() {
    let rows: Vec<(String, String)> = table().rows.into_iter().map(|r| (r.method, r.path)).collect();
    let typed: BTreeSet<(String, String)> = rows.iter().cloned().collect();
    assert_eq!(typed.len(), rows.len(), "a row is there twice");
    // The admin plane has a table of its own; what nobody needs a credential for is here.
    let ours = || ROUTES.iter().filter(|r| r.plane != Plane::Admin || r.permission.is_none());
    let rest = ours().flat_map(|r| r.methods.iter().map(|m| ((*m).to_owned(), r.path.to_owned())));
    let grpc = ours().filter_map(|r| r.grpc).map(|m| ("grpc".to_owned(), m.to_owned()));
    let served: BTreeSet<(String, String)> = rest.chain(grpc).collect();
    assert_eq!(typed, served);
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let home = Home::new();
    // More indexes are made than a test's ports are.
    let server = home.serve(&["--index-ports", &format!("{}-{}", INDEX_PORTS, INDEX_PORTS + 299)]);
    let callers = callers(&home, &server).await;
    let stage = Stage::prepare(&home, &server, callers.len()).await;
    let table = table();
    let mut differences = Vec::new();
    for row in &table.rows {
        for (n, caller) in callers.iter().enumerate() {
            let found = match row.method.as_str() {
                "grpc" => stage.ask_grpc(&row.path, caller, n).await,
                _ => stage.ask_rest(&server, row, caller, n).await,
            };
            let expected = table.expected(row, caller);
            if found != expected {
                differences.push(format!("{} {} as {caller}: {found}, not {expected}", row.method, row.path));
            }
        }
    }
    let cells = table.rows.len() * callers.len();
    assert!(differences.is_empty(), "{} of {cells} answers differ:\n{}", differences.len(), differences.join("\n"));
    println!("{cells} answers to {} callers, 0 differences", callers.len());
}

#[tokio::test]
async fn an_installation_may_allow_inference_to_those_who_only_read() {
    let home = Home::new();
    let server = home.serve(&["--viewers-infer"]);
    let ask = async |role: &str| Api::new(&home.key(role)).post(&format!("{}/embed", server.url()), json!({})).await.status;
    assert_eq!((ask("DataPlaneViewer").await, ask("ProjectViewer").await, ask("DataPlaneEditor").await), (501, 501, 501));
}

/// The first of the ports that indexes are served on.
const INDEX_PORTS: u16 = 12_000;

/// Everybody who asks.
async fn callers(home: &Home, server: &Server) -> Vec<Caller> {
    home.run(&["project", "create", "other"]);
    let projects = home.json(&["project", "list"]);
    let project =
        projects["projects"].as_array().unwrap().iter().find(|p| p["name"] == "default").unwrap()["id"].as_str().unwrap().to_owned();
    let key = |words: &[&str]| home.run(&[&["key", "create"][..], words].concat());
    let revoked = key(&["--name", "revoked"]);
    home.run(&["key", "revoke", &revoked]);
    let expired = key(&["--name", "expired", "--expires", "1s"]);
    let expires = std::time::Instant::now() + std::time::Duration::from_millis(1_100);
    let mut callers = vec![
        Caller::nobody("none"),
        Caller::key("bad", "not-a-key".to_owned()),
        Caller::key("revoked", revoked),
        Caller::key("expired", expired),
        Caller::key("network", key(&["--network", "203.0.113.0/24", "--network", "2001:db8::/32"])),
        Caller::key("other", key(&["--project", "other"])),
        Caller::key("index", key(&["--index", "elsewhere"])),
        Caller::key("names", key(&["--namespace", "elsewhere"])),
    ];
    callers.push(Caller::bearer("foreign", crate::matrix::Kind::ServiceAccount, &foreign_owner(home, server).await).in_project(&project));
    callers.extend(ROLES[ROLES.len() - KEY_ROLES..].iter().map(|(column, role)| Caller::key(column, home.key(role))));
    callers.extend(token_holders(home, server, &project).await);
    tokio::time::sleep(expires.saturating_duration_since(std::time::Instant::now())).await;
    callers
}

/// What the requests are about: an index, and for each caller something of its own to delete.
struct Stage {
    host: String,
    port: u16,
    token_request: Value,
    backup: String,
    schedule: String,
    restore_job: String,
    /// Of each caller, to delete.
    own: Vec<Own>,
}

struct Own {
    backup: String,
    schedule: String,
}

impl Stage {
    async fn prepare(home: &Home, server: &Server, callers: usize) -> Self {
        let key = home.key("ProjectEditor");
        let api = Api::new(&key);
        api.create_index(server, "main").await;
        let port = INDEX_PORTS;
        let host = format!("http://127.0.0.1:{port}");
        assert_eq!(api.post(&format!("{host}/vectors/upsert"), json!({"vectors": [record("x")]})).await.status, 200);
        for n in 0..callers {
            api.create_index(server, &format!("doomed-{n}")).await;
            api.create_index(server, &format!("scheduled-{n}")).await;
            for namespace in [format!("doomed-{n}"), format!("doomed-grpc-{n}")] {
                assert_eq!(api.post(&format!("{host}/namespaces"), json!({"name": namespace})).await.status, 200);
            }
        }
        let backups = Backups { api: Api::new(&key).with("X-Pinecone-Api-Version", "2026-07"), old: api, url: server.url() };
        let backup = backups.backup().await;
        let restored = json!({"name": "restored"});
        let restore_job = backups.made(&format!("/backups/{backup}/create-index"), restored, "restore_job_id").await;
        backups.pod_and_collections(callers).await;
        let mut own = Vec::new();
        for _ in 0..callers {
            own.push(Own { backup: backups.backup().await, schedule: backups.disabled_schedule().await });
        }
        let schedule = backups.disabled_schedule().await;
        let token_request = token_request(&home.service_account("asker", &[]));
        Self { host, port, token_request, backup, schedule, restore_job, own }
    }

    /// The path of a row, with the names and ids of what this caller asks for.
    fn path(&self, row: &Row, n: usize) -> String {
        let deletes = row.method == "DELETE";
        let index = match row.method.as_str() {
            "DELETE" => format!("doomed-{n}"),
            // An index has one schedule.
            "POST" if row.path.ends_with("/backup-schedules") => format!("scheduled-{n}"),
            _ => "main".to_owned(),
        };
        let namespace = if deletes { index.clone() } else { "__default__".to_owned() };
        let collection = if deletes { format!("doomed-{n}") } else { "main".to_owned() };
        let (backup, schedule) = if deletes { (&self.own[n].backup, &self.own[n].schedule) } else { (&self.backup, &self.schedule) };
        let names = [
            ("{index_name}", index.as_str()),
            ("{namespace}", &namespace),
            ("{collection_name}", &collection),
            ("{backup_id}", backup),
            ("{schedule_id}", schedule),
            ("{job_id}", &self.restore_job),
        ];
        let path = names.iter().fold(row.path.clone(), |path, (parameter, name)| path.replace(parameter, name));
        path.replace(['{', '}'], "")
    }

    async fn ask_rest(&self, server: &Server, row: &Row, caller: &Caller, n: usize) -> u16 {
        let path = self.path(row, n);
        let data_plane = ["/query", "/vectors", "/describe_index_stats", "/namespaces", "/records", "/bulk"];
        let host = if data_plane.iter().any(|p| path.starts_with(p)) { self.host.clone() } else { server.url() };
        let (query, body) =
            if path == "/oauth/token" { ("", Some(self.token_request.clone())) } else { request(&row.method, &row.path, n) };
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        caller.api("2025-10").send(&row.method, &format!("{host}{path}{query}"), body).await.status
    }

    async fn ask_grpc(&self, method: &str, caller: &Caller, n: usize) -> u16 {
        ask_grpc(self.port, method, caller, n).await
    }
}

/// Makes what the rows about backups are about.
struct Backups {
    api: Api,
    /// Of a date that makes pod indexes.
    old: Api,
    url: String,
}

impl Backups {
    async fn made(&self, path: &str, body: Value, id: &str) -> String {
        let reply = self.api.post(&format!("{}{path}", self.url), body).await;
        assert!((200..300).contains(&reply.status), "{path}: {reply:?}");
        reply.json()[id].as_str().unwrap().to_owned()
    }

    async fn until_ready(&self, path: &str) {
        for _ in 0..1_000 {
            if self.api.get(&format!("{}{path}", self.url)).await.json()["status"] == "Ready" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{path} did not become ready");
    }

    async fn backup(&self) -> String {
        let id = self.made("/indexes/main/backups", json!({}), "backup_id").await;
        self.until_ready(&format!("/backups/{id}")).await;
        id
    }

    async fn disabled_schedule(&self) -> String {
        let body = json!({"name": "n", "schedule": {"type": "time-based", "frequency": "daily"}, "retention": {"expire_after_days": 1}});
        let id = self.made("/indexes/main/backup-schedules", body, "schedule_id").await;
        let disabled = self.api.send("PATCH", &format!("{}/backup-schedules/{id}", self.url), json!({"enabled": false}).to_string()).await;
        assert_eq!(disabled.status, 200, "{disabled:?}");
        id
    }

    /// A pod index, and collections of it: one that stays, and one for each caller to delete.
    async fn pod_and_collections(&self, callers: usize) {
        let spec = json!({"name": "pods", "dimension": 3, "metric": "cosine", "spec": {"pod": {"environment": "e", "pod_type": "p1.x1"}}});
        let old = &self.old;
        assert_eq!(old.post(&format!("{}/indexes", self.url), spec).await.status, 201);
        for name in (0..callers).map(|n| format!("doomed-{n}")).chain(["main".to_owned()]) {
            self.made("/collections", json!({"name": name, "source": "pods"}), "name").await;
            self.until_ready(&format!("/collections/{name}")).await;
        }
    }
}

/// The query string and body with which an operation succeeds.
fn request(method: &str, path: &str, n: usize) -> (&'static str, Option<Value>) {
    match (method, path) {
        ("POST", "/indexes") => ("", Some(index_spec(&format!("new-{n}")))),
        ("PATCH", "/indexes/{index_name}") => ("", Some(json!({"tags": {"by": n.to_string()}}))),
        ("POST", "/query" | "/pinyon/v1/indexes/{index_name}/explain") => ("", Some(json!({"vector": [1, 0, 0], "topK": 1}))),
        ("GET", "/vectors/fetch") => ("?ids=x", None),
        ("POST", "/vectors/fetch_by_metadata") => ("", Some(json!({"filter": {"kind": "a"}}))),
        ("POST", "/describe_index_stats") => ("", Some(json!({}))),
        ("POST", "/namespaces") => ("", Some(json!({"name": format!("made-{n}")}))),
        ("POST", "/vectors/upsert") => ("", Some(json!({"vectors": [record("x")]}))),
        ("POST", "/vectors/update") => ("", Some(json!({"id": "x", "setMetadata": {"by": n}}))),
        ("POST", "/vectors/delete") => ("", Some(json!({"ids": ["y"]}))),
        ("DELETE", "/vectors/delete") => ("?ids=y", None),
        ("POST", "/backups/{backup_id}/create-index") => ("", Some(json!({"name": format!("restored-{n}")}))),
        ("POST", "/indexes/{index_name}/backup-schedules") => {
            let schedule = json!({"type": "time-based", "frequency": "daily"});
            ("", Some(json!({"name": "n", "schedule": schedule, "retention": {"expire_after_days": 1}})))
        }
        ("POST", "/collections") => ("", Some(json!({"name": format!("made-{n}"), "source": "pods"}))),
        ("POST", "/pinyon/v1/invites/accept") => ("", Some(json!({"token": "no invite's"}))),
        ("POST", "/pinyon/v1/login") => ("", Some(json!({"email": format!("nobody-{n}@example.com"), "password": "nobody's"}))),
        ("GET" | "DELETE", _) => ("", None),
        _ => ("", Some(json!({}))),
    }
}

async fn ask_grpc(port: u16, method: &str, caller: &Caller, n: usize) -> u16 {
    let filter = || Some(Struct { fields: [("kind".to_owned(), ProtoValue { kind: Some(ProtoKind::StringValue("a".into())) })].into() });
    let vector = || proto::Vector { id: "x".into(), values: vec![1.0, 2.0, 3.0], ..Default::default() };
    let credential = caller.credential.as_ref().map(|(header, value)| (*header, value.as_str()));
    macro_rules! ask {
        ($answer:ty, $message:expr) => {
            grpc_as::<_, $answer>(port, credential, method, $message).await.map(drop)
        };
    }
    let answered = match method {
        "Query" => ask!(proto::QueryResponse, proto::QueryRequest { vector: vec![1.0, 0.0, 0.0], top_k: 1, ..Default::default() }),
        "Fetch" => ask!(proto::FetchResponse, proto::FetchRequest { ids: vec!["x".into()], ..Default::default() }),
        "FetchByMetadata" => {
            ask!(proto::FetchByMetadataResponse, proto::FetchByMetadataRequest { filter: filter(), ..Default::default() })
        }
        "List" => ask!(proto::ListResponse, proto::ListRequest::default()),
        "DescribeIndexStats" => ask!(proto::DescribeIndexStatsResponse, proto::DescribeIndexStatsRequest::default()),
        "ListNamespaces" => ask!(proto::ListNamespacesResponse, proto::ListNamespacesRequest::default()),
        "DescribeNamespace" => ask!(proto::NamespaceDescription, proto::DescribeNamespaceRequest { namespace: String::new() }),
        "Upsert" => ask!(proto::UpsertResponse, proto::UpsertRequest { vectors: vec![vector()], ..Default::default() }),
        "Update" => ask!(proto::UpdateResponse, proto::UpdateRequest { id: "x".into(), values: vec![3.0, 2.0, 1.0], ..Default::default() }),
        "Delete" => ask!(proto::DeleteResponse, proto::DeleteRequest { ids: vec!["y".into()], ..Default::default() }),
        "CreateNamespace" => {
            ask!(proto::NamespaceDescription, proto::CreateNamespaceRequest { name: format!("made-grpc-{n}"), ..Default::default() })
        }
        "DeleteNamespace" => {
            ask!(proto::DeleteResponse, proto::DeleteNamespaceRequest { namespace: format!("doomed-grpc-{n}") })
        }
        other => panic!("{other} is not a method of gRPC"),
    };
    match answered {
        Ok(()) => 200,
        Err(status) => match status.code() {
            tonic::Code::Unauthenticated => 401,
            tonic::Code::PermissionDenied => 403,
            other => panic!("{method}: {other:?} {}", status.message()),
        },
    }
}
