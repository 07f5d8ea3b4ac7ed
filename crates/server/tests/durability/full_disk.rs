//! A disk that really fills up: writes are refused, reads and deletions work, and writes resume when there is room.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Client},
    process::{Directory, Server},
};

const DIMENSION: usize = 1_000;
/// The file that [`occupy`] makes, in the data directory.
const BALLAST: &str = "ballast";
/// Bytes that [`occupy`] leaves: less than the reserve of 64 MiB, by more than the logs of a few batches.
const LEFT: u64 = 32 << 20;

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

/// Fills a disk from outside, so that it stays full: what is written by the server alone may give room back whenever a flush ends.
fn occupy(disk: &Path) {
    let mut ballast = File::create(disk.join(BALLAST)).expect("a file");
    let room = |file: &File| rustix::fs::fstatvfs(file).map(|s| s.f_bavail * s.f_frsize).expect("the state of the disk");
    while room(&ballast) > LEFT {
        ballast.write_all(&[0; 1 << 20]).expect("room for it");
    }
}

/// What has this path, once its field is one of these.
fn until(control: &mut Client, path: &str, field: &str, wanted: &[&str]) -> Value {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let answer = control.send("GET", path, None).expect("an answer");
        if answer.status == 200 && answer.body.pointer(field).and_then(Value::as_str).is_some_and(|found| wanted.contains(&found)) {
            return answer.body;
        }
        assert!(std::time::Instant::now() < patience, "{path} is none of {wanted:?}: {answer:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn on_a_full_disk_backups_and_restores_fail_with_a_reason_and_harm_nothing() {
    let dir = Directory::on_a_small_disk(160);
    let server = Server::start(&dir, &[("PINYON_DELETION_WINDOW", "0s")]);
    let (mut kept, mut other) = (create(&server, "kept"), create(&server, "other"));
    let mut control = Client::new(&server.control_host());
    (0..6).for_each(|batch| assert_eq!(upsert(&mut kept, batch).status, 200));
    let made = control.send("POST", "/indexes/kept/backups", Some(&json!({"name": "early"}))).expect("an answer");
    assert!(made.status < 300, "{made:?}");
    let early = made.body["backup_id"].as_str().expect("an id").to_owned();
    until(&mut control, &format!("/backups/{early}"), "/status", &["Ready"]);
    occupy(&server.disk(&dir));
    // The server asks how much is free every few megabytes.
    let mut acknowledged = 0;
    let refusal = fill(&mut other, &mut acknowledged);
    assert_eq!(refusal.status, 503, "{refusal:?}");

    let late = control.send("POST", "/indexes/other/backups", Some(&json!({"name": "late"}))).expect("an answer");
    if late.status < 300 {
        let id = late.body["backup_id"].as_str().expect("an id");
        let ended = until(&mut control, &format!("/backups/{id}"), "/status", &["Ready", "Failed"]);
        assert!(ended["status"] == "Ready" || ended["error_message"].as_str().is_some_and(|told| told.contains("disk")), "{ended}");
        println!("a backup on a full disk is {}: {}", ended["status"], ended["error_message"]);
    } else {
        println!("a backup on a full disk is refused: {} {}", late.status, late.body);
        assert!(late.status == 503 && late.body.to_string().contains("disk"), "{late:?}");
    }
    let path = format!("/backups/{early}/create-index");
    let restored = control.send("POST", &path, Some(&json!({"name": "again"}))).expect("an answer");
    if restored.status < 300 {
        let job = restored.body["restore_job_id"].as_str().expect("an id").to_owned();
        let ended = until(&mut control, &format!("/restore-jobs/{job}"), "/status", &["Completed", "Failed"]);
        println!("a restore on a full disk is {}: {}", ended["status"], ended["error_message"]);
        assert!(ended["error_message"].as_str().is_some_and(|told| told.contains("disk")), "{ended}");
        let gone = control.send("DELETE", "/indexes/again", None).expect("an answer");
        assert_eq!(gone.status, 202, "{gone:?}");
    } else {
        println!("a restore on a full disk is refused: {} {}", restored.status, restored.body);
        assert!(restored.status == 503 && restored.body.to_string().contains("disk"), "{restored:?}");
    }
    assert_eq!((count(&mut kept), count(&mut other)), (2_400, acknowledged * 400));

    fs::remove_file(server.disk(&dir).join(BALLAST)).expect("the file goes");
    for backup in control.send("GET", "/backups", None).expect("an answer").body["data"].as_array().expect("a list") {
        let id = backup["backup_id"].as_str().expect("an id");
        assert!(id == early || control.send("DELETE", &format!("/backups/{id}"), None).expect("an answer").status == 202);
    }
    let restored = control.send("POST", &path, Some(&json!({"name": "again"}))).expect("an answer");
    assert!(restored.status < 300, "with room it is restored: {restored:?}");
    let found = until(&mut control, "/indexes/again", "/status/state", &["Ready"]);
    let host = found["host"].as_str().expect("a host").replace("http://", "").replace("localhost", "127.0.0.1");
    assert_eq!(count(&mut Client::new(&host)), 2_400);
    server.terminate();
}
