//! Bodies as the official clients of every date family send them, the refusals, and what each date is answered.

use std::collections::BTreeMap;

use pinyon_model::{
    CmekId, DedicatedCapacity, DeletionProtection, Deployment, Dimension, ErrorCode, Index, IndexId, IndexSchema, IndexState,
    MetadataSchema, Metric, ProjectId, ReadCapacity, ReadCapacityChange, SchemaField, Tags,
};

use super::*;

const SPEC: ApiVersion = ApiVersion::V2026_04;
const SCHEMA: ApiVersion = ApiVersion::V2026_07;

fn create(version: ApiVersion, body: &str) -> IndexSpec {
    create_index(version, body.as_bytes()).unwrap_or_else(|e| panic!("{body}: {e}"))
}

fn refused<T: std::fmt::Debug>(result: Result<T>, code: ErrorCode, told: &str) {
    let error = result.unwrap_err();
    assert!(error.code == code && error.message.contains(told), "{:?} {} is not {code:?} {told}", error.code, error.message);
}

fn dense(dimension: u32, metric: Metric) -> IndexSchema {
    IndexSchema::dense_index(Dimension::new(dimension).unwrap(), metric, None).unwrap()
}

fn dedicated(node_type: &str, shards: u32, replicas: u32) -> ReadCapacity {
    ReadCapacity::Dedicated(DedicatedCapacity { node_type: node_type.into(), shards, replicas })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn index(schema: IndexSchema, deployment: Deployment) -> Index {
    Index {
        id: IndexId::from_random([1; 16]),
        project_id: ProjectId::from_random([2; 16]),
        name: pinyon_model::IndexName::new("docs").unwrap(),
        schema,
        deployment,
        read_capacity: ReadCapacity::OnDemand,
        deletion_protection: DeletionProtection::Disabled,
        tags: Tags::default(),
        cmek_id: None,
        state: IndexState::Ready,
        port: None,
        source: None,
    }
}

fn aws() -> Deployment {
    Deployment::Managed { cloud: "aws".into(), region: "us-east-1".into() }
}

mod spec_create {
    use super::*;

    #[test]
    fn serverless() {
        let s = create(
            ApiVersion::V2024_07,
            r#"{"name":"a","dimension":8,"metric":"euclidean","deletion_protection":"enabled","spec":{"serverless":{"cloud":"gcp","region":"us-central1"}}}"#,
        );
        assert_eq!(s.name.unwrap().as_str(), "a");
        assert_eq!(s.schema, dense(8, Metric::Euclidean));
        assert_eq!(s.deployment, Deployment::Managed { cloud: "gcp".into(), region: "us-central1".into() });
        assert_eq!(s.deletion_protection, DeletionProtection::Enabled);
        let s = create(
            ApiVersion::V2025_10,
            r#"{"name":"a","dimension":3,"metric":"cosine","vector_type":"dense","deletion_protection":"disabled","tags":{"k":"v","gone":""},"spec":{"serverless":
            {"cloud":"aws","region":"us-east-1","schema":{"fields":{"genre":{"filterable":true}}},"source_collection":null,
             "read_capacity":{"mode":"Dedicated","dedicated":{"node_type":"t1","scaling":"Manual","manual":{"shards":2,"replicas":0}}}}}}"#,
        );
        assert_eq!(s.schema.metadata_schema(), Some(MetadataSchema::new(["genre".to_owned()].into()).unwrap()));
        assert_eq!(s.read_capacity, dedicated("t1", 2, 0));
        assert_eq!(s.tags.pairs(), &BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        let sparse =
            r#"{"name":"a","metric":"dotproduct","vector_type":"sparse","spec":{"serverless":{"cloud":"aws","region":"us-east-1"}}}"#;
        assert_eq!(create(SPEC, sparse).schema, IndexSchema::sparse_index(None).unwrap());
        let bare =
            r#"{"name":"a","dimension":3,"tags":null,"spec":{"serverless":{"cloud":"aws","region":"us-east-1"},"pod":null,"byoc":null}}"#;
        assert_eq!(create(ApiVersion::V2024_04, bare).schema, dense(3, Metric::Cosine));
    }

    #[test]
    fn pods_and_byoc() {
        let s = create(
            SPEC,
            r#"{"name":"a","dimension":3,"metric":"cosine","spec":{"pod":{"environment":"us-east1-gcp","pod_type":"p1.x2","replicas":2,"shards":3,"pods":6,
            "metadata_config":{"indexed":["genre"]},"source_collection":null}}}"#,
        );
        let pod = |pod_type: &str, replicas, shards, indexed| Deployment::Pod {
            environment: "us-east1-gcp".into(),
            pod_type: pod_type.into(),
            replicas,
            shards,
            indexed,
        };
        assert_eq!(s.deployment, pod("p1.x2", 2, 3, Some(vec!["genre".to_owned()])));
        let s = create(
            SPEC,
            r#"{"name":"a","dimension":3,"spec":{"pod":{"environment":"us-east1-gcp","pods":1,"replicas":2,"metadata_config":null}}}"#,
        );
        assert_eq!(s.deployment, pod("p1.x1", 2, 1, None));
        let s = create(ApiVersion::V2025_04, r#"{"name":"a","dimension":3,"spec":{"byoc":{"environment":"mine"}}}"#);
        assert_eq!((s.deployment, s.read_capacity), (Deployment::Byoc { environment: "mine".into() }, ReadCapacity::OnDemand));
    }

    #[test]
    fn refusals() {
        let serverless = |head: &str| {
            create_index(SPEC, format!(r#"{{{head},"spec":{{"serverless":{{"cloud":"aws","region":"us-east-1"}}}}}}"#).as_bytes())
        };
        let spec = |spec: &str| create_index(SPEC, format!(r#"{{"name":"a","dimension":3,"spec":{spec}}}"#).as_bytes());
        use ErrorCode::{InvalidArgument, NotFound, UnprocessableEntity};
        refused(create_index(SPEC, b"{"), InvalidArgument, "not valid JSON");
        refused(create_index(SPEC, "[".repeat(10_000).as_bytes()), UnprocessableEntity, "expected a JSON object");
        refused(create_index(SPEC, br#"{"dimension":3}"#), UnprocessableEntity, "missing field `name`");
        refused(create_index(SPEC, br#"{"name":"a","dimension":3}"#), UnprocessableEntity, "missing field `spec`");
        refused(serverless(r#""name":7"#), UnprocessableEntity, "invalid type");
        refused(serverless(r#""name":"Bad_Name","dimension":3"#), InvalidArgument, "alphanumeric character");
        refused(serverless(r#""name":"a""#), InvalidArgument, "dimension is required");
        refused(serverless(r#""name":"a","dimension":0"#), InvalidArgument, "Dimension is 0; it must be between 1 and 20000");
        refused(serverless(r#""name":"a","dimension":-1"#), InvalidArgument, "Dimension is -1; it must be between 1 and 20000");
        refused(serverless(r#""name":"a","dimension":20001"#), InvalidArgument, "between 1 and 20000");
        refused(serverless(r#""name":"a","dimension":3.5"#), UnprocessableEntity, "invalid type");
        refused(serverless(r#""name":"a","dimension":3,"metric":"manhattan""#), InvalidArgument, "cosine, euclidean and dotproduct");
        refused(serverless(r#""name":"a","dimension":3,"vector_type":"sparse""#), InvalidArgument, "not allowed for a sparse index");
        refused(serverless(r#""name":"a","vector_type":"sparse","metric":"cosine""#), InvalidArgument, "must use the dotproduct metric");
        refused(serverless(r#""name":"a","dimension":3,"vector_type":"fuzzy""#), InvalidArgument, "dense and sparse are allowed");
        refused(serverless(r#""name":"a","dimension":3,"deletion_protection":"maybe""#), InvalidArgument, "enabled and disabled");
        refused(serverless(r#""name":"a","dimension":3,"tags":{"a b":"c"}"#), InvalidArgument, "Tag key");
        refused(serverless(r#""name":"a","dimension":3,"tags":{"a":1}"#), UnprocessableEntity, "invalid type");
        refused(spec("{}"), InvalidArgument, "exactly one of 'serverless', 'pod' and 'byoc'");
        refused(spec("[]"), UnprocessableEntity, "expected a JSON object");
        let both = r#"{"serverless":{"cloud":"aws","region":"us-east-1"},"byoc":{"environment":"x"}}"#;
        refused(spec(both), InvalidArgument, "exactly one of");
        refused(spec(r#"{"serverless":{"cloud":"ibm","region":"mars"}}"#), NotFound, "Resource cloud: ibm region: mars not found.");
        refused(spec(r#"{"serverless":{"cloud":"aws"}}"#), UnprocessableEntity, "missing field `region`");
        let source = |s: &str| spec(s).unwrap().source_collection;
        let collection = r#"{"serverless":{"cloud":"aws","region":"us-east-1","source_collection":"No Name"}}"#;
        assert_eq!(source(collection).as_deref(), Some("No Name"), "what there is no collection of, the service says");
        assert_eq!(source(r#"{"pod":{"environment":"x","source_collection":"c"}}"#).as_deref(), Some("c"));
        assert_eq!(source(r#"{"pod":{"environment":"x","source_collection":""}}"#), None);
        refused(spec(r#"{"pod":{"environment":"x","pod_type":"q7"}}"#), InvalidArgument, "is not a pod type");
        refused(spec(r#"{"pod":{"environment":"x","replicas":0}}"#), InvalidArgument, "at least 1");
        refused(spec(r#"{"pod":{"environment":"x","shards":0}}"#), InvalidArgument, "at least 1");
        refused(spec(r#"{"pod":{"environment":"x","pods":5}}"#), InvalidArgument, "pods is 5");
        refused(spec(r#"{"pod":{"environment":""}}"#), InvalidArgument, "environment");
        let capacity = |c: &str| spec(&format!(r#"{{"serverless":{{"cloud":"aws","region":"us-east-1","read_capacity":{c}}}}}"#));
        refused(capacity(r#"{"mode":"Sometimes"}"#), InvalidArgument, "OnDemand and Dedicated");
        refused(capacity(r#"{"mode":"OnDemand","dedicated":{}}"#), InvalidArgument, "takes no 'dedicated'");
        refused(capacity(r#"{"mode":"Dedicated"}"#), InvalidArgument, "needs a node_type");
        refused(capacity(r#"{"mode":"Dedicated","dedicated":{"node_type":"z"}}"#), InvalidArgument, "b1 and t1");
        refused(capacity(r#"{"mode":"Dedicated","dedicated":{"node_type":"b1","scaling":"Manual"}}"#), InvalidArgument, "needs 'manual'");
        refused(capacity(r#"{"mode":"Dedicated","dedicated":{"node_type":"b1","scaling":"Auto"}}"#), InvalidArgument, "Manual is allowed");
        refused(capacity(r#"{"mode":"Dedicated","dedicated":{"node_type":"b1","manual":{"shards":1}}}"#), InvalidArgument, "needs scaling");
    }
}

mod spec_configure {
    use super::*;

    #[test]
    fn every_part() {
        let read = |body: &str| configure_index(SPEC, body.as_bytes());
        assert_eq!(read("{}").unwrap(), IndexChange::default());
        let change = read(r#"{"spec":{"pod":{"replicas":2,"pod_type":"p1.x4"}},"deletion_protection":"enabled","tags":{"a":""}}"#).unwrap();
        assert_eq!((change.replicas, change.pod_type.as_deref()), (Some(2), Some("p1.x4")));
        assert_eq!(change.deletion_protection, Some(DeletionProtection::Enabled));
        assert_eq!(change.tags, Some(BTreeMap::from([("a".to_owned(), String::new())])));
        let change = read(r#"{"spec":{"serverless":{"read_capacity":{"mode":"OnDemand"}}}}"#).unwrap();
        assert_eq!(change.read_capacity, Some(ReadCapacityChange::OnDemand));
        let change = read(r#"{"spec":{"byoc":{"read_capacity":{"mode":"Dedicated","dedicated":{"manual":{"replicas":3}}}}}}"#).unwrap();
        assert_eq!(change.read_capacity, Some(ReadCapacityChange::Dedicated { node_type: None, shards: None, replicas: Some(3) }));
        refused(read(r#"{"embed":{"model":"m"}}"#), ErrorCode::Unimplemented, "embed");
        refused(read(r#"{"spec":{"pod":{},"byoc":{}}}"#), ErrorCode::InvalidArgument, "one of");
        refused(read(r#"{"spec":{"pod":{"replicas":0}}}"#), ErrorCode::InvalidArgument, "at least 1");
        refused(read(r#"{"spec":{"pod":{"replicas":"2"}}}"#), ErrorCode::UnprocessableEntity, "invalid type");
        refused(read(r#"{"deletion_protection":"x"}"#), ErrorCode::InvalidArgument, "enabled and disabled");
    }
}

mod schema_create {
    use super::*;

    #[test]
    fn as_the_newest_clients_send_it() {
        let s = create(
            SCHEMA,
            r#"{"schema":{"fields":{"_values":{"type":"dense_vector","dimension":3,"metric":"cosine"}}},"name":"a","deployment":{"deployment_type":"managed","cloud":"aws","region":"us-east-1"}}"#,
        );
        assert_eq!((s.schema, s.deployment), (dense(3, Metric::Cosine), aws()));
        let s = create(
            SCHEMA,
            r#"{"schema":{"fields":{"_sparse_values":{"type":"sparse_vector"}}},"deletion_protection":"enabled","tags":null}"#,
        );
        assert_eq!((s.name, s.schema, s.deployment), (None, IndexSchema::sparse_index(None).unwrap(), aws()));
        let hybrid = r#"{"schema":{"fields":{"_values":{"type":"dense_vector","dimension":3,"metric":"dotproduct","description":"d"},"_sparse_values":{"type":"sparse_vector"}}}}"#;
        assert_eq!(create(SCHEMA, hybrid).schema.fields().len(), 2);
        let s = create(
            SCHEMA,
            r#"{"schema":{"fields":{"_values":{"type":"dense_vector","dimension":3,"metric":"cosine"}}},"deployment":{"deployment_type":"byoc","environment":"mine"},
            "read_capacity":{"mode":"Dedicated","dedicated":{"node_type":"b1","scaling":"Manual","manual":{"shards":1,"replicas":1}}}}"#,
        );
        assert_eq!((s.deployment, s.read_capacity), (Deployment::Byoc { environment: "mine".into() }, dedicated("b1", 1, 1)));
    }

    #[test]
    fn fields() {
        use ErrorCode::{InvalidArgument, Unimplemented, UnprocessableEntity};
        let fields = |fields: &str| create_index(SCHEMA, format!(r#"{{"schema":{{"fields":{{{fields}}}}}}}"#).as_bytes());
        let one = |name: &str, field: &str| fields(&format!(r#""{name}":{field}"#));
        let fts = r#"{"type":"string","full_text_search":{}}"#;
        refused(fields(""), InvalidArgument, "dense_vector, sparse_vector, and string");
        refused(one("n", r#"{"type":"integer"}"#), UnprocessableEntity, "unknown variant `integer`");
        refused(one("n", r#"{"filterable":true}"#), UnprocessableEntity, "missing field `type`");
        refused(one("_values", r#"{"type":"dense_vector","metric":"cosine"}"#), UnprocessableEntity, "missing field `dimension`");
        for kind in ["string", "string_list", "boolean", "float"] {
            refused(
                one("n", &format!(r#"{{"type":"{kind}","filterable":true}}"#)),
                InvalidArgument,
                &format!("of type {kind} is metadata"),
            );
        }
        refused(one("n", r#"{"type":"semantic_text","model":"m"}"#), InvalidArgument, "cannot be declared");
        refused(one("n", r#"{"type":"string","full_text_search":{},"filterable":false}"#), InvalidArgument, "cannot have 'filterable' too");
        refused(one("n", r#"{"type":"string","full_text_search":{},"store_text":false}"#), InvalidArgument, "store_text");
        refused(one("n", fts), Unimplemented, "document index");
        refused(one("n", r#"{"type":"string","embed":{"model":"m"},"store_text":false}"#), Unimplemented, "document index");
        refused(
            one("vector", r#"{"type":"dense_vector","dimension":3,"metric":"cosine"}"#),
            Unimplemented,
            "'vector' makes this a document index",
        );
        refused(one("$n", fts), InvalidArgument, "does not start with '$'");
        refused(one("_n", fts), InvalidArgument, "reserved");
        refused(one("_values", fts), InvalidArgument, "reserved for a dense_vector");
        refused(one("_sparse_values", fts), InvalidArgument, "reserved for a sparse_vector");
        refused(one("", fts), InvalidArgument, "1 to 64 bytes");
        refused(one(&"n".repeat(65), fts), InvalidArgument, "1 to 64 bytes");
        refused(one("_values", r#"{"type":"dense_vector","dimension":0,"metric":"cosine"}"#), InvalidArgument, "Dimension is 0");
        refused(one("_values", r#"{"type":"dense_vector","dimension":-4,"metric":"cosine"}"#), InvalidArgument, "Dimension is -4");
        refused(one("_values", r#"{"type":"dense_vector","dimension":3,"metric":"l1"}"#), InvalidArgument, "not a valid metric");
        refused(one("_sparse_values", r#"{"type":"sparse_vector","metric":"cosine"}"#), InvalidArgument, "dotproduct is allowed");
        let long = format!(r#"{{"type":"sparse_vector","description":"{}"}}"#, "d".repeat(257));
        refused(one("_sparse_values", &long), InvalidArgument, "at most 256");
        let dense = r#"{"type":"dense_vector","dimension":3,"metric":"cosine"}"#;
        refused(fields(&format!(r#""a":{dense},"b":{dense}"#)), InvalidArgument, "at most one dense");
        refused(fields(&format!(r#""_values":{dense},"text":{fts}"#)), InvalidArgument, "cannot stand beside");
        refused(
            fields(&format!(r#""_values":{dense},"_sparse_values":{{"type":"sparse_vector"}}"#)),
            InvalidArgument,
            "must use the dotproduct metric",
        );
        let many: Vec<String> = (0..101).map(|i| format!(r#""f{i}":{fts}"#)).collect();
        refused(fields(&many.join(",")), InvalidArgument, "at most 100 are allowed");
        refused(fields(&many[..100].join(",")), Unimplemented, "document index");
    }

    #[test]
    fn the_rest_of_the_body() {
        use ErrorCode::{InvalidArgument, NotFound, UnprocessableEntity};
        let with = |rest: &str| {
            let schema = r#""schema":{"fields":{"_values":{"type":"dense_vector","dimension":3,"metric":"cosine"}}}"#;
            create_index(SCHEMA, format!("{{{schema},{rest}}}").as_bytes())
        };
        refused(create_index(SCHEMA, b"{}"), UnprocessableEntity, "missing field `schema`");
        refused(with(r#""name":"A""#), InvalidArgument, "alphanumeric character");
        refused(
            with(r#""deployment":{"deployment_type":"pod","environment":"e","pod_type":"p1.x1","replicas":1,"shards":1}"#),
            InvalidArgument,
            "Pod indexes",
        );
        refused(with(r#""deployment":{"deployment_type":"lunar"}"#), UnprocessableEntity, "unknown variant `lunar`");
        refused(with(r#""deployment":{"deployment_type":"byoc","environment":"e"}"#), InvalidArgument, "mode Dedicated");
        refused(with(r#""deployment":{"deployment_type":"managed","cloud":"x","region":"y"}"#), NotFound, "Resource cloud: x region: y");
        refused(with(r#""cmek_id":"k""#), InvalidArgument, "'k' is not a valid id");
        let under = with(r#""cmek_id":"01010101-0101-0101-0101-010101010101""#).unwrap();
        assert_eq!(under.cmek_id, Some(CmekId::from_bytes([1; 16])));
        assert_eq!(with(r#""source_collection":"c""#).unwrap().source_collection.as_deref(), Some("c"));
        refused(with(r#""source_backup_id":"b""#), InvalidArgument, "POST /backups/{backup_id}/create-index");
        let text = br#"{"cmek_id":"k","schema":{"fields":{"t":{"type":"string","full_text_search":{}}}}}"#;
        refused(create_index(SCHEMA, text), InvalidArgument, "cannot be encrypted");
    }

    #[test]
    fn configure() {
        let read = |body: &str| configure_index(SCHEMA, body.as_bytes());
        let change = read(
            r#"{"deployment":{"replicas":2,"pod_type":"p2.x1"},"tags":{"a":"b"},"deletion_protection":"disabled",
            "read_capacity":{"mode":"Dedicated","dedicated":{"node_type":"t1","scaling":"Manual","manual":{"shards":1,"replicas":2}}}}"#,
        );
        let expected = ReadCapacityChange::Dedicated { node_type: Some("t1".into()), shards: Some(1), replicas: Some(2) };
        let change = change.unwrap();
        assert_eq!((change.replicas, change.pod_type.as_deref(), change.read_capacity), (Some(2), Some("p2.x1"), Some(expected)));
        assert_eq!(read("{}").unwrap(), IndexChange::default());
        refused(read(r#"{"schema":{"fields":{}}}"#), ErrorCode::InvalidArgument, "cannot be changed");
        refused(read(r#"{"deployment":{"deployment_type":"pod"}}"#), ErrorCode::InvalidArgument, "deployment_type cannot be changed");
    }
}

mod print {
    use super::*;

    #[test]
    fn each_date_adds_its_own() {
        let metadata = MetadataSchema::new(["genre".to_owned()].into()).unwrap();
        let schema = IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Cosine, Some(&metadata)).unwrap();
        let mut index = index(schema, aws());
        index.tags = Tags::new(BTreeMap::from([("k".to_owned(), "v".to_owned())])).unwrap();
        let id = index.id;
        let head = format!(
            r#"{{"id":"{id}","name":"docs","metric":"cosine","dimension":3,"status":{{"ready":true,"state":"Ready"}},"host":"h:1","#
        );
        assert_eq!(
            text(index_model(ApiVersion::V2024_07, &index, &"h:1".into())),
            format!(r#"{head}"spec":{{"serverless":{{"cloud":"aws","region":"us-east-1"}}}},"deletion_protection":"disabled"}}"#)
        );
        assert_eq!(
            text(index_model(ApiVersion::V2025_04, &index, &"h:1".into())),
            format!(
                r#"{head}"spec":{{"serverless":{{"cloud":"aws","region":"us-east-1"}}}},"deletion_protection":"disabled","vector_type":"dense","tags":{{"k":"v"}}}}"#
            )
        );
        assert_eq!(
            text(index_model(ApiVersion::V2025_10, &index, &"h:1".into())),
            format!(
                concat!(
                    r#"{}"spec":{{"serverless":{{"cloud":"aws","region":"us-east-1","read_capacity":{{"mode":"OnDemand","status":{{"state":"Ready"}}}},"#,
                    r#""schema":{{"fields":{{"genre":{{"filterable":true}}}}}}}}}},"deletion_protection":"disabled","vector_type":"dense","tags":{{"k":"v"}}}}"#
                ),
                head
            )
        );
        assert_eq!(
            text(index_model(SCHEMA, &index, &"h:1".into())),
            format!(
                concat!(
                    r#"{{"id":"{}","name":"docs","status":{{"ready":true,"state":"Ready"}},"host":"h:1","schema":{{"fields":{{"#,
                    r#""_values":{{"type":"dense_vector","dimension":3,"metric":"cosine"}},"genre":{{"filterable":true}}}}}},"#,
                    r#""deployment":{{"deployment_type":"managed","cloud":"aws","region":"us-east-1"}},"#,
                    r#""read_capacity":{{"mode":"OnDemand","status":{{"state":"Ready"}}}},"deletion_protection":"disabled","tags":{{"k":"v"}}}}"#
                ),
                id
            )
        );
    }

    #[test]
    fn other_kinds() {
        let sparse = index(IndexSchema::sparse_index(None).unwrap(), Deployment::Byoc { environment: "mine".into() });
        let printed = text(index_model(SPEC, &sparse, &"h".into()));
        assert!(printed.contains(r#""metric":"dotproduct","status""#), "no dimension: {printed}");
        assert!(printed.contains(r#""byoc":{"environment":"mine","read_capacity":{"mode":"OnDemand""#), "{printed}");
        assert!(printed.contains(r#""vector_type":"sparse""#) && !printed.contains("tags"), "{printed}");
        let printed = text(index_model(SCHEMA, &sparse, &"h".into()));
        assert!(printed.contains(r#""fields":{"_sparse_values":{"type":"sparse_vector"}}"#), "{printed}");
        assert!(printed.contains(r#""deployment":{"deployment_type":"byoc","environment":"mine"}"#), "{printed}");
        assert!(printed.ends_with(r#""tags":null}"#), "{printed}");

        let pod =
            Deployment::Pod { environment: "e".into(), pod_type: "p1.x1".into(), replicas: 2, shards: 3, indexed: Some(vec!["g".into()]) };
        let pod = index(dense(3, Metric::Cosine), pod);
        let printed = text(index_model(SPEC, &pod, &"h".into()));
        let expected =
            r#""spec":{"pod":{"environment":"e","pod_type":"p1.x1","replicas":2,"shards":3,"pods":6,"metadata_config":{"indexed":["g"]}}}"#;
        assert!(printed.contains(expected), "{printed}");
        let printed = text(index_model(SCHEMA, &pod, &"h".into()));
        assert!(printed.contains(r#"{"deployment_type":"pod","environment":"e","pod_type":"p1.x1","replicas":2,"shards":3}"#), "{printed}");
        assert!(!printed.contains("read_capacity"), "{printed}");

        let mut dedicated_index = index(dense(3, Metric::Cosine), aws());
        dedicated_index.read_capacity = dedicated("t1", 2, 1);
        dedicated_index.state = IndexState::Initializing;
        let printed = text(index_model(SCHEMA, &dedicated_index, &"h".into()));
        let expected = concat!(
            r#""read_capacity":{"mode":"Dedicated","dedicated":{"node_type":"t1","scaling":"Manual","manual":{"shards":2,"replicas":1}},"#,
            r#""status":{"state":"Ready","current_shards":2,"current_replicas":1}}"#
        );
        assert!(printed.contains(expected), "{printed}");
        assert!(printed.contains(r#""status":{"ready":false,"state":"Initializing"}"#), "{printed}");
    }

    #[test]
    fn lists() {
        assert_eq!(text(index_list(SPEC, [])), r#"{"indexes":[]}"#);
        let one = index(dense(3, Metric::Cosine), aws());
        for version in ApiVersion::ALL {
            let expected = format!(r#"{{"indexes":[{}]}}"#, text(index_model(version, &one, &"h".into())));
            assert_eq!(text(index_list(version, [(&one, &"h".into())])), expected);
        }
    }

    #[test]
    fn a_private_host_is_told_since_2025_04() {
        let one = index(dense(3, Metric::Cosine), aws());
        let hosts = IndexHosts { host: "h".to_owned(), private_host: Some("p".to_owned()) };
        for version in ApiVersion::ALL {
            let told = text(index_model(version, &one, &hosts)).contains(r#""host":"h","private_host":"p""#);
            assert_eq!(told, version >= ApiVersion::V2025_04, "{version}");
        }
    }

    #[test]
    fn what_is_printed_in_2026_07_can_be_created_again() {
        let description = Some("for \"people\"".to_owned());
        let fields = BTreeMap::from([
            (
                "_values".to_owned(),
                SchemaField::DenseVector { dimension: Dimension::new(9).unwrap(), metric: Metric::Dotproduct, description },
            ),
            ("_sparse_values".to_owned(), SchemaField::SparseVector { description: None }),
        ]);
        let index = index(IndexSchema::new(fields).unwrap(), aws());
        let spec = create_index(SCHEMA, &index_model(SCHEMA, &index, &"h".into())).unwrap();
        assert_eq!((spec.name.unwrap(), spec.schema, spec.deployment), (index.name, index.schema, index.deployment));
    }
}
