//! What was deleted is nowhere after its window: records are planted, and a search opens every object and every log frame with the keys that
//! there are. It finds the plants before, and not after; and with the keys kept apart, an older copy of the data yields nothing to
//! the keys of today.
//!
//! `PINYON_CANARY_WINDOW_S` (default 3) is the window in seconds.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use pinyon_model::{IndexId, Lsn, NamespaceId};
use pinyon_storage::{BlobStore, KeyStore, LocalStore, Log, LogKind, LogOptions, ObjectKind, RootKey, SealedStore, Space};
use serde_json::{Value, json};

use crate::{
    http::Client,
    process::{Directory, Server, copy},
    setting,
};

/// What a search opened and found.
#[derive(Debug, Default)]
struct Found {
    objects: usize,
    frames: usize,
    /// What none of the keys opens.
    closed: Vec<String>,
    plants: BTreeSet<&'static str>,
}

/// Each is the text of a record.
const PLANTS: [&str; 6] = [
    "plant-deleted-record-in-a-segment",
    "plant-deleted-record-in-the-log",
    "plant-overwritten-record",
    "plant-record-deleted-by-filter",
    "plant-deleted-namespace",
    "plant-deleted-index",
];

impl Found {
    fn look(&mut self, plain: &[u8]) {
        self.plants.extend(PLANTS.iter().filter(|p| plain.windows(p.len()).any(|w| w == p.as_bytes())));
    }
}

/// Opens everything below `indexes/` and `backups/` of a data directory that nobody uses.
fn search(data: &Path, keys: &Path, root: &RootKey) -> Found {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let keys = KeyStore::open(keys, root.clone()).unwrap();
        let store = std::sync::Arc::new(LocalStore::open(data, Space::unlimited()).unwrap());
        let sealed = SealedStore::new(store.clone());
        let mut found = Found::default();
        let mut logs = BTreeSet::new();
        for blob in store.list("indexes/").await.unwrap() {
            let parts: Vec<&str> = blob.name.split('/').collect();
            let index = IndexId::parse(parts[1]).unwrap();
            let namespace = (parts[2] == "namespaces").then(|| NamespaceId::parse(parts[3]).unwrap());
            if parts.last().unwrap().starts_with("log-") {
                logs.insert((index, namespace, blob.name.rsplit_once('/').unwrap().0.to_owned()));
                continue;
            }
            let bytes = store.get(&blob.name).await.unwrap().0;
            let kind = ObjectKind(u16::from_le_bytes([bytes[10], bytes[11]]));
            let opened = match namespace {
                Some(namespace) => match keys.namespace_keys(index, namespace) {
                    Ok(ring) => sealed.open(&blob.name, kind, &*ring).await,
                    Err(error) => Err(error),
                },
                None => match keys.index_key(index) {
                    Ok(key) => sealed.open(&blob.name, kind, &*key).await,
                    Err(error) => Err(error),
                },
            };
            let read = match opened {
                Ok(reader) => reader.read_all().await,
                Err(error) => Err(error),
            };
            match read {
                Ok(plain) => {
                    found.objects += 1;
                    found.look(&plain);
                }
                Err(error) => found.closed.push(format!("{}: {error}", blob.name)),
            }
        }
        for (index, namespace, folder) in logs {
            let ring = match namespace {
                Some(namespace) => keys.namespace_keys(index, namespace).map(|ring| (*ring).clone()),
                None => keys.index_key(index).map(Into::into),
            };
            let Ok(ring) = ring else {
                found.closed.push(folder);
                continue;
            };
            let (kind, owner) = match namespace {
                Some(namespace) => (LogKind::NAMESPACE, *namespace.as_bytes()),
                None => (LogKind::NAMESPACE_LIST, *index.as_bytes()),
            };
            let dir = data.join(&folder);
            let options = LogOptions { kind, owner, keys: ring, after: Lsn(first_lsn(&dir)), space: Space::unlimited() };
            match Log::open(dir, options) {
                Ok((_, frames)) => {
                    found.frames += frames.len();
                    frames.iter().for_each(|(_, frame)| found.look(frame));
                }
                Err(error) => found.closed.push(format!("{folder}: {error}")),
            }
        }
        found
    })
}

