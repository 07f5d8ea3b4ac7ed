//! What search tells of itself under `/pinyon/v1/`, and in the check.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kit::{Api, Home, Server, index_spec, record};

fn explain_url(server: &Server, index: &str) -> String {
    format!("{}/pinyon/v1/indexes/{index}/explain", server.url())
}

fn recall_url(server: &Server, index: &str) -> String {
    format!("{}/pinyon/v1/indexes/{index}/recall", server.url())
}

#[tokio::test]
async fn explain_answers_as_the_query_and_tells_how() {
    let home = Home::new();
    let server = home.dev(&[]);
    let api = Api::new("any");
    api.create_index(&server, "a").await;
    let index = server.index_url(1);
    let upserted = api.post(&format!("{index}/vectors/upsert"), json!({"vectors": [record("x"), record("y")], "namespace": "n"})).await;
    assert_eq!(upserted.status, 200);
    let query = json!({"vector": [1, 2, 3], "topK": 1, "namespace": "n", "includeMetadata": true});
    let explained = api.post(&explain_url(&server, "a"), query.clone()).await;
    assert_eq!(explained.status, 200, "{explained:?}");
    assert!(explained.header("x-pinecone-max-indexed-lsn").is_some());
    let explained = explained.json();
    let queried = api.post(&format!("{index}/query"), query).await.json();
    for part in ["matches", "namespace", "usage"] {
        assert_eq!(explained[part], queried[part], "{part}");
    }
    let segment = &explained["segments"][0];
    assert_eq!((&segment["kind"], &segment["plan"], &segment["matchingRows"]), (&json!("memtable"), &json!("exact"), &json!(2)));
    let times = &explained["microseconds"];
    let time = |name: &str| times[name].as_u64().unwrap();
    assert!(time("total") >= time("prepare") + time("search") + time("read") && time("total") > 0, "{times}");
    let nothing = api.post(&explain_url(&server, "a"), json!({"vector": [1, 2, 3], "topK": 1, "namespace": "never"})).await.json();
    assert_eq!((&nothing["segments"], &nothing["matches"]), (&json!([]), &json!([])));

    let recall = api.get(&recall_url(&server, "a")).await;
    assert_eq!(recall.status, 200);
    let unknown = json!({"target": 0.98, "samples": 0, "recall": null, "worst": null, "namespacesMeasured": 0, "namespaces": []});
    assert_eq!(recall.json(), unknown);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_envelope_of_the_control_plane() {
    let home = Home::new();
    let server = home.dev(&[]);
    let api = Api::new("any");
    api.create_index(&server, "a").await;
    for (body, code) in [
        (r#"{"vector":[1,2],"topK":1}"#, 400),
        (r#"{"vector":[1,2,3],"topK":0}"#, 400),
        (r#"{"vector":[1,2,3],"topK":1,"scanFactor":9}"#, 400),
        (r#"{"vector":[1,2,3],"topK":1,"filter":{"a":{"$what":1}}}"#, 400),
        (r#"{"vector":"#, 400),
        ("[]", 400),
        ("", 400),
    ] {
        let reply = api.send("POST", &explain_url(&server, "a"), body).await;
        assert_eq!((reply.status, reply.json()["status"].as_u64()), (code, Some(u64::from(code))), "{body}: {reply:?}");
        assert!(reply.json()["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{reply:?}");
    }
    for url in [explain_url(&server, "missing"), explain_url(&server, "Not%20A%20Name")] {
        assert_eq!(api.post(&url, json!({"vector": [1, 2, 3], "topK": 1})).await.status, 404);
    }
    assert_eq!(api.get(&recall_url(&server, "missing")).await.status, 404);
    let reply = api.get(&explain_url(&server, "a")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let on_index = format!("{}/pinyon/v1/indexes/a/recall", server.index_url(1));
    assert_eq!(api.get(&on_index).await.status, 404, "it is the control host's");
}

/// Vectors all around, the same every time.
fn vector(n: usize) -> Value {
    let angle = n as f64 * 2.399_963;
    json!([angle.sin(), angle.cos(), (n as f64 * 0.017).sin()])
}

/// Asks until the answer is as wanted.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn live_queries_are_measured_and_the_check_tells() {
    let home = Home::new();
    let config = home.path().join("small.toml");
    std::fs::write(&config, "[engine]\nmemtable = \"24KB\"\ncompact-segments = 2\n").unwrap();
    let server = home.dev(&["--config", config.to_str().unwrap()]);
    let api = Api::new("any");
    assert_eq!(api.post(&format!("{}/indexes", server.url()), index_spec("a")).await.status, 201);
    let index = server.index_url(1);
    for first in (0..4_000).step_by(1_000) {
        let vectors: Vec<Value> = (first..first + 1_000).map(|n| json!({"id": format!("{n:05}"), "values": vector(n)})).collect();
        assert_eq!(api.post(&format!("{index}/vectors/upsert"), json!({"vectors": vectors})).await.status, 200);
    }
    let query = |n: usize| json!({"vector": vector(n), "topK": 10});
    let walked = until("a segment has codes", async || {
        let explained = api.post(&explain_url(&server, "a"), query(7)).await.json();
        explained["segments"].as_array().unwrap().iter().find(|s| s["plan"] == "walk").cloned()
    });
    let walked = walked.await;
    // Which of the best are read exactly is decided over all segments.
    assert!(
        walked["scanCodes"].as_u64() > Some(0) && walked["secondCodes"].as_u64() >= Some(10) && walked["segment"].is_string(),
        "{walked}"
    );

    let recall = until("queries are replayed", async || {
        for n in 0..50 {
            assert_eq!(api.post(&format!("{index}/query"), query(n)).await.status, 200);
        }
        let recall = api.get(&recall_url(&server, "a")).await.json();
        (recall["samples"].as_u64() > Some(0)).then_some(recall)
    });
    let recall = recall.await;
    assert!(recall["recall"].as_f64().unwrap() > 0.8, "{recall}");
    assert_eq!(recall["namespaces"][0]["namespace"], "__default__");
    let line = |report: String| report.lines().find(|l| l.starts_with("recall")).map(str::to_owned).unwrap_or(report);
    assert!(line(home.run(&["check"])).contains("index a: ") && line(home.run(&["check"])).contains("live queries"));
    server.stop();
    let report = home.run(&["check"]);
    assert!(line(report.clone()).contains("probes made of stored vectors") && report.contains("all is well"), "{report}");
}
