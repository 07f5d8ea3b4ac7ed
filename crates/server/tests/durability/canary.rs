//! What was deleted is nowhere after its window: records are planted, and a search opens every object and every log frame with the keys that
//! there are. It finds the plants before, and not after; and with the keys kept apart, an older copy of the data yields nothing to
//! the keys of today.
//!
//! `PINYON_CANARY_WINDOW_S` (default 3) is the window in seconds.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use pinyon_model::{BackupId, IndexId, Lsn, NamespaceId};
use pinyon_storage::{
    BlobStore, DataKey, KeyId, KeyRing, KeyStore, LocalStore, Log, LogKind, LogOptions, ObjectKind, Opens, RootKey, SEALED_KEY,
    SealedStore, Space, StorageError,
};
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
    /// Those of them that are in backups.
    backed_up: BTreeSet<&'static str>,
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
    fn look(&mut self, name: &str, plain: &[u8]) {
        let seen = PLANTS.into_iter().filter(|p| plain.windows(p.len()).any(|w| w == p.as_bytes()));
        for plant in seen {
            self.plants.insert(plant);
            if name.starts_with("backups/") {
                self.backed_up.insert(plant);
            }
        }
    }
}

/// The keys that a backup brings along, as its manifest has them (docs/formats.md).
struct BackupKeys(Vec<DataKey>);

impl Opens for BackupKeys {
    fn key(&self, id: KeyId) -> Option<&DataKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

impl BackupKeys {
    fn read(backup: BackupId, above: &DataKey, manifest: &[u8]) -> Self {
        let (id, rest) = manifest.split_first_chunk::<16>().unwrap();
        assert_eq!(id, backup.as_bytes());
        let (count, rest) = rest.split_first_chunk().unwrap();
        let context = [b"pinyon backup ".as_slice(), backup.as_bytes()].concat();
        let open = |entry: &[u8]| {
            let (id, sealed) = entry.split_first_chunk().unwrap();
            above.open_key(&context, KeyId::from_bytes(*id), sealed.try_into().unwrap()).unwrap()
        };
        Self(rest.chunks(16 + SEALED_KEY).take(u32::from_le_bytes(*count) as usize).map(open).collect())
    }
}

/// A data directory that nobody uses, with keys.
struct Search {
    store: Arc<LocalStore>,
    sealed: SealedStore,
    keys: KeyStore,
}

impl Search {
    /// Opens everything below `indexes/` and `backups/`.
    fn all(data: &Path, keys: &Path, root: &RootKey) -> Found {
        let store = Arc::new(LocalStore::open(data, Space::unlimited()).unwrap());
        let search = Self { sealed: SealedStore::new(store.clone()), store, keys: KeyStore::open(keys, root.clone()).unwrap() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut found = Found::default();
            let mut logs = BTreeSet::new();
            for folder in ["indexes/", "backups/"] {
                for blob in search.store.list(folder).await.unwrap() {
                    match blob.name.rsplit_once('/').unwrap() {
                        (folder, file) if file.starts_with("log-") => drop(logs.insert(folder.to_owned())),
                        _ => search.object(&blob.name, &mut found).await,
                    }
                }
            }
            logs.iter().for_each(|folder| search.log(data, folder, &mut found));
            found
        })
    }