/// What comes before the oldest frame of a log, so that every frame there is read.
fn first_lsn(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().starts_with("log-"));
    let base = |path: PathBuf| Some(u64::from_le_bytes(fs::read(path).ok()?.get(104..112)?.try_into().ok()?));
    files.filter_map(|e| base(e.path())).min().unwrap_or(0)
}

struct House {
    dir: Directory,
    keys: PathBuf,
    window: String,
}

impl House {
    fn start(&self) -> Server {
        let keys = self.keys.to_str().unwrap().to_owned();
        Server::start(&self.dir, &[("PINYON_DELETION_WINDOW", &self.window), ("PINYON_KEY_DIR", &keys)])
    }

    fn root(&self) -> RootKey {
        RootKey::load(&self.dir.path().join("config/root.key"), &self.dir.data()).unwrap()
    }

    fn search(&self, data: &Path) -> Found {
        search(data, &self.keys, &self.root())
    }
}

fn create(server: &Server, name: &str) -> (String, Client) {
    let body = json!({"name": name, "dimension": 3, "metric": "cosine", "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
    let made = Client::new(&server.control_host()).send("POST", "/indexes", Some(&body)).expect("an answer");
    assert_eq!(made.status, 201, "{made:?}");
    let host = made.body["host"].as_str().unwrap().trim_start_matches("http://").to_owned();
    (host.clone(), Client::new(&host))
}

fn upsert(data: &mut Client, namespace: &str, id: &str, text: &str) {
    let record = json!({"id": id, "values": [1, 2, 3], "metadata": {"text": text}});
    let answer = data.send("POST", "/vectors/upsert", Some(&json!({"vectors": [record], "namespace": namespace}))).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn post(data: &mut Client, path: &str, body: Value) {
    let answer = data.send("POST", path, Some(&body)).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn reports(dir: &Directory) -> Vec<Value> {
    let answer = Client::operator(&dir.data()).command(&json!({"command": "deletion-report", "id": null})).expect("an answer");
    answer.body["reports"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone()
}

#[test]
fn what_was_deleted_is_nowhere_after_its_window() {
    let window_s = setting("PINYON_CANARY_WINDOW_S", 3);
    let dir = Directory::new();
    let keys = dir.path().join("keys");
    let house = House { dir, keys, window: format!("{window_s}s") };
    let server = house.start();
    let (_, mut films) = create(&server, "films");
    let (_, mut books) = create(&server, "books");
    upsert(&mut films, "", "segment", PLANTS[0]);
    upsert(&mut films, "", "overwritten", PLANTS[2]);
    upsert(&mut films, "", "filtered", PLANTS[3]);
    // More than a memtable, so that some of it is in segments.
    for n in 0..300 {
        upsert(&mut films, "", &format!("filler-{n}"), &"filler ".repeat(40));
    }
    upsert(&mut films, "quiet", "log", PLANTS[1]);
    upsert(&mut films, "doomed", "namespace", PLANTS[4]);
    upsert(&mut books, "", "index", PLANTS[5]);
    server.terminate();
    let before = house.search(&house.dir.data());
    assert_eq!(before.plants, PLANTS.into_iter().collect(), "the search sees every plant: {before:?}");
    assert!(before.closed.is_empty(), "{before:?}");
    let older = house.dir.path().join("older");
    copy(&house.dir.data(), &older);

    let server = house.start();
    let host = |name: &str| {
        let described = Client::new(&server.control_host()).send("GET", &format!("/indexes/{name}"), None).expect("an answer");
        described.body["host"].as_str().unwrap().trim_start_matches("http://").to_owned()
    };
    let mut films = Client::new(&host("films"));
    post(&mut films, "/vectors/delete", json!({"ids": ["segment"]}));
    post(&mut films, "/vectors/delete", json!({"ids": ["log"], "namespace": "quiet"}));
    post(&mut films, "/vectors/delete", json!({"filter": {"text": PLANTS[3]}}));
    upsert(&mut films, "", "overwritten", "something else");
    let gone = films.send("DELETE", "/namespaces/doomed", None).expect("an answer");
    assert_eq!(gone.status, 200, "{gone:?}");
    let gone = Client::new(&server.control_host()).send("DELETE", "/indexes/books", None).expect("an answer");
    assert_eq!(gone.status, 202, "{gone:?}");
    let since = reports(&house.dir).len();
    // Twice in each window for the records, and once it is over for the rest.
    let patience = Instant::now() + Duration::from_secs(window_s * 3 + 20);
    let all = loop {
        let all = reports(&house.dir);
        let new = |kind: &str| all.iter().skip(since.min(all.len())).filter(|r| r["deleted"]["kind"] == kind).count();
        if new("records") > 0
            && all.iter().any(|r| r["deleted"]["kind"] == "namespace")
            && all.iter().any(|r| r["deleted"]["kind"] == "index")
        {
            break all;
        }
        assert!(Instant::now() < patience, "{all:?}");
        thread::sleep(Duration::from_millis(100));
    };
    // One more pass for the records: the first may have begun before the last deletion.
    thread::sleep(Duration::from_millis(window_s * 600 + 500));
    for report in &all {
        let id = report["deleted"]["id"].as_str().unwrap();
        let (told, document) = house.dir.command(&["deleted", "report", id]);
        assert!(told, "{document}");
        let file = house.dir.path().join("report");
        fs::write(&file, &document).unwrap();
        assert!(house.dir.command(&["deleted", "report", "--verify", file.to_str().unwrap()]).0, "{document}");
        fs::write(&file, document.replacen("kept until: ", "kept until: 1", 1)).unwrap();
        assert!(!house.dir.command(&["deleted", "report", "--verify", file.to_str().unwrap()]).0, "a changed report");
    }
    server.terminate();

    let after = house.search(&house.dir.data());
    assert!(after.plants.is_empty() && after.closed.is_empty(), "{after:?}");
    assert!(after.objects > 3, "what lives is still there: {after:?}");
    let copied = house.search(&older);
    assert!(copied.plants.is_empty() && !copied.closed.is_empty(), "an older copy opens with the keys of today: {copied:?}");
    println!(
        "before: {} objects and {} frames opened, {} plants; after: {} and {}, none; an older copy: {} things that no key opens, no plant; {} reports signed",
        before.objects,
        before.frames,
        before.plants.len(),
        after.objects,
        after.frames,
        copied.closed.len(),
        all.len()
    );

    // Nor does a server that is started on the older copy bring one back.
    fs::rename(house.dir.data(), house.dir.path().join("newer")).unwrap();
    fs::rename(&older, house.dir.data()).unwrap();
    let keys = house.keys.to_str().unwrap().to_owned();
    if let Some(server) = Server::try_start(&house.dir, &[("PINYON_DELETION_WINDOW", "1d"), ("PINYON_KEY_DIR", &keys)]) {
        for (name, namespace, id) in
            [("films", "", "segment"), ("films", "quiet", "log"), ("films", "doomed", "namespace"), ("books", "", "index")]
        {
            let described = Client::new(&server.control_host()).send("GET", &format!("/indexes/{name}"), None);
            let Some(host) = described.and_then(|d| d.body["host"].as_str().map(str::to_owned)) else { continue };
            let path = format!("/vectors/fetch?ids={id}&namespace={namespace}");
            let fetched = Client::new(host.trim_start_matches("http://")).send("GET", &path, None);
            assert!(fetched.is_none_or(|f| f.body["vectors"].as_object().is_none_or(|v| v.is_empty())), "{name} {namespace}");
        }
    }
}
