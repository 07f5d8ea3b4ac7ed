use std::collections::BTreeSet;

use pinyon_model::{
    Condition, DeleteSelector, DenseVector, Dimension, ErrorCode, Filter, IndexSchema, IndexSpec, MetadataSchema, Metric, Prefix, Query,
    Record, Scalar, SparseVector, Update, UpdateTarget,
};
use pinyon_service::{IndexRef, Limits, OpContext, Service, ServiceOptions};

use crate::common::{House, close, code, id, metadata, namespace, pod, query, record, spec};

fn is(field: &str, value: &str) -> Filter {
    Filter::Field(field.into(), Condition::Eq(Scalar::String(value.into())))
}

pub(crate) async fn index(service: &std::sync::Arc<Service>, me: &OpContext, spec: IndexSpec) -> IndexRef {
    let made = service.create_index(me, spec).await.unwrap();
    service.find_index(me, made.name.as_str()).await.unwrap()
}

#[tokio::test]
async fn the_twelve_operations() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let host = index(&service, &me, spec("x")).await;
    let ns = namespace("animals");
    let records = vec![record("cat", [1.0, 0.0, 0.0]), record("dog", [0.9, 0.1, 0.0]), record("owl", [0.0, 0.0, 1.0])];
    let ack = service.upsert(&me, &host, &ns, records.clone()).await.unwrap();

    let answer = service.query(&me, &host, &ns, query([1.0, 0.0, 0.0])).await.unwrap();
    assert_eq!(answer.matches.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["cat", "dog", "owl"]);
    assert!(answer.max_indexed_lsn >= ack.lsn);
    assert!((answer.matches[0].score - 1.0).abs() < 1e-6);
    let fetched = service.fetch(&me, &host, &ns, vec![id("owl"), id("nobody")]).await.unwrap();
    assert_eq!(fetched.records, records[2..]);

    let update =
        Update { target: UpdateTarget::Id(id("cat")), dense: None, sparse: None, set_metadata: Some(metadata(&[("city", "Basel")])) };
    service.update(&me, &host, &ns, update).await.unwrap();
    let page = service.fetch_by_metadata(&me, &host, &ns, is("city", "Bern"), 1, None).await.unwrap();
    assert_eq!((page.records[0].id.as_str(), page.next_after.clone()), ("dog", Some(id("dog"))));
    let page = service.fetch_by_metadata(&me, &host, &ns, is("city", "Bern"), 1, page.next_after).await.unwrap();
    assert_eq!((page.records[0].id.as_str(), page.next_after), ("owl", None));

    let listed = service.list(&me, &host, &ns, &Prefix::new("c").unwrap(), 10, None).await.unwrap();
    assert_eq!(listed.ids, [id("cat")]);
    service.create_namespace(&me, &host, namespace("empty"), None).await.unwrap();
    assert_eq!(code(service.create_namespace(&me, &host, namespace("empty"), None).await), Some(ErrorCode::AlreadyExists));
    assert_eq!(code(service.create_namespace(&me, &host, namespace(""), None).await), Some(ErrorCode::InvalidArgument));
    let (page, total) = service.list_namespaces(&me, &host, &Prefix::default(), 10, None).await.unwrap();
    assert_eq!((page.items.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), total), (vec!["animals", "empty"], 2));
    assert_eq!(service.describe_namespace(&me, &host, &ns).await.unwrap().record_count, 3);
    assert_eq!(service.stats(&me, &host, None).await.unwrap().total, 3);

    service.delete(&me, &host, &ns, DeleteSelector::Ids(vec![id("cat")])).await.unwrap();
    assert_eq!(service.stats(&me, &host, None).await.unwrap().total, 2);
    assert_eq!(code(service.delete(&me, &host, &namespace("never"), DeleteSelector::All).await), Some(ErrorCode::NotFound));
    service.delete_namespace(&me, &host, &ns).await.unwrap();
    assert_eq!(code(service.describe_namespace(&me, &host, &ns).await), Some(ErrorCode::NotFound));
    close(service).await;
}

