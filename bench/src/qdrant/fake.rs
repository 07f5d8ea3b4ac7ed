//! A small stand-in for Qdrant that answers exactly, and the driver against it: every request must say what it means in both protocols.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    sets::{MetricName, SetArguments, State, npy},
    vectors::Values,
    wire::dialect::Connection,
};

const KEY: &str = "a-key";

#[derive(Default)]
struct Store {
    dimension: Option<usize>,
    indexed: Vec<String>,
    points: BTreeMap<u64, (Vec<f32>, BTreeMap<String, String>)>,
    /// Beam widths that were asked for.
    widths: Vec<Option<u64>>,
}

impl Store {
    /// The nearest points by cosine that have the keyword.
    fn nearest(&mut self, query: &[f32], limit: usize, keyword: Option<(String, String)>, width: Option<u64>) -> Vec<(u64, f32)> {
        self.widths.push(width);
        if let Some((field, _)) = &keyword {
            assert!(self.indexed.contains(field), "{field} was not indexed");
        }
        let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(left, right)| left * right).sum::<f32>();
        let matches = |payload: &BTreeMap<String, String>| keyword.as_ref().is_none_or(|(field, value)| payload.get(field) == Some(value));
        let points = self.points.iter().filter(|(_, (_, payload))| matches(payload));
        let mut scored: Vec<(u64, f32)> = points.map(|(id, (vector, _))| (*id, dot(query, vector) / dot(vector, vector).sqrt())).collect();
        scored.sort_by(|left, right| right.1.total_cmp(&left.1));
        scored.truncate(limit);
        scored
    }

    fn insert(&mut self, id: u64, vector: Vec<f32>, payload: BTreeMap<String, String>) {
        assert_eq!(Some(vector.len()), self.dimension);
        self.points.insert(id, (vector, payload));
    }

    fn rest(&mut self, method: &Method, path: &str, body: &Value) -> Option<Value> {
        let floats = |value: &Value| -> Option<Vec<f32>> { serde_json::from_value(value.clone()).ok() };
        match (method.as_str(), path) {
            ("DELETE", "/collections/c") => *self = Self::default(),
            ("PUT", "/collections/c") => {
                assert_eq!(body["vectors"]["distance"], "Cosine");
                self.dimension = Some(body["vectors"]["size"].as_u64()? as usize);
            }
            ("PUT", "/collections/c/index?wait=true") => self.indexed.push(body["field_name"].as_str()?.to_owned()),
            ("GET", "/collections/c") => return Some(json!({ "result": { "status": "green", "points_count": self.points.len() } })),
            ("PUT", "/collections/c/points?wait=true") => {
                for point in body["points"].as_array()? {
                    let payload =
                        point["payload"].as_object()?.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
                    self.insert(point["id"].as_u64()?, floats(&point["vector"])?, payload.collect());
                }
            }
            ("POST", "/collections/c/points/query") => {
                let filter = body["filter"]["must"].get(0).map(|condition| {
                    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
                    (text(&condition["key"]), text(&condition["match"]["value"]))
                });
                let found =
                    self.nearest(&floats(&body["query"])?, body["limit"].as_u64()? as usize, filter, body["params"]["hnsw_ef"].as_u64());
                let points: Vec<Value> = found.into_iter().map(|(id, score)| json!({ "id": id, "score": score, "version": 0 })).collect();
                return Some(json!({ "result": { "points": points }, "status": "ok", "time": 0.001 }));
            }
            _ => return None,
        }
        Some(json!({ "result": true, "status": "ok" }))
    }

    fn grpc(&mut self, path: &str, message: &[u8]) -> Option<Vec<u8>> {
        match path {
            "/qdrant.Points/Upsert" => {
                let upsert = UpsertPoints::decode(message).ok()?;
                assert_eq!((&*upsert.collection_name, upsert.wait), ("c", Some(true)));
                for point in upsert.points {
                    let payload = point.payload.into_iter().filter_map(|(key, value)| Some((key, value.string_value?)));
                    self.insert(point.id?.num?, point.vectors?.vector?.dense?.data, payload.collect());
                }
                Some(Vec::new())
            }
            "/qdrant.Points/Query" => {
                let query = QueryPoints::decode(message).ok()?;
                let filter = query.filter.and_then(|filter| {
                    let field = filter.must.first()?.field.clone()?;
                    Some((field.key, field.r#match?.keyword?))
                });
                let vector = query.query?.nearest?.dense?.data;
                let found = self.nearest(&vector, query.limit? as usize, filter, query.params.and_then(|params| params.hnsw_ef));
                let point = |(id, score)| messages::ScoredPoint { id: Some(PointId { num: Some(id) }), score };
                Some(QueryResponse { result: found.into_iter().map(point).collect() }.encode_to_vec())
            }
            _ => None,
        }
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(store: Arc<Mutex<Store>>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("the driver sends whole bodies").to_bytes();
    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
    if head.headers.get("api-key").is_none_or(|key| key != KEY) {
        return Ok(status(StatusCode::UNAUTHORIZED));
    }
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    if head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc") {
        assert_eq!((body[0], u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize), (0, body.len() - 5));
        let Some(message) = store.grpc(path, &body[5..]) else { return Ok(status(StatusCode::NOT_FOUND)) };
        let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
        return Ok(Response::new(body.boxed()));
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(match store.rest(&head.method, path, &body) {
        Some(answer) => Response::new(Full::new(Bytes::from(answer.to_string())).boxed()),
        None => status(StatusCode::NOT_FOUND),
    })
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = status;
    response
}

/// A fake on a port of its own, both protocols on one.
async fn start() -> (Arc<Mutex<Store>>, Collection) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = Address::local(listener.local_addr().expect("it is bound").port());
    let store = Arc::new(Mutex::new(Store::default()));
    let served = Arc::clone(&store);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let store = Arc::clone(&served);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&store), request));
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (store, Collection { rest: address.clone(), grpc: address, name: "c".to_owned(), api_key: Some(KEY.to_owned()) })
}

