//! Namespaces: how they come and go, and what each operation says of one that is not there.

mod support;

use std::{sync::Arc, time::Duration};

use pinyon_engine::{EngineSettings, Kept};
use pinyon_model::{
    DeleteSelector, DenseVector, ErrorCode, Filter, IndexId, Lsn, Metadata, MetadataSchema, MetadataValue, Metric, Prefix, QueryTarget,
    Update, UpdateTarget,
};
use support::*;

fn set(id_text: &str, value: f32) -> Update {
    let dense = Some(DenseVector::new(vec![value, 1.0]).unwrap());
    Update { target: UpdateTarget::Id(id(id_text)), dense, sparse: None, set_metadata: None }
}

#[tokio::test]
async fn unknown_namespaces_are_empty_and_cannot_be_deleted_from() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, none) = (index(&engine).await, name("none"));
    assert_eq!(index.delete(&none, DeleteSelector::All).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(index.delete(&none, DeleteSelector::Ids(vec![id("a")])).await.unwrap_err().message, "Namespace not found");
    assert_eq!(index.delete_namespace(&none, Kept::NoLonger).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(index.describe_namespace(&none).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(index.update(&none, set("a", 1.0)).await.unwrap().lsn, None);
    assert_eq!(index.query(&none, greatest(3)).await.unwrap().matches, []);
    assert_eq!(index.fetch(&none, vec![id("a")]).await.unwrap().records, []);
    assert_eq!(index.list(&none, &Prefix::default(), 10, None).await.unwrap().ids, []);
    assert_eq!(index.stats().await.unwrap().total, 0);
    assert_eq!(index.list_namespaces(&Prefix::default(), 10, None).await.unwrap().1, 0, "an update makes no namespace");
    engine.close().await;
}

#[tokio::test]
async fn a_namespace_made_again_starts_anew() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    for n in 1..=3 {
        assert_eq!(index.upsert(&ns, vec![record("a", n as f32)]).await.unwrap().lsn, Lsn(n));
    }
    engine.flush_all().await.unwrap();
    let before = files(&home).len();
    index.delete_namespace(&ns, Kept::NoLonger).await.unwrap();
    assert!(files(&home).iter().all(|f| !f.contains("/namespaces/")), "its files are gone: {:?} of {before}", files(&home));
    assert_eq!(index.upsert(&ns, vec![record("b", 1.0)]).await.unwrap().lsn, Lsn(1));
    assert_eq!(contents(&index, &ns).await.unwrap().into_keys().collect::<Vec<_>>(), ["b"]);
    engine.close().await;
}

#[tokio::test]
async fn a_quiet_namespace_becomes_one_segment() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    for n in 0..3 {
        index.upsert(&ns, (0..20).map(|m| record(&format!("{n}-{m}"), (n * 20 + m) as f32)).collect()).await.unwrap();
        engine.flush_all().await.unwrap();
    }
    let segments = async || index.explain(&ns, greatest(1)).await.unwrap().1.segments.len();
    assert_eq!(segments().await, 3, "too few to be merged while there may be more to come");
    let before = contents(&index, &ns).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), async {
        while segments().await > 1 {
            home.clock.turn_ms(1);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(contents(&index, &ns).await.unwrap(), before);
    engine.close().await;
    let reopened = home.open().await;
    assert_eq!(contents(&reopened.index(INDEX, dense(2, Metric::Dotproduct)), &ns).await.unwrap(), before);
    reopened.close().await;
}

#[tokio::test]
async fn emptied_is_not_deleted() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    engine.flush_all().await.unwrap();
    index.upsert(&ns, vec![record("b", 1.0)]).await.unwrap();
    index.delete(&ns, DeleteSelector::All).await.unwrap();
    assert!(contents(&index, &ns).await.unwrap().is_empty());
    assert_eq!(index.stats().await.unwrap().namespaces, [(ns.clone(), 0)].into());
    index.upsert(&ns, vec![record("c", 1.0)]).await.unwrap();
    engine.flush_all().await.unwrap();
    engine.close().await;
    let engine = home.open().await;
    let index = support::index(&engine).await;
    assert_eq!(contents(&index, &ns).await.unwrap().into_keys().collect::<Vec<_>>(), ["c"]);
    engine.close().await;
}