#[tokio::test]
async fn sparse_and_hybrid() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let schema = IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Dotproduct, None).unwrap();
    let hybrid = index(&service, &me, IndexSpec { schema, ..spec("hybrid") }).await;
    let sparse = index(&service, &me, IndexSpec { schema: IndexSchema::sparse_index(None).unwrap(), ..spec("sparse") }).await;
    let words = |i: u32| Some(SparseVector::new(vec![i, 1_000_000], vec![1.0, 0.5]).unwrap());
    let ns = namespace("");
    let with = |n: &str, dense: Option<DenseVector>, i| Record { dense, sparse: words(i), ..record(n, [0.0; 3]) };
    let vector = DenseVector::new(vec![1.0, 0.0, 0.0]).unwrap();
    service.upsert(&me, &hybrid, &ns, vec![with("a", Some(vector.clone()), 1), with("b", Some(vector.clone()), 2)]).await.unwrap();
    service.upsert(&me, &sparse, &ns, vec![with("a", None, 1), with("b", None, 2)]).await.unwrap();
    let ask = |dense, i| Query { target: pinyon_model::QueryTarget::Vector { dense, sparse: words(i) }, ..query([0.0; 3]) };
    let best = service.query(&me, &hybrid, &ns, ask(Some(vector), 2)).await.unwrap().matches;
    assert_eq!(best.iter().map(|m| (m.id.as_str(), m.score)).collect::<Vec<_>>(), [("b", 2.25), ("a", 1.25)]);
    let best = service.query(&me, &sparse, &ns, ask(None, 1)).await.unwrap().matches;
    assert_eq!(best.iter().map(|m| (m.id.as_str(), m.score)).collect::<Vec<_>>(), [("a", 1.25), ("b", 0.25)]);
    close(service).await;
}

#[tokio::test]
async fn limits_at_the_edge_and_one_past() {
    let house = House::new();
    let service =
        house.open_with(ServiceOptions { limits: Limits { namespaces_per_index: Some(2), ..Limits::default() }, ..house.options() }).await;
    let service = service.unwrap();
    let me = house.editor(&service).await;
    let host = index(&service, &me, spec("x")).await;
    let ns = namespace("n");
    let many = |n: usize| (0..n).map(|i| record(&format!("r{i}"), [1.0, 0.0, 0.0])).collect::<Vec<_>>();
    for (n, ok) in [(0, false), (1, true), (1_000, true), (1_001, false)] {
        assert_eq!(service.upsert(&me, &host, &ns, many(n)).await.is_ok(), ok, "{n} records");
    }
    let heavy = |n: usize| {
        let text = "x".repeat(40_000);
        (0..n).map(|i| Record { metadata: metadata(&[("t", &text)]), ..record(&format!("h{i}"), [1.0, 0.0, 0.0]) }).collect::<Vec<_>>()
    };
    assert!(service.upsert(&me, &host, &ns, heavy(52)).await.is_ok());
    let refused = service.upsert(&me, &host, &ns, heavy(53)).await.unwrap_err();
    assert!(refused.code == ErrorCode::InvalidArgument && refused.message.contains("2097152"), "{refused}");
    let ids = |n: usize| (0..n).map(|i| id(&format!("r{i}"))).collect::<Vec<_>>();
    for (n, ok) in [(0, false), (1, true), (1_000, true), (1_001, false)] {
        assert_eq!(service.fetch(&me, &host, &ns, ids(n)).await.is_ok(), ok, "{n} ids");
    }
    for (limit, ok) in [(0, false), (1, true), (100, true), (101, false)] {
        assert_eq!(service.list(&me, &host, &ns, &Prefix::default(), limit, None).await.is_ok(), ok, "limit {limit}");
        assert_eq!(service.list_namespaces(&me, &host, &Prefix::default(), limit, None).await.is_ok(), ok, "limit {limit}");
    }
    for (limit, ok) in [(0, false), (10_000, true), (10_001, false)] {
        assert_eq!(service.fetch_by_metadata(&me, &host, &ns, is("a", "b"), limit, None).await.is_ok(), ok, "limit {limit}");
    }
    let empty = service.fetch_by_metadata(&me, &host, &ns, Filter::And(vec![]), 1, None).await.unwrap_err();
    assert_eq!(empty.message, "Empty filter provided for fetch by metadata request");
    let dimension = Record { dense: Some(DenseVector::new(vec![1.0]).unwrap()), ..record("r", [0.0; 3]) };
    assert_eq!(code(service.upsert(&me, &host, &ns, vec![dimension]).await), Some(ErrorCode::InvalidArgument));
    service.create_namespace(&me, &host, namespace("second"), None).await.unwrap();
    assert_eq!(code(service.create_namespace(&me, &host, namespace("third"), None).await), Some(ErrorCode::QuotaExceeded));
    close(service).await;
}

