//! What a search tells of itself: how it was done, and how much of what it should find it found.

mod support;

use std::{sync::Arc, time::Duration};

use pinyon_engine::{EngineSettings, IndexHandle, Kept};
use pinyon_model::{
    Condition, DenseVector, Explain, Filter, IndexRecall, Metadata, MetadataValue, Metric, NamespaceName, Query, QueryTarget, Record,
    Scalar, SearchPlan, SegmentExplain, TopK,
};
use support::{Home, INDEX, dense, id, name};

const DIMENSION: usize = 24;

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn vector(&mut self) -> DenseVector {
        let mut value = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        DenseVector::new((0..DIMENSION).map(|_| value()).collect::<Vec<_>>()).unwrap()
    }
}

/// Small segments get codes; nothing is stored or merged by itself.
fn settings() -> EngineSettings {
    EngineSettings { coded_vectors: 500, clustered_vectors: 500, recall_one_in: 1, query_threads: 2, ..EngineSettings::default() }
}

fn records(first: usize, count: usize) -> Vec<Record> {
    let mut numbers = Numbers(first as u64 + 1);
    let metadata = |n: usize| Metadata::new([("n".to_owned(), MetadataValue::Number(n as f64))].into()).unwrap();
    let ids = (first..first + count).map(|n| (n, id(&format!("{n:06}"))));
    ids.map(|(n, id)| Record { id, dense: Some(numbers.vector()), sparse: None, metadata: metadata(n) }).collect()
}

fn query(vector: DenseVector, filter: Option<Filter>) -> Query {
    Query {
        target: QueryTarget::Vector { dense: Some(vector), sparse: None },
        top_k: TopK::new(10).unwrap(),
        filter,
        include_values: false,
        include_metadata: false,
        scan_factor: None,
        max_candidates: None,
    }
}

fn below(n: usize) -> Option<Filter> {
    Some(Filter::Field("n".into(), Condition::Lt(n as f64)))
}

/// An index with 4,000 records in a segment with codes, 100 in one without, and 10 in memory.
async fn filled(home: &Home) -> (pinyon_engine::Engine, Arc<IndexHandle>, NamespaceName) {
    let engine = home.open().await;
    let options = dense(DIMENSION as u32, Metric::Cosine);
    engine.create_index(INDEX, &options).await.unwrap();
    let index = engine.index(INDEX, options);
    let namespace = name("n");
    for part in records(0, 4_000).chunks(1_000) {
        index.upsert(&namespace, part.to_vec()).await.unwrap();
    }
    engine.flush_all().await.unwrap();
    index.upsert(&namespace, records(4_000, 100)).await.unwrap();
    engine.flush_all().await.unwrap();
    index.upsert(&namespace, records(4_100, 10)).await.unwrap();
    (engine, index, namespace)
}

fn coded(explain: &Explain) -> &SegmentExplain {
    explain.segments.iter().find(|segment| segment.rows >= 4_000).expect("the large segment")
}

#[tokio::test]
async fn explain_tells_the_plan_of_each_segment_and_what_was_looked_at() {
    let home = Home::new(settings());
    let (engine, index, namespace) = filled(&home).await;
    let mut numbers = Numbers(99);
    let wanted = query(numbers.vector(), None);
    let (answer, explain) = index.explain(&namespace, wanted.clone()).await.unwrap();
    assert_eq!(answer, index.query(&namespace, wanted).await.unwrap(), "it answers as the query does");

    let plans: Vec<(bool, SearchPlan, u64)> = explain.segments.iter().map(|s| (s.segment.is_some(), s.plan, s.rows)).collect();
    assert_eq!(plans, [(false, SearchPlan::Exact, 10), (true, SearchPlan::Walk, 4_000), (true, SearchPlan::Exact, 100)]);
    let walk = coded(&explain);
    assert_eq!(walk.matching_rows, 4_000);
    assert!(walk.clusters > 1 && walk.clusters_visited > 0 && walk.clusters_visited <= walk.clusters, "{walk:?}");
    assert!(walk.scan_codes >= walk.second_codes && walk.scan_codes <= 4_000, "{walk:?}");
    assert!(walk.pool >= walk.second_codes && walk.second_codes >= 10 && walk.exact_rows < walk.second_codes, "{walk:?}");
    assert_eq!((explain.segments[0].exact_rows, explain.segments[2].exact_rows), (10, 100));

    // Few matching rows: their second codes are asked; none: nothing is.
    let (_, explain) = index.explain(&namespace, query(numbers.vector(), below(40))).await.unwrap();
    let direct = coded(&explain);
    assert_eq!((direct.plan, direct.matching_rows, direct.second_codes, direct.scan_codes), (SearchPlan::Direct, 40, 40, 0));
    assert_eq!(explain.segments[2].plan, SearchPlan::Skip);
    let (answer, explain) = index.explain(&namespace, query(numbers.vector(), below(0))).await.unwrap();
    assert!(answer.matches.is_empty() && coded(&explain).plan == SearchPlan::Skip);

    // Nothing to tell of what is not there; what is wrong stays wrong.
    let (answer, explain) = index.explain(&name("never"), query(numbers.vector(), None)).await.unwrap();
    assert_eq!((answer.matches.len(), explain.segments.len()), (0, 0));
    assert!(index.explain(&namespace, query(DenseVector::new(vec![1.0]).unwrap(), None)).await.is_err());
    engine.close().await;
}

