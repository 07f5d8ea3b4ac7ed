//! No bytes make a parser panic; what is printed reads back the same, to the last bit.

use std::collections::BTreeMap;

use pinyon_model::{Condition, DenseVector, Filter, Metadata, MetadataValue, Record, RecordId, Scalar, SparseVector, Usage};
use proptest::{collection::vec, prelude::*};
use prost::Message;

use crate::{
    NamespaceRef,
    data::{FetchResponse, UpsertRequest},
    filter,
    fuzz::ENTRIES,
    json::Node,
    match_path, metadata, proto,
};

/// Bodies that are right, to be damaged.
const BODIES: [&str; 15] = [
    r#"{"vectors":[{"id":"a","values":[0.1,-2e-3],"sparseValues":{"indices":[1,7],"values":[1,0.5]},"metadata":{"g":["x"],"n":1.5,"b":true}}],"namespace":"n"}"#,
    r#"{"topK":10,"vector":[0.1,1e10],"filter":{"$or":[{"a":{"$in":["x",1]}},{"b":{"$not":{"$gt":1}}}]},"includeValues":true,"scanFactor":1.5}"#,
    r#"{"id":"a","setMetadata":{"k":"v"},"values":[1,2],"filter":{"a":{"$exists":true}},"dryRun":false,"ids":["a"],"deleteAll":true}"#,
    r#"{"name":"a","dimension":3,"metric":"cosine","spec":{"serverless":{"cloud":"aws","region":"us-east-1","schema":{"fields":{"g":{"filterable":true}}}}}}"#,
    r#"{"schema":{"fields":{"_values":{"type":"dense_vector","dimension":3,"metric":"cosine"}}},"deployment":{"deployment_type":"managed","cloud":"aws","region":"r"}}"#,
    r#"{"deployment":{"replicas":2},"read_capacity":{"mode":"Dedicated","dedicated":{"node_type":"t1","scaling":"Manual","manual":{"shards":1}}},"tags":{"a":""}}"#,
    "/namespaces/it%20docs%2Fxx?ids=a&limit=10&paginationToken=00ff&prefix=%41+b",
    "2026-01.alpha",
    r#"{"name":"k","roles":["ProjectEditor","DataPlaneViewer"],"max_pods":3,"force_encryption_with_cmek":false}"#,
    r#"{"name":"a","email":"a@b.c","role_bindings":[{"resource_type":"organization","role":"OrgMember"},{"resource_type":"project","resource_id":"a2f7dddb-1597-4eff-9f71-535fde243f58","role":"ProjectViewer"}]}"#,
    r#"{"client_id":"a","client_secret":"s","grant_type":"client_credentials","audience":"https://api.pinecone.io/"}"#,
    "client_id=a&client_secret=s%2b&grant_type=client_credentials&audience=https%3A%2F%2Fapi.pinecone.io%2F",
    "principal_type=user&principal_id=a2f7dddb-1597-4eff-9f71-535fde243f58&resource_type=project&role=OrgOwner&email=a%40b.c&limit=7",
    r#"{"name":"nightly","description":"all of it","source":"a","tags":{"k":"v"},"deletion_protection":"enabled","read_capacity":{"mode":"OnDemand"}}"#,
    r#"{"name":"nightly","schedule":{"type":"time-based","frequency":"daily"},"retention":{"expire_after_days":7},"frequency":"weekly","enabled":true}"#,
];

fn damaged_body() -> impl Strategy<Value = Vec<u8>> {
    let cut = (0..BODIES.len(), vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..6));
    cut.prop_map(|(body, cuts)| {
        let mut bytes = BODIES[body].as_bytes().to_vec();
        for (at, byte, what) in cuts {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => {
                    bytes.remove(at);
                }
                _ => {}
            }
        }
        bytes
    })
}

fn finite() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |f| f.is_finite())
}

fn finite_double() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), any::<i32>().prop_map(f64::from)].prop_filter("finite", |f| f.is_finite())
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let value = prop_oneof![
        ".{0,8}".prop_map(MetadataValue::String),
        finite_double().prop_map(MetadataValue::Number),
        any::<bool>().prop_map(MetadataValue::Bool),
        vec(".{0,4}", 0..3).prop_map(MetadataValue::StringList),
    ];
    prop::collection::btree_map("[^$].{0,5}", value, 0..5).prop_map(|fields| Metadata::new(fields).expect("small and finite"))
}