#[tokio::test]
async fn stats_with_a_filter_are_for_pods() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let serverless = index(&service, &me, spec("s")).await;
    let podded = index(&service, &me, IndexSpec { deployment: pod(), ..spec("p") }).await;
    for (ns, city) in [("a", "Bern"), ("a", "Basel"), ("b", "Basel")] {
        let one = Record { metadata: metadata(&[("city", city)]), ..record(city, [1.0, 0.0, 0.0]) };
        service.upsert(&me, &podded, &namespace(ns), vec![one]).await.unwrap();
    }
    assert_eq!(code(service.stats(&me, &serverless, Some(is("city", "Bern"))).await), Some(ErrorCode::InvalidArgument));
    assert!(service.stats(&me, &serverless, Some(Filter::And(vec![]))).await.is_ok());
    let counted = service.stats(&me, &podded, Some(is("city", "Basel"))).await.unwrap();
    assert_eq!((counted.total, counted.namespaces.len()), (2, 2));
    let counted = service.stats(&me, &podded, Some(is("city", "Bern"))).await.unwrap();
    assert_eq!((counted.total, counted.namespaces.get(&namespace("a"))), (1, Some(&1)));
    assert_eq!(service.stats(&me, &podded, None).await.unwrap().total, 3);
    close(service).await;
}

#[tokio::test]
async fn a_filter_outside_the_schema_names_its_field() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    let fields = MetadataSchema::new(BTreeSet::from(["city".to_owned()])).unwrap();
    let schema = IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Cosine, Some(&fields)).unwrap();
    let host = index(&service, &me, IndexSpec { schema, ..spec("x") }).await;
    let ns = namespace("n");
    service.upsert(&me, &host, &ns, vec![record("r", [1.0, 0.0, 0.0])]).await.unwrap();
    let ask = |field: &str| Query { filter: Some(is(field, "Bern")), ..query([1.0, 0.0, 0.0]) };
    assert_eq!(service.query(&me, &host, &ns, ask("city")).await.unwrap().matches.len(), 1);
    let set = |field| Update {
        target: UpdateTarget::Filter { filter: is(field, "teal"), dry_run: false },
        dense: None,
        sparse: None,
        set_metadata: Some(metadata(&[("a", "b")])),
    };
    let refusals = [
        service.query(&me, &host, &ns, ask("colour")).await.err(),
        service.fetch_by_metadata(&me, &host, &ns, is("colour", "teal"), 1, None).await.err(),
        service.delete(&me, &host, &ns, DeleteSelector::Filter(is("colour", "teal"))).await.err(),
        service.update(&me, &host, &ns, set("colour")).await.err(),
    ];
    for refused in refusals {
        let refused = refused.unwrap();
        assert!(refused.code == ErrorCode::InvalidArgument && refused.message.contains("colour"), "{refused}");
    }
    assert_eq!(service.stats(&me, &host, None).await.unwrap().total, 1);
    close(service).await;
}
