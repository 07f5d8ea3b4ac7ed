//! A disk that really fills up: writes are refused, reads and deletions work, and writes resume when there is room.

use serde_json::{Value, json};

use crate::{
    http::{Answer, Client},
    process::{Directory, Server},
};

const DIMENSION: usize = 1_000;

fn create(server: &Server, name: &str) -> Client {
    let body = json!({"name": name, "dimension": DIMENSION, "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
    let answer = Client::new(&server.control_host()).send("POST", "/indexes", Some(&body)).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    let host = answer.body["host"].as_str().expect("a host");
    Client::new(&host.replace("http://", "").replace("localhost", "127.0.0.1"))
}

/// 400 records of 4,000 bytes each.
fn upsert(client: &mut Client, batch: u64) -> Answer {
    let values = |n: u64| (0..DIMENSION as u64).map(|i| ((i * 7 + n * 13 + batch) % 101) as f32 - 50.0).collect::<Vec<f32>>();
    let vectors: Vec<Value> = (0..400).map(|n| json!({"id": format!("{batch}-{n}"), "values": values(n)})).collect();
    client.send("POST", "/vectors/upsert", Some(&json!({"vectors": vectors}))).expect("an answer, not a closed connection")
}

fn count(client: &mut Client) -> u64 {
    let answer = client.send("POST", "/describe_index_stats", Some(&json!({}))).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["totalVectorCount"].as_u64().expect("a number")
}

/// Writes batches, numbered on from `acknowledged`, until five in a row are refused within a second; the first refusal.
fn fill(client: &mut Client, acknowledged: &mut u64) -> Answer {
    let mut refusals = Vec::new();
    while refusals.len() < 5 {
        let answer = upsert(client, *acknowledged);
        if answer.status == 200 {
            *acknowledged += 1;
            refusals.clear();
        } else {
            refusals.push(answer);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert!(*acknowledged < 200, "the disk does not fill up");
    }
    refusals.remove(0)
}

#[test]
fn a_full_disk_refuses_writes_and_can_be_emptied() {
    // 64 MiB and 1 % of it are the reserve; the rest takes a few dozen batches of 1.6 MB.
    let dir = Directory::on_a_small_disk(160);
    let server = Server::start(&dir, &[]);
    let mut large = create(&server, "large");
    let mut other = create(&server, "other");
    assert_eq!(upsert(&mut other, 0).status, 200);
    // A flush gives room back whenever it ends, since the log is trimmed after it: full is when neither index gets any more in the
    // same while. The other one puts the same records again and again.
    let (mut acknowledged, mut rounds) = (0, 0);
    let refusal = loop {
        let refusal = fill(&mut large, &mut acknowledged);
        if upsert(&mut other, 0).status == 503 {
            break refusal;
        }
        rounds += 1;
        assert!(rounds < 20, "the other index has room that the first has not");
    };
    println!("refused after {acknowledged} batches: {} {}", refusal.status, refusal.body);
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(refusal.body.to_string().contains("disk"), "{refusal:?}");
    assert_eq!(count(&mut large), acknowledged * 400);
    let query = json!({"id": "0-1", "topK": 3});
    let found = large.send("POST", "/query", Some(&query)).expect("an answer");
    assert_eq!((found.status, found.body["matches"][0]["id"].as_str()), (200, Some("0-1")));
    let deleted = other.send("POST", "/vectors/delete", Some(&json!({"ids": ["0-1"]}))).expect("an answer");
    assert_eq!(deleted.status, 200, "records can be deleted: {deleted:?}");

    let gone = Client::new(&server.control_host()).send("DELETE", "/indexes/large", None).expect("an answer");
    assert_eq!(gone.status, 202, "{gone:?}");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while upsert(&mut other, 2).status != 200 {
        assert!(std::time::Instant::now() < patience, "writes do not resume");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(count(&mut other), 799);
    let listed = Client::new(&server.control_host()).send("GET", "/indexes", None).expect("an answer");
    assert_eq!(listed.body["indexes"].as_array().map(Vec::len), Some(1), "{listed:?}");
    server.terminate();
}