#[tokio::test]
async fn a_schema_limits_filters() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    let schema = MetadataSchema::new(["n".to_owned()].into()).unwrap();
    index.create_namespace(ns.clone(), Some(schema.clone())).await.unwrap();
    assert_eq!(index.create_namespace(ns.clone(), None).await.unwrap_err().code, ErrorCode::AlreadyExists);
    index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    engine.close().await;
    let engine = home.open().await;
    let index = support::index(&engine).await;
    let field = |name: &str| Filter::Field(name.into(), pinyon_model::Condition::Exists(true));
    let query = |filter| pinyon_model::Query { filter: Some(filter), ..greatest(1) };
    assert_eq!(index.query(&ns, query(field("n"))).await.unwrap().matches.len(), 1);
    let refused = index.query(&ns, query(field("other"))).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    assert!(refused.message.contains("'other'") && refused.message.contains("'n'"), "{refused}");
    assert!(index.delete(&ns, DeleteSelector::Filter(field("other"))).await.is_err());
    let described = index.describe_namespace(&ns).await.unwrap();
    assert_eq!((described.record_count, described.schema), (1, Some(schema)));
    engine.close().await;
}

#[tokio::test]
async fn a_batch_is_refused_whole() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    let mut wrong = record("b", 1.0);
    wrong.dense = Some(DenseVector::new(vec![1.0; 3]).unwrap());
    let refused = index.upsert(&ns, vec![record("a", 1.0), wrong]).await.unwrap_err();
    assert_eq!(refused.message, "Vector dimension 3 does not match the dimension of the index 2");
    assert_eq!(index.stats().await.unwrap().namespaces.len(), 0, "not even the namespace was made");
    let mut query = greatest(1);
    query.target = QueryTarget::Vector { dense: Some(DenseVector::new(vec![1.0; 3]).unwrap()), sparse: None };
    assert_eq!(index.query(&ns, query).await.unwrap_err().code, ErrorCode::InvalidArgument);
    engine.close().await;
}

#[tokio::test]
async fn an_update_that_makes_metadata_too_large_changes_nothing() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    index.upsert(&ns, vec![record("a", 1.0), record("b", 2.0)]).await.unwrap();
    let text = |key: &str, n: usize| Metadata::new([(key.to_owned(), MetadataValue::String("x".repeat(n)))].into()).unwrap();
    let update = |set| Update { target: UpdateTarget::Id(id("a")), dense: None, sparse: None, set_metadata: Some(set) };
    index.update(&ns, update(text("x", 30_000))).await.unwrap();
    let refused = index.update(&ns, update(text("y", 30_000))).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    let target = UpdateTarget::Filter { filter: Filter::Field("n".into(), pinyon_model::Condition::Exists(true)), dry_run: false };
    let all = Update { target, dense: None, sparse: None, set_metadata: Some(text("y", 30_000)) };
    assert_eq!(index.update(&ns, all).await.unwrap_err().code, ErrorCode::InvalidArgument);
    let records = index.fetch(&ns, vec![id("a"), id("b")]).await.unwrap();
    assert!(records.records.iter().all(|r| r.metadata.get("y").is_none()));
    assert_eq!(records.max_indexed_lsn, Lsn(2));
    engine.close().await;
}

#[tokio::test]
async fn pages_of_namespaces() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let index = index(&engine).await;
    for text in ["b", "a/1", "a/2", "a/10", "c"] {
        index.create_namespace(name(text), None).await.unwrap();
    }
    let (page, total) = index.list_namespaces(&Prefix::new("a/").unwrap(), 2, None).await.unwrap();
    let names = |p: &pinyon_model::ListPage<pinyon_model::NamespaceDescription>| {
        p.items.iter().map(|d| d.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names(&page), total, page.next_after.as_deref()), (vec!["a/1".to_owned(), "a/10".to_owned()], 3, Some("a/10")));
    let (page, _) = index.list_namespaces(&Prefix::new("a/").unwrap(), 2, page.next_after.as_deref()).await.unwrap();
    assert_eq!((names(&page), page.next_after), (vec!["a/2".to_owned()], None));
    engine.close().await;
}

#[tokio::test]
async fn idle_namespaces_close_and_lose_nothing() {
    let home = Home::new(EngineSettings { idle_close_ms: 1_000, ..EngineSettings::default() });
    let engine = home.open().await;
    let index = index(&engine).await;
    for n in 0..20 {
        index.upsert(&name(&format!("ns{n}")), vec![record("a", n as f32), record("b", 0.0)]).await.unwrap();
    }
    assert_eq!(engine.open_namespaces(), 20);
    home.clock.turn_ms(2_000);
    wait_until(|| engine.open_namespaces() == 0).await;
    assert_eq!(index.stats().await.unwrap().total, 40);
    assert_eq!(engine.open_namespaces(), 0, "counting opens nothing");
    for n in 0..20 {
        let found = contents(&index, &name(&format!("ns{n}"))).await.unwrap();
        assert_eq!(found, [("a".to_owned(), n as f32), ("b".to_owned(), 0.0)].into());
    }
    index.upsert(&name("ns3"), vec![record("c", 1.0)]).await.unwrap();
    drop(engine);
    // As after a crash: what was counted before it is not trusted where it was written to since.
    let engine = home.open().await;
    let index = support::index(&engine).await;
    assert_eq!(index.stats().await.unwrap().total, 41);
    assert_eq!(engine.open_namespaces(), 1, "only what is not known is opened");
    engine.close().await;
}

