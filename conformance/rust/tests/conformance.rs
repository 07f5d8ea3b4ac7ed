//! The cases of the Rust client. The runner says what to connect to: `PINYON_CONTROL` (URL of the control plane) and `PINYON_KEY`.
//! The index host always comes from describe; this client adds `https://` and port 443 to a host that has none.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pinecone_sdk::models::{
    Cloud, DeletionProtection, EmbedRequestParameters, Kind, Metadata, Metric, Namespace, SparseValues, Value, Vector, WaitPolicy,
};
use pinecone_sdk::pinecone::data::Index;
use pinecone_sdk::pinecone::{PineconeClient, PineconeClientConfig, default_client};
use pinecone_sdk::utils::errors::PineconeError;

const READY: WaitPolicy = WaitPolicy::WaitFor(Duration::from_secs(10));

fn client_with(key: &str) -> PineconeClient {
    let config = PineconeClientConfig {
        api_key: Some(key.to_string()),
        control_plane_host: Some(std::env::var("PINYON_CONTROL").expect("PINYON_CONTROL is set by the runner")),
        ..Default::default()
    };
    config.client().expect("a client")
}

fn client() -> PineconeClient {
    client_with(&std::env::var("PINYON_KEY").expect("PINYON_KEY is set by the runner"))
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn created(client: &PineconeClient, dimension: i32, metric: Metric) -> String {
    let name = unique("case");
    client
        .create_serverless_index(&name, dimension, metric, Cloud::Aws, "us-east-1", DeletionProtection::Disabled, READY)
        .await
        .expect("an index");
    name
}

async fn opened(client: &PineconeClient, name: &str) -> Index {
    let host = client.describe_index(name).await.expect("the index").host;
    client.index(&host).await.expect("a connection")
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(of: &str) -> Value {
    value(Kind::StringValue(of.to_string()))
}

fn number(of: f64) -> Value {
    value(Kind::NumberValue(of))
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Metadata {
    Metadata { fields: fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<BTreeMap<_, _>>() }
}

fn nested<const N: usize>(fields: [(&str, Value); N]) -> Value {
    value(Kind::StructValue(object(fields)))
}

fn record(id: &str, values: &[f32], metadata: Option<Metadata>) -> Vector {
    Vector { id: id.to_string(), values: values.to_vec(), sparse_values: None, metadata }
}

fn three() -> Vec<Vector> {
    vec![
        record("x", &[1.0, 0.0, 0.0], Some(object([("axis", text("x")), ("n", number(1.0))]))),
        record("y", &[0.0, 2.0, 0.0], Some(object([("axis", text("y")), ("n", number(2.0))]))),
        record("xy", &[1.0, 1.0, 0.0], Some(object([("axis", text("both")), ("n", number(3.0))]))),
    ]
}

/// The HTTP status of a refusal by the control plane, or the gRPC code of one by the data plane.
fn refusal<T>(result: Result<T, PineconeError>) -> (u16, i32, String) {
    let Err(error) = result else { panic!("expected a refusal, but the call was accepted") };
    let message = error.to_string();
    match error {
        PineconeError::UnknownResponseError { status, .. } => (status.as_u16(), -1, message),
        PineconeError::DataPlaneError { status } => (0, status.code() as i32, message),
        PineconeError::BadRequestError { source }
        | PineconeError::UnauthorizedError { source }
        | PineconeError::ActionForbiddenError { source }
        | PineconeError::IndexNotFoundError { source }
        | PineconeError::CollectionNotFoundError { source }
        | PineconeError::InternalServerError { source }
        | PineconeError::ResourceAlreadyExistsError { source }
        | PineconeError::UnprocessableEntityError { source } => (source.status.as_u16(), -1, message),
        other => panic!("an error of another kind: {other}"),
    }
}

fn status_of<T>(result: Result<T, PineconeError>) -> u16 {
    refusal(result).0
}

fn code_of<T>(result: Result<T, PineconeError>) -> i32 {
    refusal(result).1
}

#[tokio::test]
async fn a_serverless_index_is_described_as_it_was_created() {
    let client = client();
    for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dotproduct] {
        let name = created(&client, 8, metric.clone()).await;
        let found = client.describe_index(&name).await.expect("the index");
        assert_eq!((found.name.as_str(), found.dimension, found.metric), (name.as_str(), 8, metric));
        assert!(found.status.ready);
        let serverless = found.spec.serverless.expect("a serverless spec");
        assert_eq!((serverless.cloud, serverless.region.as_str()), (Cloud::Aws, "us-east-1"));
        let listed = client.list_indexes().await.expect("a list").indexes.expect("indexes");
        assert!(listed.iter().any(|index| index.name == name));
        client.delete_index(&name).await.expect("deleted");
        assert_eq!(status_of(client.describe_index(&name).await), 404);
    }
}

#[tokio::test]
async fn a_pod_index_is_created_and_scaled() {
    let (client, name) = (client(), unique("pod"));
    client
        .create_pod_index(
            &name,
            4,
            Metric::Euclidean,
            "us-east1-gcp",
            "p1.x1",
            1,
            1,
            1,
            DeletionProtection::Disabled,
            Some(&["genre"]),
            None,
            READY,
        )
        .await
        .expect("a pod index");
    client.configure_index(&name, None, Some(2), Some("p1.x2")).await.expect("scaled");
    let pod = client.describe_index(&name).await.expect("the index").spec.pod.expect("a pod spec");
    assert_eq!((pod.replicas, pod.pod_type.as_str()), (2, "p1.x2"));
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn a_protected_index_is_not_deleted() {
    let client = client();
    let name = created(&client, 2, Metric::Cosine).await;
    let found = client.configure_index(&name, Some(DeletionProtection::Enabled), None, None).await.expect("protected");
    assert_eq!(found.deletion_protection, Some(DeletionProtection::Enabled));
    let (status, _, message) = refusal(client.delete_index(&name).await);
    assert_eq!(status, 403);
    assert!(message.contains("Deletion protection is enabled for this index"), "{message}");
    client.configure_index(&name, Some(DeletionProtection::Disabled), None, None).await.expect("unprotected");
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn refusals_of_the_control_plane() {
    let client = client();
    let name = created(&client, 2, Metric::Cosine).await;
    let create = |name: String, dimension| {
        let client = client.clone();
        async move {
            let protection = DeletionProtection::Disabled;
            client.create_serverless_index(&name, dimension, Metric::Cosine, Cloud::Aws, "us-east-1", protection, WaitPolicy::NoWait).await
        }
    };
    assert_eq!(status_of(create(name.clone(), 2).await), 409);
    assert_eq!(status_of(create("Not_Allowed".to_string(), 2).await), 400);
    assert_eq!(status_of(create(unique("none"), 20_001).await), 400);
    assert_eq!(status_of(create(unique("none"), 0).await), 400);
    assert_eq!(status_of(client.describe_index("no-such-index").await), 404);
    assert_eq!(status_of(client.delete_index("no-such-index").await), 404);
    assert_eq!(status_of(client_with("pk_not-a-key").list_indexes().await), 401);
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn a_client_from_the_environment() {
    // The runner sets PINECONE_API_KEY and PINECONE_CONTROLLER_HOST, as a program would have them.
    default_client().expect("a client").list_indexes().await.expect("a list");
}

#[tokio::test]
async fn records_are_written_read_changed_and_deleted() {
    let client = client();
    let name = created(&client, 3, Metric::Cosine).await;
    let mut index = opened(&client, &name).await;
    let ns = Namespace::from("it docs/xxxx");
    assert_eq!(index.upsert(&three(), &ns).await.expect("written").upserted_count, 3);

    let found = index.fetch(&["x", "missing"], &ns).await.expect("fetched");
    assert_eq!(found.vectors.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!(found.vectors["x"].values, [1.0, 0.0, 0.0]);
    assert_eq!(found.vectors["x"].metadata.as_ref().expect("metadata").fields["axis"], text("x"));

    index.update("x", vec![0.0, 0.0, 1.0], None, Some(object([("new", value(Kind::BoolValue(true)))])), &ns).await.expect("updated");
    let changed = index.fetch(&["x"], &ns).await.expect("fetched").vectors.remove("x").expect("x");
    assert_eq!(changed.values, [0.0, 0.0, 1.0]);
    let fields = changed.metadata.expect("metadata").fields;
    assert_eq!((&fields["axis"], &fields["new"]), (&text("x"), &value(Kind::BoolValue(true))));

    let first = index.list(&ns, Some("x"), Some(1), None).await.expect("listed");
    assert_eq!(first.vectors.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["x"]);
    let token = first.pagination.expect("more").next;
    let second = index.list(&ns, Some("x"), Some(1), Some(&token)).await.expect("listed");
    assert_eq!(second.vectors.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["xy"]);
    assert!(second.pagination.is_none_or(|page| page.next.is_empty()));

    let stats = index.describe_index_stats(None).await.expect("stats");
    assert_eq!((stats.dimension, stats.total_vector_count, stats.namespaces["it docs/xxxx"].vector_count), (3, 3, 3));

    index.delete_by_id(&["x"], &ns).await.expect("deleted");
    index.delete_by_filter(object([("axis", nested([("$eq", text("y"))]))]), &ns).await.expect("deleted");
    assert_eq!(index.describe_index_stats(None).await.expect("stats").total_vector_count, 1);
    index.delete_all(&ns).await.expect("deleted");
    assert_eq!(index.describe_index_stats(None).await.expect("stats").total_vector_count, 0);
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn search_by_value_by_id_and_filtered() {
    let client = client();
    let name = created(&client, 3, Metric::Euclidean).await;
    let mut index = opened(&client, &name).await;
    let ns = Namespace::default();
    index.upsert(&three(), &ns).await.expect("written");

    let found = index.query_by_value(vec![1.0, 0.0, 0.0], None, 3, &ns, None, Some(true), Some(true)).await.expect("found");
    assert_eq!(found.matches.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["x", "xy", "y"]);
    assert_eq!(found.matches.iter().map(|m| m.score).collect::<Vec<_>>(), [0.0, 1.0, 5.0]);
    assert_eq!(found.matches[0].values, [1.0, 0.0, 0.0]);
    assert!(found.matches[0].metadata.is_some());

    let found = index.query_by_id("y", 1, &ns, None, None, None).await.expect("found");
    assert_eq!(found.matches[0].id, "y");
    assert!(found.matches[0].values.is_empty() && found.matches[0].metadata.is_none());

    let filter = object([("n", nested([("$gte", number(2.0))]))]);
    let found = index.query_by_value(vec![1.0, 0.0, 0.0], None, 3, &ns, Some(filter), None, None).await.expect("found");
    assert_eq!(found.matches.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["xy", "y"]);
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn hybrid_score_is_the_sum_of_dense_and_sparse() {
    let client = client();
    let name = created(&client, 2, Metric::Dotproduct).await;
    let mut index = opened(&client, &name).await;
    let ns = Namespace::from("hybrid");
    let with = |id: &str, values: &[f32], indices: &[u32], weights: &[f32]| Vector {
        sparse_values: Some(SparseValues { indices: indices.to_vec(), values: weights.to_vec() }),
        ..record(id, values, None)
    };
    index.upsert(&[with("a", &[2.0, 0.0], &[1], &[0.5]), with("b", &[0.5, 0.0], &[1, 7], &[1.0, 3.0])], &ns).await.expect("written");
    let sparse = SparseValues { indices: vec![1, 7], values: vec![1.0, 1.0] };
    let found = index.query_by_value(vec![1.0, 0.0], Some(sparse), 2, &ns, None, None, None).await.expect("found");
    assert_eq!(found.matches.iter().map(|m| (m.id.as_str(), m.score)).collect::<Vec<_>>(), [("b", 4.5), ("a", 2.5)]);
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn refusals_of_the_data_plane() {
    const INVALID_ARGUMENT: i32 = 3;
    const NOT_FOUND: i32 = 5;
    const UNAUTHENTICATED: i32 = 16;
    let client = client();
    let name = created(&client, 3, Metric::Cosine).await;
    let mut index = opened(&client, &name).await;
    let ns = Namespace::from("ns");
    let (_, code, message) = refusal(index.upsert(&[record("a", &[1.0], None)], &ns).await);
    assert_eq!(code, INVALID_ARGUMENT);
    assert!(message.contains("Vector dimension 1 does not match the dimension of the index 3"), "{message}");
    assert_eq!(code_of(index.delete_by_id(&["a"], &ns).await), NOT_FOUND, "the namespace was never written");
    assert_eq!(code_of(index.describe_index_stats(Some(object([("a", text("b"))]))).await), INVALID_ARGUMENT);
    let unknown = object([("a", nested([("$like", text("b"))]))]);
    assert_eq!(code_of(index.query_by_value(vec![1.0, 0.0, 0.0], None, 1, &ns, Some(unknown), None, None).await), INVALID_ARGUMENT);
    let host = client.describe_index(&name).await.expect("the index").host;
    let mut wrong = client_with("pk_not-a-key").index(&host).await.expect("a connection");
    assert_eq!(code_of(wrong.describe_index_stats(None).await), UNAUTHENTICATED);
    client.delete_index(&name).await.expect("deleted");
}

/// `count` records of `dimension` values, with `metadata_bytes` of metadata as JSON.
async fn a_batch_is_written_and_found(count: usize, dimension: usize, metadata_bytes: usize) {
    let client = client();
    let name = created(&client, dimension as i32, Metric::Cosine).await;
    let mut index = opened(&client, &name).await;
    let ns = Namespace::default();
    let filler = "x".repeat(metadata_bytes.saturating_sub(r#"{"text":""}"#.len()));
    let records: Vec<Vector> = (0..count)
        .map(|n| {
            let values: Vec<f32> = (0..dimension).map(|d| ((n * 7919 + d * 31 + 1) as f32).sin()).collect();
            record(&format!("r{n}"), &values, (metadata_bytes > 0).then(|| object([("text", text(&filler))])))
        })
        .collect();
    assert_eq!(index.upsert(&records, &ns).await.expect("written").upserted_count as usize, count);
    assert_eq!(index.describe_index_stats(None).await.expect("stats").total_vector_count as usize, count);
    for record in [&records[0], &records[count - 1]] {
        let found = index.query_by_value(record.values.clone(), None, 1, &ns, None, Some(true), Some(true)).await.expect("found");
        assert_eq!(found.matches[0].id, record.id);
        assert!((found.matches[0].score - 1.0).abs() < 1e-5);
        assert_eq!(found.matches[0].values, record.values);
        assert_eq!(found.matches[0].metadata.clone().unwrap_or_default(), record.metadata.clone().unwrap_or_default());
    }
    client.delete_index(&name).await.expect("deleted");
}

#[tokio::test]
async fn a_batch_of_245_x_1536_with_2000_bytes_of_metadata() {
    a_batch_is_written_and_found(245, 1536, 2000).await;
}

#[tokio::test]
async fn a_batch_of_100_x_3072() {
    a_batch_is_written_and_found(100, 3072, 0).await;
}

#[tokio::test]
async fn collections_are_of_pod_indexes_and_embedding_answers_501() {
    let client = client();
    let name = created(&client, 2, Metric::Cosine).await;
    assert!(client.list_collections().await.is_ok(), "there may be some");
    assert_eq!(status_of(client.describe_collection("none").await), 404);
    assert_eq!(status_of(client.delete_collection("none").await), 404);
    assert_eq!(status_of(client.create_collection("some", &name).await), 400);
    let parameters = EmbedRequestParameters { input_type: Some("query".to_string()), truncate: None };
    assert_eq!(status_of(client.embed("multilingual-e5-large", Some(parameters), &vec!["a"]).await), 501);
    client.delete_index(&name).await.expect("deleted");
}