fn record() -> impl Strategy<Value = Record> {
    let sparse = prop::collection::btree_map(any::<u32>(), finite(), 1..5)
        .prop_map(|pairs| SparseVector::new(pairs.keys().copied().collect(), pairs.values().copied().collect()).expect("ascending"));
    let dense = vec(finite(), 1..9).prop_map(|values| DenseVector::new(values).expect("finite"));
    let parts = ("[ -~]{1,12}", proptest::option::of(dense), sparse, any::<bool>(), metadata());
    parts.prop_map(|(id, dense, sparse, both, metadata)| {
        let sparse = (both || dense.is_none()).then_some(sparse);
        Record { id: RecordId::new(id).expect("printable"), dense, sparse, metadata }
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let scalar =
        prop_oneof![".{0,6}".prop_map(Scalar::String), finite_double().prop_map(Scalar::Number), any::<bool>().prop_map(Scalar::Bool)];
    let condition = prop_oneof![
        scalar.clone().prop_map(Condition::Eq),
        scalar.clone().prop_map(Condition::Ne),
        finite_double().prop_map(Condition::Gt),
        finite_double().prop_map(Condition::Gte),
        finite_double().prop_map(Condition::Lt),
        finite_double().prop_map(Condition::Lte),
        vec(scalar.clone(), 0..3).prop_map(Condition::In),
        vec(scalar, 0..3).prop_map(Condition::Nin),
        any::<bool>().prop_map(Condition::Exists),
    ];
    let leaf = ("[^$].{0,5}", condition).prop_map(|(field, condition)| Filter::Field(field, condition));
    leaf.prop_recursive(4, 16, 3, |inner| {
        let negated = inner.clone().prop_filter("$not stands on a field", |f| matches!(f, Filter::Field(..)));
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Filter::And),
            vec(inner, 1..4).prop_map(Filter::Or),
            negated.prop_map(|f| Filter::Not(Box::new(f))),
        ]
    })
}

/// The plainest spelling of a filter.
fn spelled(filter: &Filter) -> serde_json::Value {
    use serde_json::json;
    let scalar = |s: &Scalar| match s {
        Scalar::String(s) => json!(s),
        Scalar::Number(n) => json!(n),
        Scalar::Bool(b) => json!(b),
    };
    let list = |l: &[Scalar]| l.iter().map(scalar).collect::<Vec<_>>();
    let operator = |condition: &Condition| match condition {
        Condition::Eq(s) => json!({ "$eq": scalar(s) }),
        Condition::Ne(s) => json!({ "$ne": scalar(s) }),
        Condition::Gt(n) => json!({ "$gt": n }),
        Condition::Gte(n) => json!({ "$gte": n }),
        Condition::Lt(n) => json!({ "$lt": n }),
        Condition::Lte(n) => json!({ "$lte": n }),
        Condition::In(l) => json!({ "$in": list(l) }),
        Condition::Nin(l) => json!({ "$nin": list(l) }),
        Condition::Exists(b) => json!({ "$exists": b }),
    };
    match filter {
        Filter::And(parts) => json!({ "$and": parts.iter().map(spelled).collect::<Vec<_>>() }),
        Filter::Or(parts) => json!({ "$or": parts.iter().map(spelled).collect::<Vec<_>>() }),
        Filter::Field(field, condition) => json!({ field: operator(condition) }),
        Filter::Not(part) => match &**part {
            Filter::Field(field, condition) => json!({ field: { "$not": operator(condition) } }),
            other => unreachable!("not generated: {other:?}"),
        },
    }
}

fn as_struct(value: &serde_json::Value) -> prost_types::Value {
    use prost_types::{ListValue, Struct, value::Kind};
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(b) => Kind::BoolValue(*b),
        serde_json::Value::Number(n) => Kind::NumberValue(n.as_f64().expect("a double")),
        serde_json::Value::String(s) => Kind::StringValue(s.clone()),
        serde_json::Value::Array(l) => Kind::ListValue(ListValue { values: l.iter().map(as_struct).collect() }),
        serde_json::Value::Object(o) => Kind::StructValue(Struct { fields: o.iter().map(|(k, v)| (k.clone(), as_struct(v))).collect() }),
    };
    prost_types::Value { kind: Some(kind) }
}