fn set() -> Set {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, seed: u64, rows: usize| {
        let path = folder.path().join(name);
        let mut writer = npy::Writer::create(&path, npy::Kind::F32, rows, 6).expect("it opens");
        writer.write(&Values::new(seed).take(rows * 6)).expect("it fits");
        writer.finish().expect("it is full");
        path
    };
    let arguments = SetArguments {
        base: write("base.npy", 1, 200),
        query: write("query.npy", 2, 8),
        truth: None,
        jsonl: None,
        query_jsonl: None,
        metric: MetricName::Cosine,
        skew: 0.0,
        rows: None,
        queries: None,
        cache: None,
    };
    Set::load(&arguments).expect("it is sound")
}

#[tokio::test]
async fn both_protocols_write_and_find_the_same() {
    let set = set();
    let state = State::fresh(set.base.rows());
    let (store, collection) = start().await;
    let dialects: [Box<dyn Dialect>; 2] = [Box::new(QdrantGrpc(collection.clone())), Box::new(QdrantRest::new(collection.clone()))];
    let mut stored = Vec::new();
    for dialect in &dialects {
        collection.create(set.base.dimension(), set.metric).await.expect("it is made");
        let mut connection = Connection::open(&**dialect).await.expect("it listens");
        for part in state.records.chunks(70) {
            connection.upsert(dialect.upsert(&set, part).expect("it is small")).await.expect("it is taken");
        }
        collection.settle(200).await.expect("it is green");
        for class in [Class::All, Class::Tenth, Class::Correlated] {
            let truth = set.truth(&state, class, 5).expect("nothing is read");
            for query in 0..set.queries.rows() as u32 {
                let asked = Asked { class, k: 5, effort: (query % 2 == 0).then_some(64.0) };
                let body = dialect.query(&set, query, asked).expect("it is small");
                let rows = dialect.rows(connection.query(body).await.expect("it answers")).expect("it is sound");
                assert_eq!(rows, truth[query as usize], "{:?} {class:?} {query}", dialect.protocol());
            }
        }
        let mut store = store.lock().expect("nobody panicked");
        assert_eq!(std::mem::take(&mut store.widths), [Some(64), None].repeat(12));
        stored.push(std::mem::take(&mut store.points));
    }
    assert_eq!(stored[0], stored[1]);
}

#[tokio::test]
async fn a_refusal_is_a_failure() {
    let (_store, mut collection) = start().await;
    collection.api_key = None;
    assert!(collection.create(3, Metric::Cosine).await.expect_err("no key").to_string().contains("401"));
}