#[tokio::test]
async fn the_effort_that_is_asked_for_is_the_effort_made() {
    let visited = async |search_effort: f64, scan_factor: Option<f32>| {
        let home = Home::new(EngineSettings { search_effort, ..settings() });
        let (engine, index, namespace) = filled(&home).await;
        let wanted = Query { scan_factor, ..query(Numbers(99).vector(), None) };
        let (_, explain) = index.explain(&namespace, wanted).await.unwrap();
        engine.close().await;
        (explain.effort, coded(&explain).clusters_visited)
    };
    let (usual, less, asked) = (visited(1.0, None).await, visited(0.1, None).await, visited(0.2, Some(0.5)).await);
    assert_eq!(usual.0, 1.0);
    assert!(less.1 < usual.1 && (less.0 - 0.1).abs() < 1e-9, "{less:?} {usual:?}");
    assert!((asked.0 - 0.1).abs() < 1e-6 && asked.1 == less.1, "{asked:?}");
}

/// Turns the clock until so many queries were replayed.
async fn measured(home: &Home, index: &IndexHandle, samples: u64) -> IndexRecall {
    let all = async {
        loop {
            home.clock.turn_ms(1_000);
            let recall = index.recall().await.unwrap();
            if recall.total.samples >= samples {
                return recall;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("the samples are replayed")
}

#[tokio::test(flavor = "multi_thread")]
async fn live_queries_are_replayed_and_their_recall_is_known() {
    let home = Home::new(settings());
    let (engine, index, namespace) = filled(&home).await;
    assert_eq!(index.recall().await.unwrap(), IndexRecall::default());
    let mut numbers = Numbers(7);
    for n in 0..20 {
        let filter = if n % 2 == 0 { below(3_000) } else { None };
        index.query(&namespace, query(numbers.vector(), filter)).await.unwrap();
    }
    // Such as ask for another effort, or are exact in any case, say nothing of the usual one.
    index.query(&namespace, Query { scan_factor: Some(0.5), ..query(numbers.vector(), None) }).await.unwrap();
    let nothing = Some(Filter::Field("n".into(), Condition::Eq(Scalar::Bool(true))));
    index.query(&namespace, query(numbers.vector(), nothing)).await.unwrap();
    let recall = measured(&home, &index, 20).await;
    assert!(recall.total.mean > 0.9 && recall.total.mean <= 1.0 && recall.total.worst <= recall.total.mean, "{recall:?}");
    assert_eq!(recall.namespaces.iter().map(|n| n.namespace.as_str()).collect::<Vec<_>>(), ["n"]);

    let report = engine.check().await.unwrap();
    assert_eq!(report.recall.iter().map(|r| (r.live, r.recall.samples)).collect::<Vec<_>>(), [(true, 20)]);
    index.delete_namespace(&namespace, Kept::NoLonger).await.unwrap();
    assert_eq!(index.recall().await.unwrap(), IndexRecall::default());
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_found_makes_later_searches_look_harder() {
    let home = Home::new(EngineSettings { search_effort: 0.1, ..settings() });
    let (engine, index, namespace) = filled(&home).await;
    let mut numbers = Numbers(7);
    let (_, before) = index.explain(&namespace, query(numbers.vector(), None)).await.unwrap();
    for round in 1..=4 {
        for _ in 0..24 {
            index.query(&namespace, query(numbers.vector(), None)).await.unwrap();
        }
        measured(&home, &index, 24 * round).await;
    }
    let recall = index.recall().await.unwrap();
    let (_, after) = index.explain(&namespace, query(numbers.vector(), None)).await.unwrap();
    assert!(recall.namespaces[0].effort > 1.3, "{recall:?}");
    assert!((after.effort - 0.1 * recall.namespaces[0].effort).abs() < 1e-9);
    assert!(coded(&after).clusters_visited > coded(&before).clusters_visited);
    // It is kept while the namespace is closed.
    home.clock.turn_ms(10 * 60_000);
    let closed = async {
        while engine.open_namespaces() > 0 {
            home.clock.turn_ms(60_000);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.expect("it is closed when idle");
    let (_, reopened) = index.explain(&namespace, query(numbers.vector(), None)).await.unwrap();
    assert_eq!(reopened.effort, after.effort);
    engine.close().await;
}

#[tokio::test]
async fn nothing_is_replayed_when_it_is_off_and_check_asks_the_segments_themselves() {
    let home = Home::new(EngineSettings { recall_one_in: 0, ..settings() });
    let (engine, index, namespace) = filled(&home).await;
    let mut numbers = Numbers(7);
    for _ in 0..20 {
        index.query(&namespace, query(numbers.vector(), None)).await.unwrap();
        home.clock.turn_ms(10_000);
        tokio::task::yield_now().await;
    }
    assert_eq!(index.recall().await.unwrap(), IndexRecall::default());
    let open = engine.check().await.unwrap();
    assert_eq!((open.recall.len(), open.recall[0].live, open.damaged.len()), (1, false, 0));
    assert!(open.recall[0].recall.samples > 0 && open.recall[0].recall.mean > 0.8, "{open:?}");
    engine.close().await;
    drop(index);
    let engine = home.open().await;
    let closed = engine.check().await.unwrap();
    assert_eq!(closed.recall, open.recall, "the same segments, asked the same");
    engine.close().await;
}
