//! Bodies as the official clients send them and answers as they read them, for every operation, in JSON and in protobuf.

use std::collections::BTreeSet;

use pinyon_model::{
    Condition, DeleteSelector, DenseVector, Dimension, ErrorCode, Filter, Match, Metadata, MetadataSchema, MetadataValue, Metric,
    NamespaceDescription, NamespaceName, QueryTarget, Record, RecordId, Scalar, SparseVector, UpdateTarget, Usage, VectorShape,
};
use prost_types::{Struct, Value, value::Kind};

use super::*;
use crate::{ApiVersion, NamespaceRef, proto};

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn genre(value: &str) -> Metadata {
    Metadata::new([("genre".to_owned(), MetadataValue::String(value.to_owned()))].into()).unwrap()
}

fn genre_struct(value: &str) -> Struct {
    Struct { fields: [("genre".to_owned(), Value { kind: Some(Kind::StringValue(value.to_owned())) })].into() }
}

fn genre_is(value: &str) -> Filter {
    Filter::Field("genre".to_owned(), Condition::Eq(Scalar::String(value.to_owned())))
}

fn namespace(text: &str) -> NamespaceRef {
    NamespaceRef::new(Some(text)).unwrap()
}

fn usage(read_units: u32) -> Usage {
    Usage { read_units, write_units: 0 }
}

fn hybrid() -> Record {
    Record {
        id: id("a"),
        dense: Some(DenseVector::new(vec![0.1, -2.0]).unwrap()),
        sparse: Some(SparseVector::new(vec![3, 4_294_967_295], vec![0.5, 1.0]).unwrap()),
        metadata: genre("drama"),
    }
}

fn refused<T: std::fmt::Debug>(result: pinyon_model::Result<T>, code: ErrorCode, told: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code, code, "{}", error.message);
    assert!(error.message.contains(told), "{} does not hold {told}", error.message);
}

fn invalid<T: std::fmt::Debug>(result: pinyon_model::Result<T>, told: &str) {
    refused(result, ErrorCode::InvalidArgument, told);
}

mod upsert {
    use super::*;

