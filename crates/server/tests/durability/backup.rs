//! Backups of the real process: taken under heavy writes and held, record for record, against a model at the moment they say they are
//! of; and cut short by kills at any moment of a backup or a restore.
//!
//! `PINYON_BACKUP_ROUNDS` (default 3) backups under load, `PINYON_BACKUP_KILLS` (default 6) kills, `PINYON_CRASH_SEED` chooses moments.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Client},
    load::{DIMENSION, Random},
    process::{Directory, Server},
    setting,
};

const WRITERS: usize = 3;
const NAMESPACES: usize = 2;
const INDEX: &str = "crash";

/// A record's values and metadata, by id.
type Space = BTreeMap<String, (Vec<f64>, BTreeMap<String, Value>)>;

/// One write of a namespace, which has one writer.
#[derive(Debug, Clone)]
enum Write {
    Put(Vec<(String, Vec<f64>, u64)>),
    Mark(String, u64),
    Remove(Vec<String>),
    RemoveGroup(u64),
    RemoveAll,
}

impl Write {
    fn random(random: &mut Random, mark: u64) -> Self {
        let id = |random: &mut Random| format!("r{}", random.below(40));
        match random.below(12) {
            0 => Write::Mark(id(random), mark),
            1 => Write::Remove(vec![id(random), id(random)]),
            2 => Write::RemoveGroup(random.below(5)),
            3 if random.below(8) == 0 => Write::RemoveAll,
            _ => {
                let count = 1 + random.below(20);
                let one = |random: &mut Random| {
                    let values = (0..DIMENSION).map(|_| f64::from(random.below(1_000) as u32 + 1) / 8.0).collect();
                    (id(random), values, random.below(5))
                };
                Write::Put((0..count).map(|_| one(random)).collect())
            }
        }
    }

    /// The request: path and body.
    fn request(&self, namespace: &str) -> (&'static str, Value) {
        match self {
            Write::Put(records) => {
                let vectors: Vec<Value> =
                    records.iter().map(|(id, values, group)| json!({"id": id, "values": values, "metadata": {"group": group}})).collect();
                ("/vectors/upsert", json!({"vectors": vectors, "namespace": namespace}))
            }
            Write::Mark(id, mark) => ("/vectors/update", json!({"id": id, "setMetadata": {"mark": mark}, "namespace": namespace})),
            Write::Remove(ids) => ("/vectors/delete", json!({"ids": ids, "namespace": namespace})),
            Write::RemoveGroup(group) => ("/vectors/delete", json!({"filter": {"group": {"$eq": group}}, "namespace": namespace})),
            Write::RemoveAll => ("/vectors/delete", json!({"deleteAll": true, "namespace": namespace})),
        }
    }

    fn apply(&self, space: &mut Space) {
        match self {
            Write::Put(records) => {
                for (id, values, group) in records {
                    space.insert(id.clone(), (values.clone(), BTreeMap::from([("group".to_owned(), number(*group))])));
                }
            }
            Write::Mark(id, mark) => {
                if let Some((_, metadata)) = space.get_mut(id) {
                    metadata.insert("mark".to_owned(), number(*mark));
                }
            }
            Write::Remove(ids) => space.retain(|id, _| !ids.contains(id)),
            Write::RemoveGroup(group) => space.retain(|_, (_, metadata)| metadata["group"] != number(*group)),
            Write::RemoveAll => space.clear(),
        }
    }
}

/// A number as answers spell it.
fn number(n: u64) -> Value {
    json!(n as f64)
}

/// What was acknowledged in one namespace: each write with its number, when it was asked for and when it was answered, on a clock of
/// the test's own.
#[derive(Default)]
struct History(Mutex<Vec<(u64, u64, u64, Write)>>);

impl History {
    /// The namespace as it was after the write of this number.
    fn at(&self, lsn: u64) -> Space {
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        writes.sort_by_key(|(lsn, ..)| *lsn);
        let mut space = Space::new();
        writes.iter().filter(|(n, ..)| *n <= lsn).for_each(|(.., write)| write.apply(&mut space));
        space
    }

    /// Every write answered before the backup was asked for is in it, and none that was asked for after its answer.
    fn check_moment(&self, lsn: u64, asked: u64, answered: u64) {
        for (n, from, to, write) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            assert!(*to >= asked || *n <= lsn, "write {n} was answered before the backup, which ends at {lsn}: {write:?}");
            assert!(*from <= answered || *n > lsn, "write {n} came after the backup's answer, and is in it: {write:?}");
        }
    }
}

