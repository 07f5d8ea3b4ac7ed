//! One entry for each parser, for fuzzing and property tests: each takes arbitrary bytes and must return. What parses is printed
//! again where a printer exists, and read back.

use pinyon_model::{Network, Plane, Usage};
use prost::Message;

use crate::{
    ApiVersion, NamespaceRef, admin, control,
    data::{
        CreateNamespaceRequest, DeleteRequest, DescribeIndexStatsRequest, FetchByMetadataRequest, FetchRequest, FetchResponse,
        ListNamespacesRequest, ListRequest, QueryRequest, UpdateRequest, UpsertRequest,
    },
    filter,
    json::Node,
    login::{LoginRequest, PasswordRequest},
    match_path, metadata,
    oauth::TokenRequest,
    parse_rfc3339, pinyon, proto, rfc3339,
};

/// The filter language, as JSON and as a protobuf struct.
pub fn filter(bytes: &[u8]) {
    if let Ok(node) = serde_json::from_slice::<Node>(bytes) {
        let _ = filter::from_node(node);
    }
    if let Ok(message) = prost_types::Struct::decode(bytes) {
        let _ = filter::from_node(metadata::struct_node(message));
    }
}

/// The body of an upsert. What was read is printed as a fetch's answer, which holds the same records.
pub fn upsert_json(bytes: &[u8]) {
    let Ok(request) = UpsertRequest::from_json(bytes) else { return };
    let records = request.records.clone();
    let answer = FetchResponse { namespace: request.namespace, records, next: None, usage: Usage::default() }.to_json();
    let again: serde_json::Value = serde_json::from_slice(&answer).expect("a printed answer is JSON");
    for record in &request.records {
        assert!(again["vectors"].get(record.id.as_str()).is_some(), "a record was lost in printing");
    }
    let vectors: Vec<&serde_json::Value> = again["vectors"].as_object().into_iter().flat_map(|v| v.values()).collect();
    let body = serde_json::json!({ "vectors": vectors }).to_string();
    let read = UpsertRequest::from_json(body.as_bytes()).expect("a printed record can be read");
    let last = |r: &pinyon_model::Record| request.records.iter().rev().find(|o| o.id == r.id).cloned();
    assert!(read.records.iter().all(|r| last(r).as_ref() == Some(r)), "a record changed in printing");
}

/// The body of a query.
pub fn query_json(bytes: &[u8]) {
    let _ = QueryRequest::from_json(bytes);
}

/// The body of a fetch by metadata.
pub fn fetch_by_metadata_json(bytes: &[u8]) {
    let _ = FetchByMetadataRequest::from_json(bytes);
}

/// The body of an update.
pub fn update_json(bytes: &[u8]) {
    let _ = UpdateRequest::from_json(bytes);
}

/// The body of a delete.
pub fn delete_json(bytes: &[u8]) {
    let _ = DeleteRequest::from_json(bytes);
}

/// The body of a question for counts.
pub fn describe_index_stats_json(bytes: &[u8]) {
    let _ = DescribeIndexStatsRequest::from_json(bytes);
}

/// The body that creates a namespace.
pub fn create_namespace_json(bytes: &[u8]) {
    let _ = CreateNamespaceRequest::from_json(bytes);
}

/// The body that creates an index, in both families of dates.
pub fn create_index_json(bytes: &[u8]) {
    let _ = control::create_index(ApiVersion::V2026_04, bytes);
    let _ = control::create_index(ApiVersion::V2026_07, bytes);
}

/// The body that configures an index, in both families of dates.
pub fn configure_index_json(bytes: &[u8]) {
    let _ = control::configure_index(ApiVersion::V2026_04, bytes);
    let _ = control::configure_index(ApiVersion::V2026_07, bytes);
}

/// The bodies that make backups, indexes from them, schedules and collections, and the query strings of their lists.
pub fn backup_json(bytes: &[u8]) {
    let _ = control::create_backup(ApiVersion::V2025_04, bytes);
    let _ = control::create_backup(ApiVersion::V2026_07, bytes);
    let _ = control::create_index_from_backup(bytes);
    let _ = control::create_backup_schedule(bytes);
    let _ = control::update_backup_schedule(bytes);
    let _ = control::create_collection(bytes);
    if let Ok(query) = std::str::from_utf8(bytes) {
        let _ = control::list_backups(query);
        let _ = control::list_index_backups("a", query);
        let _ = control::list_restore_jobs(query);
        let _ = control::list_backup_schedules("a", query);
        let _ = control::list_backup_schedule_history("a", query);
    }
}