    #[test]
    fn both_forms_read_the_same() {
        let body = br#"{"vectors":[
            {"id":"a","values":[0.1,-2],"sparseValues":{"indices":[4294967295,3],"values":[1,0.5]},"metadata":{"genre":"drama"},"new key":[1]},
            {"id":"b","values":[],"sparse_values":{"indices":[1],"values":[1.0]},"metadata":null},
            {"id":"c","values":[1.0],"sparseValues":null},
            {"id":"d","values":[1.0],"sparseValues":{"indices":[],"values":[]}}],"namespace":null,"unknown":{"deep":[{}]}}"#;
        let from_json = UpsertRequest::from_json(body).unwrap();
        assert_eq!(from_json.namespace.as_spelled(), "");
        assert_eq!(from_json.records[0], hybrid());
        let message = proto::UpsertRequest {
            vectors: from_json.records.iter().cloned().map(vector::record_message).collect(),
            namespace: String::new(),
        };
        assert_eq!(UpsertRequest::from_proto(message).unwrap(), from_json);
        assert_eq!(from_json.records[1].dense, None);
        assert_eq!(from_json.records[3].sparse, None);
        assert_eq!(UpsertResponse { upserted_count: 2 }.to_json(), br#"{"upsertedCount":2}"#);
        assert_eq!(UpsertResponse { upserted_count: 2 }.into_proto().upserted_count, 2);
    }

    #[test]
    fn bodies_that_are_not_right() {
        let one = |vector: &str| UpsertRequest::from_json(format!("{{\"vectors\":[{vector}]}}").as_bytes());
        invalid(UpsertRequest::from_json(b""), "1 to 1000 vectors, but got 0");
        invalid(UpsertRequest::from_json(b"{}"), "1 to 1000 vectors, but got 0");
        invalid(UpsertRequest::from_json(b"[]"), "expected a JSON object");
        invalid(UpsertRequest::from_json(b"[[],\"n\"]"), "expected a JSON object");
        invalid(one(r#"["a",[1]]"#), "expected a JSON object");
        invalid(one(r#"{"id":"a","sparseValues":[[1],[1]]}"#), "expected a JSON object");
        invalid(UpsertRequest::from_json(b"{\"vectors\":[]} x"), "trailing characters");
        invalid(UpsertRequest::from_json(b"{\"vectors\":{}}"), "expected a list");
        invalid(UpsertRequest::from_json(b"{\"vectors\":[],\"vectors\":[]}"), "duplicate field");
        invalid(UpsertRequest::from_json(b"{\"vectors\":[{\"id\":\"\xff\"}]}"), "not valid");
        invalid(UpsertRequest::from_json("[".repeat(100_000).as_bytes()), "not valid");
        invalid(one(r#"{"values":[1]}"#), "vectors[0]: Vector ID must not be empty");
        invalid(one(r#"{"id":"a"}"#), "neither values nor sparse values");
        invalid(one(r#"{"id":1,"values":[1]}"#), "invalid type");
        invalid(one(r#"{"id":"a","values":["1"]}"#), "invalid type");
        invalid(one(r#"{"id":"a","values":[null]}"#), "invalid type");
        invalid(one(r#"{"id":"a","values":[NaN]}"#), "not valid");
        invalid(one(r#"{"id":"a","values":[Infinity]}"#), "not valid");
        invalid(one(r#"{"id":"a","values":[1e400]}"#), "out of range");
        invalid(one(r#"{"id":"a","values":[1,1e39]}"#), "number out of range");
        invalid(one(r#"{"id":"a","sparseValues":{"indices":[-1],"values":[1]}}"#), "invalid value");
        invalid(one(r#"{"id":"a","sparseValues":{"indices":[4294967296],"values":[1]}}"#), "invalid value");
        invalid(one(r#"{"id":"a","sparseValues":{"indices":[1],"values":[]}}"#), "equally many");
        invalid(one(r#"{"id":"a","values":[1],"metadata":{"x":null}}"#), "got 'null' for field 'x'");
        invalid(one(r#"{"id":"a","values":[1],"metadata":[]}"#), "must be an object");
        let nan = proto::Vector { id: "a".into(), values: vec![f32::NAN], ..Default::default() };
        invalid(UpsertRequest::from_proto(proto::UpsertRequest { vectors: vec![nan], namespace: "".into() }), "Vector value 0 is NaN");
    }

    #[test]
    fn how_many_and_how_large() {
        let vectors = |n: usize, dimension: usize| proto::UpsertRequest {
            vectors: (0..n).map(|i| proto::Vector { id: format!("{i:04}"), values: vec![1.0; dimension], ..Default::default() }).collect(),
            namespace: String::new(),
        };
        assert_eq!(UpsertRequest::from_proto(vectors(1_000, 1)).unwrap().records.len(), 1_000);
        invalid(UpsertRequest::from_proto(vectors(1_001, 1)), "1 to 1000 vectors, but got 1001");
        let bodies = |n: usize| format!("{{\"vectors\":[{}]}}", vec![r#"{"id":"a","values":[1]}"#; n].join(","));
        assert_eq!(UpsertRequest::from_json(bodies(1_000).as_bytes()).unwrap().records.len(), 1_000);
        invalid(UpsertRequest::from_json(bodies(1_001).as_bytes()), "1 to 1000 vectors, but got 1001");
        // 1000 ids of 4 bytes; 2 MiB less that is 523.2 values each.
        assert!(UpsertRequest::from_proto(vectors(1_000, 523)).is_ok());
        refused(UpsertRequest::from_proto(vectors(1_000, 524)), ErrorCode::PayloadTooLarge, "2100000 bytes");
        refused(UpsertRequest::from_proto(vectors(1_000, 524)), ErrorCode::PayloadTooLarge, "at most 2097152 bytes");
    }
}

mod query {
    use super::*;

    #[test]
    fn both_forms_read_the_same() {
        let body = br#"{"topK":10,"vector":[0.1,-2],"sparseVector":{"indices":[3],"values":[0.5]},"namespace":"__default__",
            "filter":{"genre":"drama"},"includeValues":true,"includeMetadata":false,"scanFactor":2,"maxCandidates":100,"id":null,"queries":[]}"#;
        let from_json = QueryRequest::from_json(body).unwrap();
        let message = proto::QueryRequest {
            namespace: "__default__".into(),
            top_k: 10,
            filter: Some(genre_struct("drama")),
            include_values: true,
            vector: vec![0.1, -2.0],
            sparse_vector: Some(proto::SparseValues { indices: vec![3], values: vec![0.5] }),
            scan_factor: Some(2.0),
            max_candidates: Some(100),
            ..Default::default()
        };
        assert_eq!(QueryRequest::from_proto(message).unwrap(), from_json);
        assert_eq!(from_json.namespace.as_spelled(), "__default__");
        assert_eq!(from_json.query.filter, Some(genre_is("drama")));
        assert!(from_json.query.include_values && !from_json.query.include_metadata);
        let by_id = QueryRequest::from_json(br#"{"top_k":"3","id":"a","vector":[],"filter":{},"include_metadata":true}"#).unwrap().query;
        assert_eq!((by_id.target, by_id.top_k.get(), by_id.filter), (QueryTarget::Id(id("a")), 3, None));
        assert!(by_id.include_metadata);
        assert_eq!(QueryRequest::from_json(br#"{"topK":3.0,"id":"a"}"#).unwrap().query.top_k.get(), 3);
    }

    #[test]
    fn what_excludes_what() {
        let read = |json: &str| QueryRequest::from_json(json.as_bytes());
        invalid(read(r#"{"topK":1,"id":"a","vector":[1]}"#), "Cannot provide both 'ID' and 'vector' at the same time");
        invalid(read(r#"{"topK":1,"id":"a","sparseVector":{"indices":[1],"values":[1]}}"#), "Cannot provide both 'ID' and 'sparseVector'");
        invalid(read(r#"{"topK":1}"#), "needs one of 'vector', 'sparseVector' and 'id'");
        invalid(read(r#"{"vector":[1]}"#), "top_k is 0");
        invalid(read(r#"{"vector":[1],"topK":10001}"#), "between 1 and 10000");
        invalid(read(r#"{"vector":[1],"topK":-1}"#), "expected a whole number");
        invalid(read(r#"{"vector":[1],"topK":1.5}"#), "expected a whole number");
        invalid(read(r#"{"vector":[1],"topK":1,"scanFactor":9}"#), "scan_factor");
        invalid(read(r#"{"vector":[1],"topK":1,"maxCandidates":0}"#), "max_candidates");
        invalid(read(r#"{"vector":[1],"topK":1,"filter":{"$x":1}}"#), "'$x' is not a valid filter operator");
        invalid(read(r#"{"vector":[1],"topK":1,"namespace":"é"}"#), "must be ASCII");
        refused(read(r#"{"topK":1,"queries":[{"values":[1]}]}"#), ErrorCode::Unimplemented, "'queries' is deprecated");
        assert!(read(r#"{"vector":[0,0],"topK":1}"#).is_ok(), "clients search with zero vectors");
    }

    #[test]
    fn answers() {
        let bare = Match { id: id("b"), score: 1.0, dense: None, sparse: None, metadata: None };
        let Record { id, dense, sparse, metadata } = hybrid();
        let full = Match { id, score: 0.1, dense, sparse, metadata: Some(metadata) };
        let response = QueryResponse { namespace: namespace("ns"), matches: vec![full, bare.clone()], usage: usage(5) };
        assert_eq!(
            text(response.to_json()),
            concat!(
                r#"{"results":[],"matches":[{"id":"a","score":0.1,"values":[0.1,-2.0],"sparseValues":{"indices":[3,4294967295],"values":[0.5,1.0]},"#,
                r#""metadata":{"genre":"drama"}},{"id":"b","score":1.0,"values":[]}],"namespace":"ns","usage":{"readUnits":5}}"#
            )
        );
        let message = response.into_proto();
        assert_eq!((message.matches.len(), message.namespace.as_str(), message.usage.unwrap().read_units), (2, "ns", Some(5)));
        assert_eq!((message.matches[0].score, message.matches[0].values.as_slice()), (0.1, &[0.1, -2.0][..]));
        assert_eq!(message.matches[0].metadata, Some(genre_struct("drama")));
        assert_eq!((message.matches[1].values.len(), &message.matches[1].metadata), (0, &None));
        let beyond = Match { score: f32::NEG_INFINITY, ..bare };
        let json = text(QueryResponse { namespace: namespace(""), matches: vec![beyond], usage: usage(1) }.to_json());
        assert!(json.contains(r#""score":-3.4028235e+38"#), "{json}");
    }
}

mod fetch {
    use super::*;

    #[test]
    fn ids_repeat_in_the_query_string() {
        let request = FetchRequest::from_query("ids=a&ids=b%2Fc&ids=d+e&namespace=my%20ns").unwrap();
        assert_eq!((request.namespace.as_spelled(), request.ids), ("my ns", vec![id("a"), id("b/c"), id("d e")]));
        let message = proto::FetchRequest { ids: vec!["a".into()], namespace: String::new() };
        assert_eq!(FetchRequest::from_proto(message).unwrap(), FetchRequest::from_query("ids=a").unwrap());
        invalid(FetchRequest::from_query("namespace=a"), "1 to 1000 ids, but got 0");
        invalid(FetchRequest::from_query("ids="), "must not be empty");
        invalid(FetchRequest::from_query("ids=%F0"), "percent-encoded");
        assert_eq!(FetchRequest::from_query(&"ids=a&".repeat(1_000)).unwrap().ids.len(), 1_000);
        invalid(FetchRequest::from_query(&"ids=a&".repeat(1_001)), "but got 1001");
    }

    #[test]
    fn by_metadata() {
        let request = FetchByMetadataRequest::from_json(br#"{"filter":{"genre":"drama"},"namespace":"n","limit":null}"#).unwrap();
        assert_eq!((request.page.limit, request.page.after.clone(), request.filter.clone()), (100, None, genre_is("drama")));
        let token = request.page.next_token(Some("a")).unwrap();
        let next = |filter: &str, ns: &str| {
            let body = format!(r#"{{"filter":{filter},"namespace":"{ns}","limit":10000,"paginationToken":"{token}"}}"#);
            FetchByMetadataRequest::from_json(body.as_bytes())
        };
        assert_eq!(next(r#"{"genre":"drama"}"#, "n").unwrap().page.after, Some(id("a")));
        invalid(next(r#"{"genre":"comedy"}"#, "n"), "pagination token");
        invalid(next(r#"{"genre":"drama"}"#, "m"), "pagination token");
        let message = proto::FetchByMetadataRequest {
            namespace: "n".into(),
            filter: Some(genre_struct("drama")),
            limit: 0,
            pagination_token: token.clone(),
        };
        let from_proto = FetchByMetadataRequest::from_proto(message).unwrap();
        assert_eq!((from_proto.page.limit, from_proto.page.after), (100, Some(id("a"))));
        invalid(FetchByMetadataRequest::from_json(b"{}"), "Empty filter provided for fetch by metadata request");
        invalid(FetchByMetadataRequest::from_json(br#"{"filter":{}}"#), "Empty filter provided for fetch by metadata request");
        invalid(FetchByMetadataRequest::from_json(br#"{"filter":{"a":1},"limit":10001}"#), "between 1 and 10000");
        invalid(FetchByMetadataRequest::from_json(br#"{"filter":{"a":1},"limit":0}"#), "between 1 and 10000");
    }

    #[test]
    fn answers() {
        let sparse_only = Record { id: id("s\""), dense: None, sparse: hybrid().sparse, metadata: Metadata::default() };
        let response = FetchResponse { namespace: namespace(""), records: vec![hybrid(), sparse_only], next: None, usage: usage(1) };
        assert_eq!(
            text(response.to_json()),
            concat!(
                r#"{"vectors":{"a":{"id":"a","values":[0.1,-2.0],"sparseValues":{"indices":[3,4294967295],"values":[0.5,1.0]},"metadata":{"genre":"drama"}},"#,
                r#""s\"":{"id":"s\"","values":[],"sparseValues":{"indices":[3,4294967295],"values":[0.5,1.0]}}},"namespace":"","usage":{"readUnits":1}}"#
            )
        );
        assert_eq!(response.clone().into_proto().vectors["a"], vector::record_message(hybrid()));
        let page = FetchResponse { next: Some("token".into()), ..response };
        assert!(text(page.to_json()).ends_with(r#""pagination":{"next":"token"}}"#));
        let message = page.into_proto_by_metadata();
        assert_eq!((message.vectors.len(), message.pagination.unwrap().next.as_str()), (2, "token"));
    }
}

mod list {
    use super::*;

    #[test]
    fn pages() {
        let request = ListRequest::from_query("prefix=doc%23&limit=2&namespace=n").unwrap();
        assert_eq!((request.prefix.as_str(), request.page.limit, request.page.after.clone()), ("doc#", 2, None));
        let token = request.page.next_token(Some("doc#2")).unwrap();
        let again = ListRequest::from_query(&format!("prefix=doc%23&namespace=n&paginationToken={token}")).unwrap();
        assert_eq!((again.page.limit, again.page.after), (100, Some(id("doc#2"))));
        invalid(ListRequest::from_query(&format!("prefix=other&namespace=n&paginationToken={token}")), "pagination token");
        let message =
            proto::ListRequest { prefix: Some("doc#".into()), limit: None, pagination_token: Some(token.clone()), namespace: "n".into() };
        assert_eq!(ListRequest::from_proto(message).unwrap().page.after, Some(id("doc#2")));
        invalid(ListRequest::from_query("limit=101"), "between 1 and 100");
        invalid(ListRequest::from_query("limit=x"), "whole number");
        invalid(ListRequest::from_query("paginationToken=zz"), "pagination token");
        let response = ListResponse { namespace: namespace("n"), ids: vec![id("doc#1")], next: Some(token), usage: usage(1) };
        assert!(text(response.to_json()).starts_with(r#"{"vectors":[{"id":"doc#1"}],"pagination":{"next":""#));
        let last = ListResponse { next: None, ..response };
        assert_eq!(text(last.to_json()), r#"{"vectors":[{"id":"doc#1"}],"namespace":"n","usage":{"readUnits":1}}"#);
        assert_eq!((last.clone().into_proto().vectors[0].id.as_str(), last.into_proto().pagination), ("doc#1", None));
    }
}

mod update {
    use super::*;

    #[test]
    fn both_forms_read_the_same() {
        let body = br#"{"id":"a","values":[1],"sparseValues":{"indices":[1],"values":[2]},"setMetadata":{"genre":"drama"},"namespace":"","filter":null}"#;
        let from_json = UpdateRequest::from_json(body).unwrap();
        assert_eq!(from_json.update.target, UpdateTarget::Id(id("a")));
        let message = proto::UpdateRequest {
            id: "a".into(),
            values: vec![1.0],
            set_metadata: Some(genre_struct("drama")),
            sparse_values: Some(proto::SparseValues { indices: vec![1], values: vec![2.0] }),
            ..Default::default()
        };
        assert_eq!(UpdateRequest::from_proto(message).unwrap(), from_json);
        let by_filter = UpdateRequest::from_json(br#"{"filter":{"genre":"drama"},"setMetadata":{"genre":"x"},"dryRun":true}"#).unwrap();
        assert_eq!(by_filter.update.target, UpdateTarget::Filter { filter: genre_is("drama"), dry_run: true });
        let message = proto::UpdateRequest {
            filter: Some(genre_struct("drama")),
            set_metadata: Some(genre_struct("x")),
            dry_run: true,
            ..Default::default()
        };
        assert_eq!(UpdateRequest::from_proto(message).unwrap(), by_filter);
    }

    #[test]
    fn what_excludes_what() {
        let read = |json: &str| UpdateRequest::from_json(json.as_bytes());
        invalid(read("{}"), "needs an 'id' or a 'filter'");
        invalid(read(r#"{"id":"a","filter":{"f":1}}"#), "both 'id' and 'filter'");
        invalid(read(r#"{"filter":{},"setMetadata":{"f":1}}"#), "Update with empty metadata filter is not allowed");
        invalid(read(r#"{"filter":{"f":1},"values":[1]}"#), "metadata only");
        invalid(read(r#"{"filter":{"f":1}}"#), "needs the metadata to set");
        invalid(read(r#"{"id":"a","dryRun":true}"#), "dryRun");
        assert!(read(r#"{"filter":{"f":1},"dryRun":true}"#).is_ok());
    }

    #[test]
    fn answers() {
        assert_eq!(UpdateResponse::default().to_json(), b"{}");
        assert_eq!(UpdateResponse { matched_records: Some(3) }.to_json(), br#"{"matchedRecords":3}"#);
        assert_eq!(UpdateResponse { matched_records: Some(u64::MAX) }.into_proto().matched_records, Some(i32::MAX));
        assert_eq!(UpdateResponse::default().into_proto().matched_records, None);
    }
}

mod delete {
    use super::*;

    #[test]
    fn three_forms() {
        let ids = DeleteSelector::Ids(vec![id("a"), id("b")]);
        assert_eq!(
            DeleteRequest::from_json(br#"{"ids":["a","b"],"namespace":"n","deleteAll":false,"filter":null}"#).unwrap().selector,
            ids
        );
        assert_eq!(DeleteRequest::from_query("ids=a&ids=b&deleteAll=false").unwrap().selector, ids);
        let message = proto::DeleteRequest { ids: vec!["a".into(), "b".into()], namespace: "n".into(), ..Default::default() };
        assert_eq!(DeleteRequest::from_proto(message).unwrap().selector, ids);
        assert_eq!(DeleteRequest::from_json(br#"{"deleteAll":true,"namespace":""}"#).unwrap().selector, DeleteSelector::All);
        assert_eq!(DeleteRequest::from_query("deleteAll=true&namespace=n").unwrap().namespace.as_spelled(), "n");
        let message = proto::DeleteRequest { filter: Some(genre_struct("drama")), ..Default::default() };
        assert_eq!(DeleteRequest::from_proto(message).unwrap().selector, DeleteSelector::Filter(genre_is("drama")));
        let beside = DeleteRequest::from_json(br#"{"ids":["a"],"filter":{"genre":"drama"}}"#).unwrap();
        assert_eq!(beside.selector, DeleteSelector::Filter(genre_is("drama")), "ids beside a filter are ignored");
        assert_eq!(DeleteResponse.to_json(), b"{}");
    }

    #[test]
    fn what_excludes_what() {
        let read = |json: &str| DeleteRequest::from_json(json.as_bytes());
        invalid(read("{}"), "needs 'ids', 'deleteAll' or a 'filter'");
        invalid(read(r#"{"deleteAll":true,"ids":["a"]}"#), "No explicit IDs allowed when delete_all=true");
        invalid(read(r#"{"deleteAll":true,"filter":{"f":1}}"#), "No filter allowed");
        invalid(read(r#"{"filter":{}}"#), "Delete with empty metadata filter is not allowed");
        invalid(read(r#"{"ids":[""]}"#), "must not be empty");
        let ids = |n: usize| format!("{{\"ids\":[{}]}}", vec!["\"a\""; n].join(","));
        assert!(read(&ids(1_000)).is_ok());
        invalid(read(&ids(1_001)), "1 to 1000 ids, but got 1001");
        invalid(DeleteRequest::from_query("deleteAll=maybe"), "true or false");
    }
}

mod stats {
    use super::*;

    fn response(shape: VectorShape) -> DescribeIndexStatsResponse {
        let namespaces = [(NamespaceName::default(), 3), (NamespaceName::new("a").unwrap(), 4)].into();
        DescribeIndexStatsResponse { namespaces, total: 7, shape }
    }

    const SPARSE: VectorShape = VectorShape { dense: None, sparse: true };

    #[test]
    fn a_filter_is_refused() {
        for good in [&b""[..], b"{}", br#"{"filter":{}}"#, br#"{"filter":null}"#] {
            assert!(DescribeIndexStatsRequest::from_json(good).is_ok());
        }
        invalid(DescribeIndexStatsRequest::from_json(br#"{"filter":{"f":1}}"#), "cannot be filtered");
        let message = proto::DescribeIndexStatsRequest { filter: Some(genre_struct("x")) };
        invalid(DescribeIndexStatsRequest::from_proto(message), "cannot be filtered");
    }

    #[test]
    fn answers_by_date() {
        let dense = VectorShape { dense: Some((Dimension::new(8).unwrap(), Metric::Cosine)), sparse: false };
        assert_eq!(
            text(response(dense).to_json(ApiVersion::V2024_07)),
            r#"{"namespaces":{"":{"vectorCount":3},"a":{"vectorCount":4}},"dimension":8,"indexFullness":0.0,"totalVectorCount":7}"#
        );
        assert_eq!(
            text(response(SPARSE).to_json(ApiVersion::V2025_04)),
            r#"{"namespaces":{"":{"vectorCount":3},"a":{"vectorCount":4}},"indexFullness":0.0,"totalVectorCount":7,"metric":"dotproduct","vectorType":"sparse"}"#
        );
        let new = text(response(dense).to_json(ApiVersion::V2025_10));
        assert!(new.starts_with(r#"{"namespaces":{"__default__":{"vectorCount":3},"a""#), "{new}");
        assert!(new.ends_with(r#""memoryFullness":0.0,"memory_fullness":0.0,"storageFullness":0.0,"storage_fullness":0.0}"#), "{new}");
        let message = response(SPARSE).into_proto(ApiVersion::V2024_10);
        assert_eq!((message.namespaces[""].vector_count, message.dimension, message.total_vector_count), (3, None, 7));
        assert!(response(dense).into_proto(ApiVersion::V2026_07).namespaces.contains_key("__default__"));
    }
}

mod namespaces {
    use super::*;

    fn description() -> NamespaceDescription {
        NamespaceDescription {
            name: NamespaceName::new("a b").unwrap(),
            record_count: u64::MAX,
            size_bytes: 12,
            schema: Some(MetadataSchema::new(BTreeSet::from(["genre".to_owned()])).unwrap()),
            indexed_fields: BTreeSet::from(["genre".to_owned()]),
        }
    }

    #[test]
    fn create() {
        let with_schema =
            CreateNamespaceRequest::from_json(br#"{"name":"a b","schema":{"fields":{"genre":{"filterable":true}}}}"#).unwrap();
        assert_eq!((with_schema.name.as_str(), &with_schema.schema), ("a b", &description().schema));
        let fields = [("genre".to_owned(), proto::MetadataFieldProperties { filterable: true })].into();
        let message = proto::CreateNamespaceRequest { name: "a b".into(), schema: Some(proto::MetadataSchema { fields }) };
        assert_eq!(CreateNamespaceRequest::from_proto(message).unwrap(), with_schema);
        assert_eq!(CreateNamespaceRequest::from_json(br#"{"name":"n","schema":null}"#).unwrap().schema, None);
        for default in ["{}", r#"{"name":""}"#, r#"{"name":"__default__"}"#] {
            invalid(CreateNamespaceRequest::from_json(default.as_bytes()), "default namespace");
        }
        invalid(
            CreateNamespaceRequest::from_json(br#"{"name":"n","schema":{"fields":{"g":{"filterable":false}}}}"#),
            "\"filterable\": true",
        );
        invalid(CreateNamespaceRequest::from_json(br#"{"name":"n","schema":{"fields":{"$g":{"filterable":true}}}}"#), "'$g' is not valid");
    }

    #[test]
    fn answers_by_date() {
        assert_eq!(
            text(NamespaceResponse(description()).to_json(ApiVersion::V2026_07)),
            concat!(
                r#"{"name":"a b","record_count":"18446744073709551615","size_bytes":"12","schema":{"fields":{"genre":{"filterable":true}}},"#,
                r#""indexed_fields":{"fields":["genre"]}}"#
            )
        );
        assert!(!text(NamespaceResponse(description()).to_json(ApiVersion::V2026_04)).contains("size_bytes"));
        let message = NamespaceResponse(description()).into_proto();
        assert_eq!((message.name.as_str(), message.record_count, message.size_bytes), ("a b", u64::MAX, 12));
        assert!(message.schema.unwrap().fields["genre"].filterable);
        assert_eq!(message.indexed_fields.unwrap().fields, ["genre"]);
    }

    #[test]
    fn list() {
        let request = ListNamespacesRequest::from_query("limit=1&prefix=a").unwrap();
        let token = request.page.next_token(Some("a b")).unwrap();
        let again = ListNamespacesRequest::from_query(&format!("prefix=a&paginationToken={token}")).unwrap();
        assert_eq!(again.page.after.as_ref().map(NamespaceName::as_str), Some("a b"));
        let message = proto::ListNamespacesRequest { pagination_token: Some(token), limit: Some(0), prefix: Some("a".into()) };
        assert_eq!(ListNamespacesRequest::from_proto(message).unwrap(), again);
        invalid(ListNamespacesRequest::from_query("limit=0"), "between 1 and 100");
        let bare = NamespaceDescription { schema: None, indexed_fields: BTreeSet::new(), record_count: 0, ..description() };
        let response = ListNamespacesResponse { namespaces: vec![bare], next: None, total: 1 };
        assert_eq!(text(response.to_json(ApiVersion::V2025_10)), r#"{"namespaces":[{"name":"a b","record_count":"0"}],"total_count":1}"#);
        assert_eq!((response.clone().into_proto().total_count, response.into_proto().pagination), (1, None));
    }
}