fn write(host: &str, namespace: &str, seed: u64, history: &History, ticks: &AtomicU64, stop: &AtomicBool) {
    let (mut client, mut random) = (Client::new(host), Random::new(seed));
    let mut mark = 0;
    while !stop.load(Ordering::SeqCst) {
        mark += 1;
        let write = Write::random(&mut random, mark);
        let (path, body) = write.request(namespace);
        let from = ticks.fetch_add(1, Ordering::SeqCst);
        let answer = client.send("POST", path, Some(&body)).expect("an answer");
        let to = ticks.fetch_add(1, Ordering::SeqCst);
        match answer {
            Answer { status: 200, lsn: Some(lsn), .. } => {
                history.0.lock().unwrap_or_else(PoisonError::into_inner).push((lsn, from, to, write));
            }
            // Before the namespace is made there is nothing to delete.
            Answer { status: 404 | 200, .. } => {}
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// The control plane, for what must succeed.
struct Control(Client);

impl Control {
    fn new(server: &Server) -> Self {
        Self(Client::new(&server.control_host()))
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.0.send(method, path, body.as_ref()).expect("an answer");
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    fn until(&mut self, path: &str, pointer: &str, wanted: &Value) -> Value {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.ask("GET", path, None);
            if found.pointer(pointer) == Some(wanted) {
                return found;
            }
            assert!(Instant::now() < patience, "{path} is not {wanted}: {found}");
            thread::sleep(Duration::from_millis(3));
        }
    }

    fn restore(&mut self, backup: &str, index: &str) -> String {
        self.ask("POST", &format!("/backups/{backup}/create-index"), Some(json!({"name": index})));
        self.host(index)
    }

    /// The host of an index, once it is ready.
    fn host(&mut self, index: &str) -> String {
        let found = self.until(&format!("/indexes/{index}"), "/status/ready", &json!(true));
        let host = found["host"].as_str().expect("a host");
        host.trim_start_matches("http://").replace("localhost", "127.0.0.1")
    }

    fn data(&mut self, path: &str) -> Vec<Value> {
        self.ask("GET", path, None)["data"].as_array().expect("a list").clone()
    }
}

/// What a reader sees of a namespace, and the number of its last write.
fn read(host: &str, namespace: &str) -> (u64, Space) {
    let mut client = Client::new(host);
    let list = format!("/vectors/list?limit=100&namespace={namespace}");
    let answer = client.send("GET", &list, None).expect("an answer");
    let ids: Vec<String> =
        answer.body["vectors"].as_array().into_iter().flatten().map(|v| v["id"].as_str().expect("an id").to_owned()).collect();
    assert!(ids.len() < 100, "a page holds them all");
    let lsn = answer.lsn.unwrap_or_default();
    if ids.is_empty() {
        return (lsn, Space::new());
    }
    let fetch = format!("/vectors/fetch?namespace={namespace}&ids={}", ids.join("&ids="));
    let answer = client.send("GET", &fetch, None).expect("an answer");
    let vectors = answer.body["vectors"].as_object().expect("records");
    let record = |v: &Value| {
        let values = v["values"].as_array().expect("values").iter().map(|n| n.as_f64().expect("a number")).collect();
        let metadata = v["metadata"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), json!(v.as_f64()))).collect();
        (values, metadata)
    };
    (lsn, vectors.iter().map(|(id, v)| (id.clone(), record(v))).collect())
}

#[test]
fn backups_under_heavy_writes_are_the_model_at_their_moment() {
    let rounds = setting("PINYON_BACKUP_ROUNDS", 3);
    let seed = setting("PINYON_CRASH_SEED", 1);
    let dir = Directory::new();
    let server = Server::start(&dir, &[]);
    server.create_index();
    let host = server.index_host();
    let (ticks, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let spaces: Vec<(String, History)> =
        (0..WRITERS * NAMESPACES).map(|n| (format!("w{}-{}", n / NAMESPACES, n % NAMESPACES), History::default())).collect();
    let mut compared = 0;
    thread::scope(|scope| {
        for (n, (namespace, history)) in spaces.iter().enumerate() {
            let (host, ticks, stop) = (&host, &ticks, &stop);
            scope.spawn(move || write(host, namespace, seed * 100 + n as u64, history, ticks, stop));
        }
        let stop = Stop(&stop);
        let (mut control, mut random) = (Control::new(&server), Random::new(seed));
        for round in 0..rounds {
            thread::sleep(Duration::from_millis(50 + random.below(300)));
            let asked = ticks.fetch_add(1, Ordering::SeqCst);
            let made = control.ask("POST", &format!("/indexes/{INDEX}/backups"), Some(json!({"name": format!("round-{round}")})));
            let answered = ticks.fetch_add(1, Ordering::SeqCst);
            let id = made["backup_id"].as_str().expect("an id").to_owned();
            let ready = control.until(&format!("/backups/{id}"), "/status", &json!("Ready"));
            let restored = control.restore(&id, "restored");
            let mut records = 0;
            for (namespace, history) in &spaces {
                let (lsn, found) = read(&restored, namespace);
                history.check_moment(lsn, asked, answered);
                let expected = history.at(lsn);
                assert_eq!(found, expected, "round {round}, namespace {namespace} at {lsn}");
                records += found.len();
            }
            assert_eq!(ready["record_count"], json!(records), "round {round}");
            compared += records;
            control.ask("DELETE", "/indexes/restored", None);
            control.ask("DELETE", &format!("/backups/{id}"), None);
        }
        drop(stop);
    });
    server.terminate();
    println!("{rounds} backups under {} writes, seed {seed}: {compared} records compared, 0 differ", ticks.load(Ordering::SeqCst) / 2);
    let (clean, report) = dir.command(&["check"]);
    assert!(clean, "{report}");
}

/// Stops the writers also when an assertion fails, so that the failure is told.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn kills_at_any_moment_of_a_backup_or_a_restore_leave_it_whole_or_undone() {
    let kills = setting("PINYON_BACKUP_KILLS", 6);
    let mut random = Random::new(setting("PINYON_CRASH_SEED", 1));
    let dir = Directory::new();
    let mut server = Server::start(&dir, &[]);
    server.create_index();
    let names: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let mut expected = BTreeMap::new();
    fill(&server, &names, &mut random);
    for name in &names {
        expected.insert(name.clone(), read(&server.index_host(), name).1);
    }
    let base = ready_backup(&mut Control::new(&server));
    let (mut whole, mut undone, mut resumed) = (0, 0, 0);
    for kill in 0..kills {
        // Early ones meet the capture, later ones the storing, or what is stored already.
        let moment = Duration::from_micros(random.below(if kill % 4 < 2 { 40_000 } else { 400_000 }));
        let restores = kill % 2 == 1;
        let host = server.control_host();
        let (asked, base_id) = (AtomicBool::new(false), base.clone());
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = Client::new(&host);
                let (path, body) = if restores {
                    (format!("/backups/{base_id}/create-index"), json!({"name": "restored"}))
                } else {
                    (format!("/indexes/{INDEX}/backups"), json!({"name": format!("kill-{kill}")}))
                };
                asked.store(true, Ordering::SeqCst);
                // Cut off or not: what there is afterwards must be in order.
                let _ = client.send("POST", &path, Some(&body));
            });
            while !asked.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            server.kill_after(moment);
        });
        server = Server::start(&dir, &[]);
        let mut control = Control::new(&server);
        for backup in control.data("/backups?limit=100") {
            let (id, status) = (backup["backup_id"].as_str().expect("an id"), backup["status"].as_str().expect("a status"));
            match status {
                "Ready" if id == base => {}
                "Ready" => {
                    whole += 1;
                    let host = control.restore(id, "checked");
                    names.iter().for_each(|name| assert_eq!(read(&host, name).1, expected[name], "kill {kill}, {name}"));
                    control.ask("DELETE", "/indexes/checked", None);
                    control.ask("DELETE", &format!("/backups/{id}"), None);
                }
                "Failed" => {
                    undone += 1;
                    assert!(backup["error_message"].is_string(), "{backup}");
                    let folder = dir.data().join("backups").join(id.replace('-', ""));
                    assert!(!folder.exists() || !holds_files(&folder), "nothing of it is left");
                    control.ask("DELETE", &format!("/backups/{id}"), None);
                }
                other => panic!("a backup is {other} after the start"),
            }
        }
        let indexes = control.ask("GET", "/indexes", None);
        if indexes["indexes"].as_array().expect("a list").iter().any(|i| i["name"] == "restored") {
            resumed += 1;
            let host = control.host("restored");
            names.iter().for_each(|name| assert_eq!(read(&host, name).1, expected[name], "kill {kill}, {name}"));
            control.ask("DELETE", "/indexes/restored", None);
        }
        for job in control.data("/restore-jobs?limit=100") {
            assert_eq!(job["status"], "Completed", "kill {kill}: {job}");
        }
        names.iter().for_each(|name| assert_eq!(read(&server.index_host(), name).1, expected[name], "kill {kill}, the index itself"));
        let folders: Vec<_> =
            std::fs::read_dir(dir.data().join("backups")).expect("a folder").flatten().filter(|e| holds_files(&e.path())).collect();
        let names_left: Vec<_> = folders.iter().map(std::fs::DirEntry::file_name).collect();
        assert_eq!(names_left, [std::ffi::OsString::from(base.replace('-', ""))], "kill {kill}: nothing lies there that nobody knows");
    }
    server.terminate();
    let (clean, report) = dir.command(&["check"]);
    assert!(clean, "{report}");
    println!("{kills} kills: {whole} backups whole, {undone} undone, {resumed} restores went on; lost 0");
}

/// A kill between the last file of a folder and the folder itself leaves an empty one.
fn holds_files(path: &std::path::Path) -> bool {
    std::fs::read_dir(path).expect("a folder").flatten().any(|e| !e.path().is_dir() || holds_files(&e.path()))
}

fn ready_backup(control: &mut Control) -> String {
    let made = control.ask("POST", &format!("/indexes/{INDEX}/backups"), Some(json!({"name": "base"})));
    let id = made["backup_id"].as_str().expect("an id").to_owned();
    control.until(&format!("/backups/{id}"), "/status", &json!("Ready"));
    id
}

fn fill(server: &Server, names: &[String], random: &mut Random) {
    let mut client = Client::new(&server.index_host());
    for name in names {
        for mark in 0..12 {
            let write = Write::random(random, mark);
            let (path, body) = write.request(name);
            let answer = client.send("POST", path, Some(&body)).expect("an answer");
            assert!(matches!(answer.status, 200 | 404), "{answer:?}");
        }
    }
}