/// Each body of the admin plane.
pub fn admin_json(bytes: &[u8]) {
    let _ = admin::put_audit_sink(bytes);
    let _ = pinyon::create_private_endpoint(bytes);
    let _ = pinyon::delete_private_endpoint(bytes);
    if let Ok(access) = pinyon::put_project_access(bytes) {
        let again = pinyon::put_project_access(&pinyon::project_access_model(&access));
        assert_eq!(again, Ok(access), "printed access reads back");
    }
    let _ = admin::create_project(bytes);
    let _ = admin::update_project(bytes);
    let _ = admin::update_organization(bytes);
    let _ = admin::create_api_key(bytes);
    let _ = admin::update_api_key(bytes);
    let _ = admin::update_service_account(bytes);
    let _ = admin::create_role_binding(bytes);
    let _ = admin::accept_invite(bytes);
    let _ = LoginRequest::from_json(bytes);
    let _ = PasswordRequest::from_json(bytes);
    if let Ok(new) = pinyon::create_bounded_key(bytes) {
        assert!(!new.roles.is_empty() && new.restrictions.networks().len() <= 100, "a key without a role, or more than is allowed");
    }
    let _ = pinyon::update_bounded_key(bytes);
    if let Ok(overlap_ms) = pinyon::rotate_key(bytes) {
        assert!(overlap_ms <= 86_400_000, "more than a day");
    }
    if let Ok(new) = admin::create_service_account(bytes) {
        assert!(new.grants.len() <= 100, "more roles than are allowed");
    }
    if let Ok(new) = admin::create_invite(bytes) {
        assert!((1..=100).contains(&new.grants.len()), "as many roles as are allowed");
    }
}

/// The body of a request for a token, as JSON, as a form, and as whatever it looks like.
pub fn token_request(bytes: &[u8]) {
    for content_type in [Some("application/json"), Some("application/x-www-form-urlencoded"), None] {
        match TokenRequest::parse(content_type, bytes) {
            Ok(request) => assert!(!request.client_id.is_empty() && !request.client_secret.reveal().is_empty(), "an empty credential"),
            Err(refusal) => assert!(refusal.render().status >= 400, "a refusal that is none"),
        }
    }
}

/// Paths, query strings with their page tokens, the date header, networks and moments.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for plane in [Plane::Control, Plane::Data, Plane::Admin] {
        let _ = match_path(plane, "GET", text);
        let _ = match_path(plane, "POST", text);
    }
    let _ = ApiVersion::from_header(Some(text));
    let _ = NamespaceRef::new(Some(text));
    let _ = FetchRequest::from_query(text);
    let _ = DeleteRequest::from_query(text);
    let _ = ListRequest::from_query(text);
    let _ = ListNamespacesRequest::from_query(text);
    let _ = admin::list_service_accounts(text);
    let _ = admin::list_users(text);
    let _ = admin::list_invites(text);
    let _ = admin::list_role_bindings(text);
    let _ = pinyon::permissions_query("user", "00000000-0000-0000-0000-000000000000", text);
    if let Some(ms) = parse_rfc3339(text) {
        assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms), "a moment reads back");
    }
    if let Ok(network) = Network::parse(text) {
        assert_eq!(Network::parse(&network.to_string()), Ok(network), "a network reads back");
    }
}

/// The twelve messages of the gRPC service.
pub fn grpc(bytes: &[u8]) {
    let _ = proto::UpsertRequest::decode(bytes).map(UpsertRequest::from_proto);
    let _ = proto::QueryRequest::decode(bytes).map(QueryRequest::from_proto);
    let _ = proto::FetchRequest::decode(bytes).map(FetchRequest::from_proto);
    let _ = proto::FetchByMetadataRequest::decode(bytes).map(FetchByMetadataRequest::from_proto);
    let _ = proto::ListRequest::decode(bytes).map(ListRequest::from_proto);
    let _ = proto::UpdateRequest::decode(bytes).map(UpdateRequest::from_proto);
    let _ = proto::DeleteRequest::decode(bytes).map(DeleteRequest::from_proto);
    let _ = proto::DescribeIndexStatsRequest::decode(bytes).map(DescribeIndexStatsRequest::from_proto);
    let _ = proto::CreateNamespaceRequest::decode(bytes).map(CreateNamespaceRequest::from_proto);
    let _ = proto::ListNamespacesRequest::decode(bytes).map(ListNamespacesRequest::from_proto);
    let _ = proto::DescribeNamespaceRequest::decode(bytes).map(|m| NamespaceRef::new(Some(&m.namespace)));
    let _ = proto::DeleteNamespaceRequest::decode(bytes).map(|m| NamespaceRef::new(Some(&m.namespace)));
}

/// A parser's name and its entry.
pub type Entry = (&'static str, fn(&[u8]));

/// Every entry.
pub const ENTRIES: [Entry; 15] = [
    ("filter", filter),
    ("upsert_json", upsert_json),
    ("query_json", query_json),
    ("fetch_by_metadata_json", fetch_by_metadata_json),
    ("update_json", update_json),
    ("delete_json", delete_json),
    ("describe_index_stats_json", describe_index_stats_json),
    ("create_namespace_json", create_namespace_json),
    ("create_index_json", create_index_json),
    ("configure_index_json", configure_index_json),
    ("backup_json", backup_json),
    ("admin_json", admin_json),
    ("token_request", token_request),
    ("text", text),
    ("grpc", grpc),
];
