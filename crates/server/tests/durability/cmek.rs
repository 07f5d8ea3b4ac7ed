//! A customer's key is replaced, and the process is killed or its key file fails in the middle of it: what is under the key stays readable,
//! and the replacement either never was or comes to its end, after which the old key is not needed.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Client},
    kms::{EXTERNAL_ID, Kms, ROLE, Trouble, key},
    load::Random,
    process::{Directory, Server},
    setting,
};

const INDEXES: usize = 4;
const RECORDS: usize = 20;
/// How long a server may take to have every key at hand and a replacement done.
const PATIENCE: Duration = Duration::from_secs(40);
const SITES: [&str; 8] = ["KeysCreate", "KeysWrite", "KeysSync", "KeysRename", "KeysDirSync", "KeysAppend", "KeysAppendSync", "KeysUnlink"];

/// A directory with a customer's key, and indexes under it.
struct Stage {
    dir: Directory,
    kms: Kms,
    cmek: String,
    env: Vec<(String, String)>,
}

fn customer_key(n: u16) -> Value {
    json!({"key_arn": key(n), "role_arn": ROLE, "external_id": EXTERNAL_ID})
}

impl Stage {
    fn new() -> Self {
        let (dir, kms) = (Directory::new(), Kms::start());
        let url = format!("http://127.0.0.1:{}", kms.port);
        let mut env = Kms::env();
        env.extend(
            [("STS_ENDPOINT", url.as_str()), ("KMS_ENDPOINT", &url), ("CACHE_SECONDS", "1")]
                .map(|(name, value)| (format!("PINYON_CMEK_{name}"), value.to_owned())),
        );
        let mut stage = Self { dir, kms, cmek: String::new(), env };
        let server = stage.start(&[]).expect("a server");
        let made =
            stage.operate(json!({"command": "create-cmek", "name": "main", "project": null, "key": customer_key(1)})).expect("an answer");
        stage.cmek = made.body["cmek"]["id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();
        let mut control = Client::new(&server.control_host()).speaking("2026-07");
        for n in 0..INDEXES {
            let schema = json!({"fields": {"_values": {"type": "dense_vector", "dimension": 2, "metric": "euclidean"}}});
            let body = json!({"name": format!("index-{n}"), "schema": schema, "cmek_id": stage.cmek});
            let made = control.send("POST", "/indexes", Some(&body)).expect("an answer");
            assert_eq!((made.status, &made.body["cmek_id"]), (201, &json!(stage.cmek)), "{made:?}");
            let records: Vec<Value> = (0..RECORDS).map(|r| json!({"id": format!("r{r}"), "values": [n, r]})).collect();
            let upserted = index(&made).send("POST", "/vectors/upsert", Some(&json!({"vectors": records}))).expect("an answer");
            assert_eq!(upserted.status, 200, "{upserted:?}");
        }
        server.kill();
        stage
    }

    fn start(&self, more: &[(&str, &str)]) -> Option<Server> {
        let env: Vec<(&str, &str)> = self.env.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(more.iter().copied()).collect();
        Server::try_start(&self.dir, &env)
    }

    fn operate(&self, command: Value) -> Option<Answer> {
        Client::operator(&self.dir.data()).command(&command)
    }

    fn describe(&self) -> Option<Value> {
        Some(self.operate(json!({"command": "describe-cmek", "cmek": self.cmek}))?.body["cmek"].clone())
    }

    /// A server that begins a replacement and is killed at this moment, or by the fault, or when it is done.
    fn cut_short(&self, env: &[(&str, &str)], moment: Option<Duration>) {
        let Some(mut server) = self.start(env) else { return };
        // Whether it answers or not.
        let replaced = thread::scope(|scope| {
            let asked = scope.spawn(|| self.operate(json!({"command": "replace-cmek", "cmek": self.cmek, "key": customer_key(2)})));
            if let Some(moment) = moment {
                server.kill_after(moment);
            }
            asked.join().expect("an answer or none")
        });
        let end = Instant::now() + Duration::from_secs(5);
        while moment.is_none() && !server.is_gone() && Instant::now() < end {
            let done = |cmek: Value| cmek["key_arn"] == key(2) && cmek["replacement"].is_null();
            if replaced.as_ref().is_some_and(|r| r.status >= 400) || self.describe().is_some_and(done) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        server.kill();
    }

    /// The next start, with both keys at hand; whether the replacement came to be.
    fn settles(&self) -> bool {
        let server = self.start(&[]).expect("it starts");
        let end = Instant::now() + PATIENCE;
        let cmek = loop {
            let cmek = self.describe().expect("an answer");
            if cmek["state"]["status"] == "ready" && cmek["replacement"].is_null() {
                break cmek;
            }
            assert!(Instant::now() < end, "{cmek}");
            thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(cmek["indexes"], INDEXES, "{cmek}");
        let is_new = cmek["key_arn"] == key(2);
        assert!(is_new || cmek["key_arn"] == key(1), "{cmek}");
        self.verify(&server);
        server.kill();
        // One of the two is enough from now on.
        self.kms.breaks(&key(if is_new { 1 } else { 2 }), Trouble::AccessDenied);
        let server = self.start(&[]).expect("it starts");
        while self.describe().expect("an answer")["state"]["status"] != "ready" {
            assert!(Instant::now() < end, "the key is not ready");
            thread::sleep(Duration::from_millis(10));
        }
        self.verify(&server);
        let (clean, report) = self.dir.command(&["check"]);
        assert!(clean && report.contains(&format!("{} records", INDEXES * RECORDS)), "{report}");
        server.kill();
        is_new
    }

    fn verify(&self, server: &Server) {
        let mut control = Client::new(&server.control_host()).speaking("2026-07");
        for n in 0..INDEXES {
            let found = control.send("GET", &format!("/indexes/index-{n}"), None).expect("an answer");
            let query = json!({"vector": [n, 3], "topK": RECORDS, "includeValues": true});
            let answer = index(&found).send("POST", "/query", Some(&query)).expect("an answer");
            let matches = answer.body["matches"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
            assert_eq!((matches.len(), &matches[0]["id"]), (RECORDS, &json!("r3")), "{answer:?}");
        }
    }
}

fn index(described: &Answer) -> Client {
    let host = described.body["host"].as_str().expect("a host");
    Client::new(&host.replace("http://", "").replace("localhost", "127.0.0.1"))
}

#[test]
fn a_replacement_survives_kills_at_random_moments() {
    let (kills, seed) = (setting("PINYON_CRASH_KILLS", 10), setting("PINYON_CRASH_SEED", 1));
    let mut random = Random::new(seed + 77);
    let mut replaced = 0;
    for _ in 0..kills {
        let stage = Stage::new();
        stage.cut_short(&[], Some(Duration::from_millis(random.below(120))));
        replaced += u64::from(stage.settles());
    }
    println!("{kills} kills amid a replacement: {replaced} came to their end, {} never were; nothing lost", kills - replaced);
}

#[test]
fn a_replacement_survives_every_failure_of_the_key_file() {
    let long = setting("PINYON_CRASH_VISITS", 0) > 0;
    let (mut met, mut replaced, mut rounds) = (0, 0, 0);
    for (n, site) in SITES.into_iter().enumerate() {
        let ways = ["kill", "after", "eio", "enospc"];
        let chosen = if long { &ways[..] } else { &ways[n % 4..=n % 4] };
        // The first visit keeps the new project key, or its first wrap; the second comes with the destruction of the old one.
        for (way, nth) in chosen.iter().flat_map(|way| [(way, 1), (way, 2)]) {
            let stage = Stage::new();
            let seen = stage.dir.path().join("met.txt");
            let fault = format!("{site}:{nth}:{way}");
            stage.cut_short(&[("PINYON_FAULT", &fault), ("PINYON_FAULT_MET", seen.to_str().expect("a plain path"))], None);
            met += u64::from(fs::metadata(&seen).is_ok_and(|m| m.len() > 0));
            replaced += u64::from(stage.settles());
            rounds += 1;
        }
    }
    println!("{rounds} faults of the key file set amid a replacement, {met} met: {replaced} came to their end; nothing lost");
    assert!(met * 3 >= rounds * 2, "{met} of {rounds} faults were met");
}