#[tokio::test]
async fn no_more_than_the_cap_stay_open() {
    let home = Home::new(EngineSettings { open_namespaces: 5, ..EngineSettings::default() });
    let engine = home.open().await;
    let index = index(&engine).await;
    for n in 0..20 {
        index.upsert(&name(&format!("ns{n}")), vec![record("a", n as f32)]).await.unwrap();
        home.clock.turn_ms(1);
    }
    // The clock stands still: the surplus is closed because there is one, not because it is time to look.
    wait_until(|| engine.open_namespaces() <= 5).await;
    assert_eq!(index.stats().await.unwrap().total, 20);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_users_share_one_opening() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let index = index(&engine).await;
    index.upsert(&name("ns"), vec![record("a", 1.0)]).await.unwrap();
    engine.close().await;
    let engine = home.open().await;
    let index = support::index(&engine).await;
    let users: Vec<_> = (0..50)
        .map(|_| {
            let index = Arc::clone(&index);
            tokio::spawn(async move { index.query(&name("ns"), greatest(1)).await.unwrap().matches.len() })
        })
        .collect();
    for user in users {
        assert_eq!(user.await.unwrap(), 1);
    }
    assert_eq!(engine.open_namespaces(), 1);
    engine.close().await;
}

#[tokio::test]
async fn a_deleted_index_is_gone_and_its_name_free() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (old, ns) = (index(&engine).await, name("films"));
    old.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    engine.delete_index(INDEX).await.unwrap();
    assert_eq!(old.upsert(&ns, vec![record("a", 1.0)]).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(files(&home), [] as [String; 0]);
    engine.delete_index(INDEX).await.unwrap();
    let other = IndexId::from_bytes([9; 16]);
    engine.create_index(other, &dense(2, Metric::Cosine)).await.unwrap();
    let new = engine.index(other, dense(2, Metric::Cosine));
    new.upsert(&ns, vec![record("b", 1.0)]).await.unwrap();
    assert_eq!(new.stats().await.unwrap().total, 1);
    engine.close().await;
}

#[tokio::test]
async fn after_close_operations_are_refused() {
    let home = Home::new(EngineSettings::default());
    let engine = home.open().await;
    let (index, ns) = (index(&engine).await, name("films"));
    index.upsert(&ns, vec![record("a", 1.0)]).await.unwrap();
    engine.close().await;
    assert_eq!(index.upsert(&ns, vec![record("b", 1.0)]).await.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(index.query(&ns, greatest(1)).await.unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_mostly_past_is_stored_whole() {
    let home = Home::new(EngineSettings { open_namespaces: 40, ..EngineSettings::default() });
    let engine = home.open().await;
    let index = index(&engine).await;
    let all = |act: &'static str| {
        let calls: Vec<_> = (0..400)
            .map(|n| {
                let (index, ns) = (Arc::clone(&index), name(&format!("ns{n}")));
                tokio::spawn(async move {
                    match act {
                        "upsert" => drop(index.upsert(&ns, vec![record("a", n as f32)]).await.unwrap()),
                        _ => index.delete_namespace(&ns, Kept::NoLonger).await.unwrap(),
                    }
                })
            })
            .collect();
        async {
            for call in calls {
                call.await.unwrap();
            }
        }
    };
    for _ in 0..3 {
        all("upsert").await;
        all("delete").await;
    }
    all("upsert").await;
    let list = files(&home).into_iter().filter(|f| f.contains("/namespace-list/")).collect::<Vec<_>>();
    let whole: Vec<&String> = list.iter().filter(|f| f.contains("/namespaces-")).collect();
    assert_eq!(whole.len(), 1, "{list:?}");
    engine.close().await;
    let engine = home.open().await;
    let stats = support::index(&engine).await.stats().await.unwrap();
    assert_eq!((stats.namespaces.len(), stats.total), (400, 400));
    engine.close().await;
    let path = home.data().join(whole[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let engine = home.open().await;
    let error = support::index(&engine).await.stats().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DataLoss);
    assert!(error.message.contains(whole[0].as_str()), "{error}");
    assert_eq!(engine.check().await.unwrap().damaged.len(), 1);
    engine.close().await;
}

/// Every file below the data directory, as paths below it.
fn files(home: &Home) -> Vec<String> {
    support::files_below(&home.data())
}

async fn wait_until(mut done: impl FnMut() -> bool) {
    // Bounded by the test runner alone: a test that hangs fails there.
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