    async fn object(&self, name: &str, found: &mut Found) {
        match self.read(name).await {
            Ok(plain) => {
                found.objects += 1;
                found.look(name, &plain);
            }
            Err(error) => found.closed.push(format!("{name}: {error}")),
        }
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, StorageError> {
        let keys = match *name.split('/').collect::<Vec<_>>() {
            ["indexes", index, "namespaces", namespace, _] => self.ring(index, Some(namespace))?,
            ["indexes", index, "namespace-list", _] | ["indexes", index, _] => self.ring(index, None)?,
            ["backups", backup, file] => {
                let id = BackupId::parse(backup).unwrap();
                let above = self.keys.backup_key(id)?;
                if file != "manifest" && file != "descriptor" {
                    let manifest = self.open(&format!("backups/{backup}/manifest"), &*above).await?;
                    return self.open(name, &BackupKeys::read(id, &above, &manifest)).await;
                }
                above.into()
            }
            _ => panic!("{name} is in no folder that is known"),
        };
        self.open(name, &keys).await
    }

    async fn open(&self, name: &str, keys: &impl Opens) -> Result<Vec<u8>, StorageError> {
        let bytes = self.store.get(name).await?.0;
        let kind = ObjectKind(u16::from_le_bytes([bytes[10], bytes[11]]));
        self.sealed.open(name, kind, keys).await?.read_all().await.map(Into::into)
    }

    fn log(&self, data: &Path, folder: &str, found: &mut Found) {
        let (index, namespace, kind, owner) = match *folder.split('/').collect::<Vec<_>>() {
            [_, index, _, namespace] => (index, Some(namespace), LogKind::NAMESPACE, *NamespaceId::parse(namespace).unwrap().as_bytes()),
            [_, index, "namespace-list"] => (index, None, LogKind::NAMESPACE_LIST, *IndexId::parse(index).unwrap().as_bytes()),
            _ => panic!("{folder} has no log that is known"),
        };
        let dir = data.join(folder);
        let opened = self.ring(index, namespace).and_then(|keys| {
            let options = LogOptions { kind, owner, keys, after: Lsn(first_lsn(&dir)), space: Space::unlimited() };
            Log::open(dir, options)
        });
        match opened {
            Ok((_, frames)) => {
                found.frames += frames.len();
                frames.iter().for_each(|(_, frame)| found.look(folder, frame));
            }
            Err(error) => found.closed.push(format!("{folder}: {error}")),
        }
    }

    /// The keys of an index or of one of its namespaces.
    fn ring(&self, index: &str, namespace: Option<&str>) -> Result<KeyRing, StorageError> {
        let index = IndexId::parse(index).unwrap();
        match namespace {
            Some(id) => self.keys.namespace_keys(index, NamespaceId::parse(id).unwrap()).map(|ring| (*ring).clone()),
            None => self.keys.index_key(index).map(Into::into),
        }
    }
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
        Search::all(data, &self.keys, &self.root())
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

/// The ids of the backups that there are, once so many are taken.
fn whole_backups(control: &mut Client, count: usize) -> Vec<String> {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let listed = control.send("GET", "/backups", None).expect("an answer").body;
        let ready = listed["data"].as_array().into_iter().flatten().filter(|backup| backup["status"] == "Ready");
        let ids: Vec<String> = ready.map(|backup| backup["backup_id"].as_str().unwrap().to_owned()).collect();
        if ids.len() == count {
            return ids;
        }
        assert!(Instant::now() < patience, "{listed}");
        thread::sleep(Duration::from_millis(20));
    }
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
    // One that somebody asks for, of an index that lives on, and one that a schedule takes, of an index that goes.
    let mut control = Client::new(&server.control_host());
    let asked = control.send("POST", "/indexes/films/backups", Some(&json!({"name": "by hand"}))).expect("an answer");
    assert!(asked.status < 300, "{asked:?}");
    let schedule = json!({
        "name": "nightly",
        "schedule": {"type": "time-based", "frequency": "daily"},
        "retention": {"expire_after_days": 7},
    });
    let mut schedules = Client::new(&server.control_host()).speaking("2026-07");
    let scheduled = schedules.send("POST", "/indexes/books/backup-schedules", Some(&schedule)).expect("an answer");
    let schedule = format!("/backup-schedules/{}", scheduled.body["schedule_id"].as_str().expect("an id"));
    // One that is enabled again runs at once.
    for enabled in [false, true] {
        let changed = schedules.send("PATCH", &schedule, Some(&json!({"enabled": enabled}))).expect("an answer");
        assert_eq!(changed.status, 200, "{changed:?}");
    }
    let backups = whole_backups(&mut control, 2);
    server.terminate();
    let before = house.search(&house.dir.data());
    assert_eq!(before.plants, PLANTS.into_iter().collect(), "the search sees every plant: {before:?}");
    assert_eq!(before.backed_up, before.plants, "in the backups too: {before:?}");
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
    for backup in &backups {
        let gone = Client::new(&server.control_host()).send("DELETE", &format!("/backups/{backup}"), None).expect("an answer");
        assert_eq!(gone.status, 202, "{gone:?}");
    }
    let since = reports(&house.dir).len();
    // Twice in each window for the records, and once it is over for the rest.
    let patience = Instant::now() + Duration::from_secs(window_s * 3 + 20);
    let all = loop {
        let all = reports(&house.dir);
        let of = |kind: &str, skipped: usize| all.iter().skip(skipped).filter(|r| r["deleted"]["kind"] == kind).count();
        if of("records", since.min(all.len())) > 0 && of("namespace", 0) > 0 && of("index", 0) > 0 && of("backup", 0) == backups.len() {
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
        "before: {} objects and {} frames opened, {} plants, {} of them in backups; after: {} and {}, none; an older copy: {} things that no key opens, no plant; {} reports signed",
        before.objects,
        before.frames,
        before.plants.len(),
        before.backed_up.len(),
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
