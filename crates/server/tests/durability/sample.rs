//! A small data set that meets every stored file type, and everything a reader can see of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    http::{Client, encode},
    process::Server,
};

/// Texts and numbers that no file may show.
pub(crate) const INDEX: &str = "plant-index-kestrel";
pub(crate) const TAG_KEY: &str = "plant-tag-key-osprey";
pub(crate) const TAG_VALUE: &str = "plant tag value merlin";
pub(crate) const NAMESPACE: &str = "plant namespace harrier";
pub(crate) const ID: &str = "plant-id-goshawk";
pub(crate) const FIELD: &str = "plant_field_buzzard";
pub(crate) const TEXT: &str = "plant metadata text peregrine";
pub(crate) const VALUES: [f32; 4] = [0.123_456_79, -1.758_391_1, 2.646_813_6, -3.535_353_5];
pub(crate) const SPARSE_INDICES: [u32; 3] = [1_234_567, 87_654_321, 3_141_592_653];
pub(crate) const SPARSE_VALUES: [f32; 3] = [0.987_654_3, 1.234_567_9, 2.345_678_8];

fn ok(answer: Option<crate::http::Answer>) -> Value {
    let answer = answer.expect("an answer");
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.body
}

/// Makes the index and fills it: namespaces that were flushed and compacted, with deletes, and some that live in their log alone.
pub(crate) fn fill(server: &Server) {
    let mut control = Client::new(&server.control_host());
    let body = json!({"name": INDEX, "dimension": 4, "metric": "dotproduct", "tags": {TAG_KEY: TAG_VALUE},
        "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
    ok(control.send("POST", "/indexes", Some(&body)));
    let mut data = Client::new(&server.index_host());
    for namespace in ["", NAMESPACE, "small one", "small two"] {
        let batches = if namespace.starts_with("small") { 1 } else { 12 };
        for batch in 0..batches {
            let vectors: Vec<Value> = (0..40).map(|n| record(batch * 40 + n)).collect();
            ok(data.send("POST", "/vectors/upsert", Some(&json!({"vectors": vectors, "namespace": namespace}))));
        }
        let ids: Vec<String> = (0..7).map(|n| id(n * 5)).collect();
        ok(data.send("POST", "/vectors/delete", Some(&json!({"ids": ids, "namespace": namespace}))));
        let set = json!({"filter": {"n": {"$lt": 9}}, "setMetadata": {"late": "plant late set"}, "namespace": namespace});
        ok(data.send("POST", "/vectors/update", Some(&set)));
        ok(data.send("POST", "/vectors/upsert", Some(&json!({"vectors": [record(2000)], "namespace": namespace}))));
    }
}

fn id(n: u64) -> String {
    format!("{ID}-{n}")
}

fn record(n: u64) -> Value {
    let scale = 1.0 + n as f32;
    let values: Vec<f32> = if n == 2000 { VALUES.to_vec() } else { VALUES.iter().map(|v| v * scale / 7.0).collect() };
    let sparse: Vec<f32> = if n == 2000 { SPARSE_VALUES.to_vec() } else { SPARSE_VALUES.iter().map(|v| v / scale).collect() };
    json!({"id": id(n), "values": values, "sparseValues": {"indices": SPARSE_INDICES, "values": sparse},
        "metadata": {FIELD: format!("{TEXT} {}", n % 10), "n": n, "even": n.is_multiple_of(2), "list": ["plant list red kite", format!("l{}", n % 3)]}})
}

/// One read and what it answered, or its refusal.
pub(crate) type Reads = BTreeMap<String, (u16, Value)>;

/// Everything a reader can see, as answers by request.
pub(crate) fn read(server: &Server) -> Reads {
    let mut reads = Reads::new();
    let mut control = Client::new(&server.control_host());
    for path in ["/indexes", &format!("/indexes/{INDEX}")] {
        keep(&mut reads, &mut control, "GET", path, None);
    }
    let mut data = Client::new(&server.index_host());
    keep(&mut reads, &mut data, "POST", "/describe_index_stats", Some(json!({})));
    keep(&mut reads, &mut data, "GET", "/namespaces", None);
    for namespace in ["", NAMESPACE, "small one", "small two"] {
        keep(&mut reads, &mut data, "GET", &format!("/vectors/list?limit=100&namespace={}", encode(namespace)), None);
        let query = json!({"vector": VALUES, "topK": 1000, "includeValues": true, "includeMetadata": true, "namespace": namespace});
        keep(&mut reads, &mut data, "POST", "/query", Some(query));
        let hybrid = json!({"vector": VALUES, "sparseVector": {"indices": SPARSE_INDICES, "values": SPARSE_VALUES}, "topK": 20, "namespace": namespace,
            "filter": {"$and": [{FIELD: {"$ne": format!("{TEXT} 3")}}, {"n": {"$gte": 11}}, {"list": "l1"}]}});
        keep(&mut reads, &mut data, "POST", "/query", Some(hybrid));
    }
    reads
}

fn keep(reads: &mut Reads, client: &mut Client, method: &str, path: &str, body: Option<Value>) {
    let answer = client.send(method, path, body.as_ref());
    let (status, body_out) = answer.map_or((0, Value::Null), |a| (a.status, a.body));
    reads.insert(format!("{method} {path} {}", body.map(|b| b.to_string()).unwrap_or_default()), (status, body_out));
}
