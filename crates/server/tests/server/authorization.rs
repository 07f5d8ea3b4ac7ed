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
}

impl Stage {
    async fn prepare(home: &Home, server: &Server, callers: usize) -> Self {
        let api = Api::new(&home.key("ProjectEditor"));
        api.create_index(server, "main").await;
        let port = INDEX_PORTS;
        let host = format!("http://127.0.0.1:{port}");
        assert_eq!(api.post(&format!("{host}/vectors/upsert"), json!({"vectors": [record("x")]})).await.status, 200);
        for n in 0..callers {
            api.create_index(server, &format!("doomed-{n}")).await;
            for namespace in [format!("doomed-{n}"), format!("doomed-grpc-{n}")] {
                assert_eq!(api.post(&format!("{host}/namespaces"), json!({"name": namespace})).await.status, 200);
            }
        }
        Self { host, port, token_request: token_request(&home.service_account("asker", &[])) }
    }

    async fn ask_rest(&self, server: &Server, row: &Row, caller: &Caller, n: usize) -> u16 {
        let own = if row.method == "DELETE" { format!("doomed-{n}") } else { "main".to_owned() };
        let namespace = if row.method == "DELETE" { own.clone() } else { "__default__".to_owned() };
        let path = row.path.replace("{index_name}", &own).replace("{namespace}", &namespace).replace(['{', '}'], "");
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
