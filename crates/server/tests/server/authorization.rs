//! The matrix: every operation, asked by everybody, held to a table that was typed by hand.

use std::collections::BTreeSet;

use pinyon_wire::{ROUTES, proto};
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};

use crate::{
    kit::{Api, Home, Server, grpc, index_spec, record, token_request},
    matrix::{self, Row},
};

const TABLE: &str = include_str!("../fixtures/authorization.txt");
const CALLERS: [&str; 10] = ["none", "bad", "revoked", "Edit", "View", "CpEdit", "CpView", "DpEdit", "DpView", "other"];

fn rows() -> Vec<Row> {
    matrix::read(TABLE, &CALLERS)
}

#[test]
fn the_table_has_every_operation_and_no_other() {
    let table: Vec<(String, String)> = rows().into_iter().map(|r| (r.method, r.path)).collect();
    let typed: BTreeSet<(String, String)> = table.iter().cloned().collect();
    assert_eq!(typed.len(), table.len(), "a row is there twice");
    let rest = ROUTES.iter().flat_map(|r| r.methods.iter().map(|m| ((*m).to_owned(), r.path.to_owned())));
    let grpc = ROUTES.iter().filter_map(|r| r.grpc).map(|m| ("grpc".to_owned(), m.to_owned()));
    let served: BTreeSet<(String, String)> = rest.chain(grpc).collect();
    assert_eq!(typed, served);
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let home = Home::new();
    let server = home.serve(&[]);
    let keys = keys(&home);
    let owner = keys[3].clone().unwrap();
    prepare(&server, &owner).await;
    let token_request = token_request(&home.service_account("asker", &[]));
    let mut differences = Vec::new();
    let mut cells = 0;
    for row in rows() {
        for (i, caller) in CALLERS.into_iter().enumerate() {
            let found = match row.method.as_str() {
                "grpc" => ask_grpc(&server, keys[i].as_deref(), &row.path, caller).await,
                "POST" if row.path == "/oauth/token" => ask_token(&server, keys[i].as_deref(), &token_request).await,
                _ => ask_rest(&server, keys[i].as_deref(), &row, caller).await,
            };
            cells += 1;
            if found != row.expected[i] {
                differences.push(format!("{} {} as {caller}: {found}, not {}", row.method, row.path, row.expected[i]));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {cells} cells differ:\n{}", differences.len(), differences.join("\n"));
    println!("{cells} cells, 0 differences");
}

#[tokio::test]
async fn an_installation_may_allow_inference_to_those_who_only_read() {
    let home = Home::new();
    let server = home.serve(&["--viewers-infer"]);
    let ask = async |role: &str| Api::new(&home.key(role)).post(&format!("{}/embed", server.url()), json!({})).await.status;
    assert_eq!((ask("DataPlaneViewer").await, ask("ProjectViewer").await, ask("DataPlaneEditor").await), (501, 501, 501));
}

/// The key of each caller, in the order of the columns.
fn keys(home: &Home) -> [Option<String>; 10] {
    home.run(&["project", "create", "other"]);
    let role = |name: &str| Some(home.key(name));
    let revoked = home.run(&["key", "create", "--name", "revoked"]);
    let list = home.run(&["key", "list"]);
    let id = list.lines().find(|l| l.split_whitespace().nth(1) == Some("revoked")).and_then(|l| l.split_whitespace().next()).unwrap();
    home.run(&["key", "revoke", id]);
    [
        None,
        Some("not-a-key".to_owned()),
        Some(revoked),
        role("ProjectEditor"),
        role("ProjectViewer"),
        role("ControlPlaneEditor"),
        role("ControlPlaneViewer"),
        role("DataPlaneEditor"),
        role("DataPlaneViewer"),
        Some(home.run(&["key", "create", "--project", "other", "--role", "ProjectEditor"])),
    ]
}

/// What the requests are about: an index, and for each caller something of its own to delete.
async fn prepare(server: &Server, owner: &str) {
    let api = Api::new(owner);
    api.create_index(server, "main").await;
    assert_eq!(api.post(&format!("{}/vectors/upsert", server.index_url(1)), json!({"vectors": [record("x")]})).await.status, 200);
    for caller in CALLERS {
        let caller = caller.to_lowercase();
        api.create_index(server, &format!("doomed-{caller}")).await;
        for namespace in [format!("doomed-{caller}"), format!("doomed-grpc-{caller}")] {
            assert_eq!(api.post(&format!("{}/namespaces", server.index_url(1)), json!({"name": namespace})).await.status, 200);
        }
    }
}

/// The token endpoint looks at what is in the body alone.
async fn ask_token(server: &Server, key: Option<&str>, request: &Value) -> u16 {
    let api = key.map_or_else(Api::bare, Api::new);
    api.post(&format!("{}/oauth/token", server.url()), request.clone()).await.status
}

async fn ask_rest(server: &Server, key: Option<&str>, row: &Row, caller: &str) -> u16 {
    let caller = caller.to_lowercase();
    let own = if row.method == "DELETE" { format!("doomed-{caller}") } else { "main".to_owned() };
    let namespace = if row.method == "DELETE" { own.clone() } else { "__default__".to_owned() };
    let path = row.path.replace("{index_name}", &own).replace("{namespace}", &namespace).replace(['{', '}'], "");
    let data_plane = ["/query", "/vectors", "/describe_index_stats", "/namespaces", "/records", "/bulk"];
    let host = if data_plane.iter().any(|p| path.starts_with(p)) { server.index_url(1) } else { server.url() };
    let (query, body) = request(&row.method, &row.path, &caller);
    let api = Api::bare().with("X-Pinecone-Api-Version", "2025-10");
    let api = match key {
        Some(key) => api.with("Api-Key", key),
        None => api,
    };
    api.send(&row.method, &format!("{host}{path}{query}"), body.map(|b| b.to_string()).unwrap_or_default()).await.status
}

/// The query string and body with which an operation succeeds.
fn request(method: &str, path: &str, caller: &str) -> (&'static str, Option<Value>) {
    match (method, path) {
        ("POST", "/indexes") => ("", Some(index_spec(&format!("new-{caller}")))),
        ("PATCH", "/indexes/{index_name}") => ("", Some(json!({"tags": {"by": caller}}))),
        ("POST", "/query" | "/pinyon/v1/indexes/{index_name}/explain") => ("", Some(json!({"vector": [1, 0, 0], "topK": 1}))),
        ("GET", "/vectors/fetch") => ("?ids=x", None),
        ("POST", "/vectors/fetch_by_metadata") => ("", Some(json!({"filter": {"kind": "a"}}))),
        ("POST", "/describe_index_stats") => ("", Some(json!({}))),
        ("POST", "/namespaces") => ("", Some(json!({"name": format!("made-{caller}")}))),
        ("POST", "/vectors/upsert") => ("", Some(json!({"vectors": [record("x")]}))),
        ("POST", "/vectors/update") => ("", Some(json!({"id": "x", "setMetadata": {"by": caller}}))),
        ("POST", "/vectors/delete") => ("", Some(json!({"ids": ["y"]}))),
        ("DELETE", "/vectors/delete") => ("?ids=y", None),
        ("POST", "/pinyon/v1/invites/accept") => ("", Some(json!({"token": "no invite's"}))),
        ("POST", "/pinyon/v1/login") => ("", Some(json!({"email": format!("{caller}@example.com"), "password": "nobody's"}))),
        ("GET" | "DELETE", _) => ("", None),
        _ => ("", Some(json!({}))),
    }
}

async fn ask_grpc(server: &Server, key: Option<&str>, method: &str, caller: &str) -> u16 {
    let port = server.port + 1;
    let caller = caller.to_lowercase();
    let filter = || Some(Struct { fields: [("kind".to_owned(), ProtoValue { kind: Some(Kind::StringValue("a".into())) })].into() });
    let vector = || proto::Vector { id: "x".into(), values: vec![1.0, 2.0, 3.0], ..Default::default() };
    macro_rules! ask {
        ($answer:ty, $message:expr) => {
            grpc::<_, $answer>(port, key, method, $message).await.map(drop)
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
            ask!(proto::NamespaceDescription, proto::CreateNamespaceRequest { name: format!("made-grpc-{caller}"), ..Default::default() })
        }
        "DeleteNamespace" => {
            ask!(proto::DeleteResponse, proto::DeleteNamespaceRequest { namespace: format!("doomed-grpc-{caller}") })
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
