//! What is wrong is said in the envelope of its plane, and never by a 5xx.

use serde_json::json;

use crate::kit::{Api, Home, record};

#[tokio::test]
async fn every_plane_has_its_envelope() {
    let home = Home::new();
    let server = home.dev(&[]);
    let api = Api::new("any");
    api.create_index(&server, "a").await;
    let (control, index) = (server.url(), server.index_url(1));

    let r = api.get(&format!("{control}/indexes/missing")).await;
    assert_eq!((r.status, &r.json()["error"]["code"], &r.json()["status"]), (404, &json!("NOT_FOUND"), &json!(404)));
    let r = api.post(&format!("{index}/query"), json!({"vector": [1, 2], "topK": 1})).await;
    assert_eq!((r.status, &r.json()["code"], &r.json()["details"]), (400, &json!(3), &json!([])));
    assert_eq!(r.json()["message"], "Vector dimension 2 does not match the dimension of the index 3");
    let r = api.post(&format!("{control}/indexes"), crate::kit::index_spec("a")).await;
    assert_eq!((r.status, &r.json()["error"]["code"]), (409, &json!("ALREADY_EXISTS")));
    let r = api.post(&format!("{control}/indexes"), crate::kit::index_spec("Bad_Name")).await;
    assert!(r.status == 400 && r.json()["error"]["message"].as_str().unwrap().contains("alphanumeric character"), "{r:?}");
    let r = api.post(&format!("{control}/indexes"), json!({"name": "b"})).await;
    assert!(matches!(r.status, 400 | 422), "{r:?}");
    // Known, and not there yet: the envelope of its plane too.
    let r = api.post(&format!("{control}/embed"), json!({})).await;
    assert_eq!((r.status, &r.json()["error"]["code"]), (501, &json!("UNIMPLEMENTED")));
    let r = api.get(&format!("{index}/bulk/imports")).await;
    assert_eq!((r.status, &r.json()["code"]), (501, &json!(12)));
}

#[tokio::test]
async fn a_missing_key_is_told_apart_by_plane() {
    let home = Home::new();
    let server = home.serve(&[]);
    Api::new(&home.first_key()).create_index(&server, "a").await;
    let r = Api::bare().get(&format!("{}/indexes", server.url())).await;
    assert_eq!((r.status, &r.json()["error"]["message"]), (401, &json!("Invalid API key.")));
    let r = Api::new("wrong").get(&format!("{}/namespaces", server.index_url(1))).await;
    assert_eq!((r.status, r.header("content-type").unwrap(), &r.body[..]), (401, "text/plain; charset=utf-8", &b"Invalid API key."[..]));
    // Either header carries a key.
    let r = Api::bare().with("Authorization", &format!("Bearer {}", home.first_key())).get(&format!("{}/indexes", server.url())).await;
    assert_eq!(r.status, 200);
}

#[tokio::test]
async fn paths_methods_and_dates() {
    let home = Home::new();
    let server = home.dev(&[]);
    let api = Api::new("any");
    api.create_index(&server, "a").await;
    let (control, index) = (server.url(), server.index_url(1));

    assert_eq!(api.get(&format!("{control}/nothing")).await.status, 404);
    assert_eq!(api.get(&format!("{control}/query")).await.status, 404, "the control plane has no records");
    assert_eq!(api.get(&format!("{index}/indexes")).await.status, 404, "an index has no control plane");
    let r = api.send("PUT", &format!("{control}/indexes"), "{}").await;
    assert_eq!((r.status, r.header("allow")), (405, Some("GET, POST")));
    let r = api.send("OPTIONS", &format!("{control}/indexes"), "").await;
    assert_eq!((r.status, r.header("allow")), (204, Some("GET, POST")));
    assert_eq!(api.send("HEAD", &format!("{control}/indexes"), "").await.status, 405);
    assert_eq!(Api::new("any").with("X-Pinecone-Api-Version", "yesterday").get(&format!("{control}/indexes")).await.status, 400);
    for date in ["2019-01", "2024-07", "2026-01.alpha", "2026-07", "9999-12"] {
        let r = Api::new("any").with("X-Pinecone-Api-Version", date).get(&format!("{control}/indexes")).await;
        assert_eq!(
            (r.status, r.json()["indexes"][0].get("schema").is_some()),
            (200, date > "2026-04" || date.ends_with("alpha")),
            "{date}"
        );
    }
    assert_eq!(api.get(&format!("{index}/namespaces/%ff")).await.status, 400);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_the_callers_fault() {
    let home = Home::new();
    let server = home.dev(&[]);
    let api = Api::new("any");
    api.create_index(&server, "a").await;
    let url = format!("{}/vectors/upsert", server.index_url(1));
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let nested = format!(
        "{{\"vectors\":[{{\"id\":\"a\",\"values\":[1,2,3],\"metadata\":{{\"k\":{}1{}}}}}]}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for body in
        [&b"{"[..], b"[]", b"nonsense", b"\xff\xfe", b"{\"vectors\":\"x\"}", b"{\"vectors\":[{\"id\":\"\xff\"}]}", &deep, nested.as_bytes()]
    {
        let r = api.send("POST", &url, body.to_vec()).await;
        assert_eq!(r.status, 400, "{} {:?}", String::from_utf8_lossy(&body[..body.len().min(60)]), r.body);
        assert_eq!(r.json()["code"], 3);
    }
    for value in ["NaN", "1e400", "null", "\"1\""] {
        let r = api.send("POST", &url, format!("{{\"vectors\":[{{\"id\":\"a\",\"values\":[1,2,{value}]}}]}}")).await;
        assert_eq!(r.status, 400, "{value}");
    }
    let stats = api.post(&format!("{}/describe_index_stats", server.index_url(1)), json!({})).await;
    assert_eq!(stats.json()["totalVectorCount"], 0, "nothing of it was written");
}

#[tokio::test]
async fn every_answer_names_its_request_and_its_position() {
    let home = Home::new();
    let server = home.dev(&[]);
    let api = Api::new("any");
    api.create_index(&server, "a").await;
    let index = server.index_url(1);
    let r = api.post(&format!("{index}/vectors/upsert"), json!({"vectors": [record("x")]})).await;
    let lsn: u64 = r.header("x-pinecone-request-lsn").unwrap().parse().unwrap();
    let r = api.get(&format!("{index}/vectors/fetch?ids=x")).await;
    let seen: u64 = r.header("x-pinecone-max-indexed-lsn").unwrap().parse().unwrap();
    assert!(lsn >= 1 && seen >= lsn, "{lsn} {seen}");
    let r = Api::new("any").with("X-Request-Id", "my-own").get(&format!("{index}/namespaces")).await;
    assert_eq!(r.header("x-pinecone-request-id"), Some("my-own"));
    let r = api.get(&format!("{index}/nothing")).await;
    assert_eq!(r.header("x-pinecone-request-id").unwrap().len(), 36);
}

#[tokio::test]
async fn health_needs_no_key() {
    let home = Home::new();
    let server = home.serve(&[]);
    Api::new(&home.first_key()).create_index(&server, "a").await;
    for url in [server.url(), server.index_url(1)] {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(Api::bare().get(&format!("{url}{path}")).await.status, 200);
            assert_eq!(Api::bare().send("HEAD", &format!("{url}{path}"), "").await.status, 200);
        }
    }
}