fn same_bits(a: &[Record], b: &[Record]) -> bool {
    let bits = |values: &[f32]| values.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
    let dense = |r: &Record| r.dense.as_ref().map(|d| bits(d.as_slice()));
    let sparse = |r: &Record| r.sparse.as_ref().map(|s| bits(s.values()));
    let numbers = |r: &Record| {
        let bit = |v: &MetadataValue| if let MetadataValue::Number(n) = v { Some(n.to_bits()) } else { None };
        r.metadata.fields().values().filter_map(bit).collect::<Vec<_>>()
    };
    a == b && a.iter().zip(b).all(|(a, b)| dense(a) == dense(b) && sparse(a) == sparse(b) && numbers(a) == numbers(b))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop_oneof![vec(any::<u8>(), 0..200), damaged_body()]) {
        for (_, entry) in ENTRIES {
            entry(&bytes);
        }
    }

    #[test]
    fn records_print_and_read_back(records in vec(record(), 1..5)) {
        let unique: BTreeMap<_, _> = records.into_iter().map(|r| (r.id.clone(), r)).collect();
        let records: Vec<Record> = unique.into_values().collect();
        let response = FetchResponse { namespace: NamespaceRef::default(), records: records.clone(), next: None, usage: Usage::default() };
        let answer: serde_json::Value = serde_json::from_slice(&response.to_json()).expect("JSON");
        let vectors: Vec<_> = answer["vectors"].as_object().expect("an object").values().collect();
        let body = serde_json::json!({ "vectors": vectors }).to_string();
        let read = UpsertRequest::from_json(body.as_bytes()).expect("readable").records;
        prop_assert!(same_bits(&read, &records), "{read:?} is not {records:?}");

        let message = response.into_proto();
        let message = proto::FetchResponse::decode(message.encode_to_vec().as_slice()).expect("decodable");
        let sorted: BTreeMap<_, _> = message.vectors.into_iter().collect();
        let request = proto::UpsertRequest { vectors: sorted.into_values().collect(), namespace: message.namespace };
        let read = UpsertRequest::from_proto(request).expect("readable").records;
        prop_assert!(same_bits(&read, &records), "{read:?} is not {records:?}");
    }

    #[test]
    fn every_float_survives_json(value in finite()) {
        let printed = serde_json::to_string(&value).expect("finite");
        let body = format!(r#"{{"vectors":[{{"id":"a","values":[{printed},{:e},{}]}}]}}"#, value, f64::from(value));
        let read = UpsertRequest::from_json(body.as_bytes()).expect("readable");
        for v in read.records[0].dense.as_ref().expect("dense").as_slice() {
            prop_assert_eq!(v.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn filters_read_the_same_from_json_and_protobuf(expected in filter()) {
        let spelled = spelled(&expected);
        let node: Node = serde_json::from_str(&spelled.to_string()).expect("JSON");
        prop_assert_eq!(filter::from_node(node).expect("valid"), expected.clone());
        let Some(prost_types::value::Kind::StructValue(message)) = as_struct(&spelled).kind else { panic!("a filter is an object") };
        prop_assert_eq!(filter::from_node(metadata::struct_node(message)).expect("valid"), expected);
    }

    #[test]
    fn pages_of_a_listing_follow_their_tokens(ms in any::<u64>(), id in any::<[u8; 16]>(), limit in 1u32..=100) {
        let first = crate::admin::list_invites(&format!("limit={limit}")).expect("a good query");
        let page = pinyon_model::Page { items: vec![], next: Some((ms, id)) };
        let body: serde_json::Value = serde_json::from_slice(&crate::admin::invite_page(&first, &page, 0)).expect("JSON");
        let token = body["pagination"]["next"].as_str().expect("there is more");
        let next = crate::admin::list_invites(&format!("paginationToken={token}")).expect("a good token");
        prop_assert_eq!(next.request().after, Some((ms, id)));
    }

    #[test]
    fn any_namespace_survives_a_path(name in "[ -~]{1,20}") {
        let encoded: String = name.bytes().map(|b| format!("%{b:02X}")).collect();
        let matched = match_path(pinyon_model::Plane::Data, "GET", &format!("/namespaces/{encoded}")).expect("decodable");
        let crate::Matched::Route(route, params) = matched else { panic!("{name} is not found") };
        prop_assert_eq!(route.operation, crate::Operation::DescribeNamespace);
        prop_assert_eq!(params.get("namespace"), name);
    }
}

#[test]
fn every_good_body_is_read_by_some_parser() {
    assert!(UpsertRequest::from_json(BODIES[0].as_bytes()).is_ok());
    assert!(crate::data::QueryRequest::from_json(BODIES[1].as_bytes()).is_ok());
    assert!(crate::control::create_index(crate::ApiVersion::V2025_10, BODIES[3].as_bytes()).is_ok());
    assert!(crate::control::create_index(crate::ApiVersion::V2026_07, BODIES[4].as_bytes()).is_ok());
    assert!(crate::control::configure_index(crate::ApiVersion::V2026_07, BODIES[5].as_bytes()).is_ok());
    assert!(crate::admin::create_api_key(BODIES[8].as_bytes()).is_ok() && crate::admin::create_project(BODIES[8].as_bytes()).is_ok());
    assert!(
        crate::admin::create_invite(BODIES[9].as_bytes()).is_ok() && crate::admin::create_service_account(BODIES[9].as_bytes()).is_ok()
    );
    assert!(BODIES[10..12].iter().all(|body| crate::oauth::TokenRequest::parse(None, body.as_bytes()).is_ok()));
    let backup = BODIES[13].as_bytes();
    assert!(crate::control::create_backup(crate::ApiVersion::V2026_07, backup).is_ok());
    assert!(crate::control::create_index_from_backup(backup).is_ok() && crate::control::create_collection(backup).is_ok());
    let schedule = BODIES[14].as_bytes();
    assert!(crate::control::create_backup_schedule(schedule).is_ok() && crate::control::update_backup_schedule(schedule).is_ok());
    assert!(crate::admin::list_role_bindings(BODIES[12]).is_ok() && crate::admin::list_users(BODIES[12]).is_ok());
}
