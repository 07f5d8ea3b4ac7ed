//! Kills the real process while what was deleted is purged. Whatever was deleted is at every start either still kept or reported as gone, with
//! a signature that holds; in the end all of it is gone.
//!
//! `PINYON_CRASH_KILLS` (default 10) kills at random moments, `PINYON_CRASH_SEED` chooses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::Client,
    load::Random,
    process::{Directory, Server},
    setting,
};

/// So long is kept what was deleted. A purge comes at most a fifth of it later.
const WINDOW: (&str, &str) = ("PINYON_DELETION_WINDOW", "1s");
/// Indexes that are deleted together; as many namespaces of an index that stays go with them, and backups of that.
const AT_ONCE: usize = 2;

fn command(dir: &Directory, command: Value) -> Value {
    let answer = Client::operator(&dir.data()).command(&command).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// What is kept and what is reported as purged, by kind and name, each with the id of its deletion.
fn account(dir: &Directory) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let named = |row: &Value| (format!("{} {}", row["kind"], row["name"]), row["id"].as_str().unwrap().to_owned());
    let some = |row: &&Value| ["index", "namespace", "backup"].iter().any(|kind| row["kind"] == *kind);
    let kept = command(dir, json!({"command": "list-deleted"}));
    let kept = kept["deleted"].as_array().unwrap().iter().filter(some).map(named).collect();
    let gone = command(dir, json!({"command": "deletion-report", "id": null}));
    let gone = gone["reports"].as_array().unwrap().iter().map(|r| &r["deleted"]).filter(some).map(named).collect();
    (kept, gone)
}

fn create(control: &mut Client, name: &str) -> Client {
    let body = json!({"name": name, "dimension": 3, "metric": "cosine", "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
    let made = control.send("POST", "/indexes", Some(&body)).expect("an answer");
    assert_eq!(made.status, 201, "{made:?}");
    Client::new(made.body["host"].as_str().unwrap().trim_start_matches("http://"))
}

fn upsert(data: &mut Client, namespace: &str) {
    let records: Vec<Value> = (0..20).map(|i| json!({"id": format!("r{i}"), "values": [i, 1, 2]})).collect();
    let answer = data.send("POST", "/vectors/upsert", Some(&json!({"vectors": records, "namespace": namespace}))).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn delete(client: &mut Client, path: &str) {
    let gone = client.send("DELETE", path, None).expect("an answer");
    assert!(gone.status == 202 || gone.status == 200, "{path}: {gone:?}");
}

/// Makes indexes, namespaces and backups with records and deletes them; their kinds and names.
fn delete_some(server: &Server, round: u64) -> Vec<String> {
    let mut control = Client::new(&server.control_host());
    let described = control.send("GET", "/indexes/stays", None).expect("an answer");
    let mut stays = match described.body["host"].as_str() {
        Some(host) => Client::new(host.trim_start_matches("http://")),
        None => create(&mut control, "stays"),
    };
    let mut deleted = Vec::new();
    for n in 0..AT_ONCE {
        let name = format!("doomed-{round}-{n}");
        upsert(&mut create(&mut control, &name), "");
        upsert(&mut stays, &name);
        let made = control.send("POST", "/indexes/stays/backups", Some(&json!({"name": name}))).expect("an answer");
        assert!(made.status < 300, "{made:?}");
        let backup = format!("/backups/{}", made.body["backup_id"].as_str().unwrap());
        let patience = Instant::now() + Duration::from_secs(30);
        while control.send("GET", &backup, None).expect("an answer").body["status"] != "Ready" {
            assert!(Instant::now() < patience, "{made:?}");
            thread::sleep(Duration::from_millis(5));
        }
        delete(&mut control, &backup);
        delete(&mut stays, &format!("/namespaces/{name}"));
        delete(&mut control, &format!("/indexes/{name}"));
        let named = [("index", name.clone()), ("namespace", format!("stays/{name}")), ("backup", name)];
        deleted.extend(named.map(|(kind, name)| format!("{} {}", json!(kind), json!(name))));
    }
    deleted
}

#[test]
fn kill_amid_purges() {
    let kills = setting("PINYON_CRASH_KILLS", 10);
    let mut random = Random::new(setting("PINYON_CRASH_SEED", 1));
    let dir = Directory::new();
    let mut server = Server::start(&dir, &[WINDOW]);
    let mut deleted = BTreeSet::new();
    let mut amid = 0;
    for round in 0..kills {
        deleted.extend(delete_some(&server, round));
        // From just before the first one is due to when all should be gone.
        server.kill_after(Duration::from_millis(900 + random.below(400)));
        server = Server::start(&dir, &[WINDOW]);
        let (kept, gone) = account(&dir);
        let known: BTreeSet<String> = kept.keys().chain(gone.keys()).cloned().collect();
        assert_eq!(known, deleted, "each is kept, or reported");
        amid += u64::from(!kept.is_empty() && gone.len() > (round as usize) * 3 * AT_ONCE / 2);
    }
    let patience = Instant::now() + Duration::from_secs(30);
    let gone = loop {
        let (kept, gone) = account(&dir);
        if kept.is_empty() {
            break gone;
        }
        assert!(Instant::now() < patience, "still kept: {kept:?}");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(gone.keys().cloned().collect::<BTreeSet<_>>(), deleted);
    let left = |folder: &str| std::fs::read_dir(dir.data().join(folder)).map_or(0, |entries| entries.count());
    assert_eq!((left("indexes"), left("backups")), (1, 0), "nothing is left of them");
    let stays = std::fs::read_dir(dir.data().join("indexes")).unwrap().flatten().next().unwrap().path();
    assert_eq!(std::fs::read_dir(stays.join("namespaces")).map_or(0, |entries| entries.count()), 0, "nor of the namespaces");
    for id in gone.values() {
        let document = command(&dir, json!({"command": "deletion-report", "id": id}))["document"].clone();
        let verified = command(&dir, json!({"command": "verify-deletion-report", "document": document}));
        assert_eq!(verified["genuine"], json!(true), "{document}");
    }
    let (whole, said) = dir.command(&["check"]);
    assert!(whole, "{said}");
    server.terminate();
    println!(
        "{kills} kills, {} indexes, namespaces and backups deleted, {} reports verified, {amid} starts that found some of them kept and some gone",
        deleted.len(),
        gone.len()
    );
}
