//! Customer-managed keys over the real binary, with a key management service that does what it is told.

use std::time::{Duration, Instant};

use pinyon_wire::proto::{DescribeIndexStatsRequest, DescribeIndexStatsResponse};
use serde_json::{Value, json};

use crate::{
    key_file,
    kit::{Api, Home, Server, grpc_as, index_spec, record},
    kms::{EXTERNAL_ID, Kms, ROLE, Trouble, key},
    memory,
};

/// How long any change of a key may take to show, for a cache of one second.
const PATIENCE: Duration = Duration::from_secs(61);

/// A server with a project whose indexes must be under a customer's key.
struct Stage {
    kms: Kms,
    home: Home,
    server: Server,
    owner: Api,
    project: String,
    api_key: String,
}

impl Stage {
    async fn new(words: &[&str]) -> Self {
        let kms = Kms::start();
        let home = Home::with_env(Kms::env());
        let server = Self::serve(&home, &kms, words);
        let owner = Api::with_token(&server, &home.service_account("owner", &["--role", "OrgOwner"])).await;
        let body = json!({"name": "sealed", "force_encryption_with_cmek": true});
        let project = owner.post(&format!("{}/admin/projects", server.url()), body).await.json()["id"].as_str().unwrap().to_owned();
        let api_key = home.run(&["key", "create", "--project", &project]);
        Self { kms, home, server, owner, project, api_key }
    }

    fn serve(home: &Home, kms: &Kms, words: &[&str]) -> Server {
        let own = kms.words();
        // A key goes only when nothing is under it, what is kept for a window too.
        let at_once = ["--deletion-window", "0s"];
        let words: Vec<&str> = own.iter().map(String::as_str).chain(at_once).chain(words.iter().copied()).collect();
        // A development server may ask more often than once a minute.
        home.dev(&words)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    async fn add(&self, name: &str, key: &str) -> (u16, Value) {
        let body = json!({"project_id": self.project, "name": name, "key_arn": key, "role_arn": ROLE, "external_id": EXTERNAL_ID});
        let reply = self.owner.post(&self.url("/pinyon/v1/cmeks"), body).await;
        (reply.status, reply.json())
    }

    async fn describe(&self, id: &str) -> Value {
        self.owner.get(&self.url(&format!("/pinyon/v1/cmeks/{id}"))).await.json()
    }

    fn api(&self) -> Api {
        Api::new(&self.api_key)
    }

    /// An index of this name with a record; where it answers.
    async fn index(&self, name: &str) -> String {
        let made = self.api().post(&self.url("/indexes"), index_spec(name)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let host = made.json()["host"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let url = format!("http://{host}");
        let upserted = self.api().post(&format!("{url}/vectors/upsert"), json!({"vectors": [record("a")]})).await;
        assert_eq!(upserted.status, 200, "{upserted:?}");
        url
    }

    async fn query(&self, index: &str) -> u16 {
        let reply = self.api().post(&format!("{index}/query"), json!({"vector": [1.0, 2.0, 3.0], "topK": 1})).await;
        if reply.status == 403 {
            let body = reply.json();
            let told = body["message"].as_str().unwrap();
            assert!(told.contains("'main'") && !told.contains("arn:"), "{told}");
        }
        reply.status
    }

    /// Until a query is answered so; how long that took.
    async fn until(&self, index: &str, status: u16) -> Duration {
        let begin = Instant::now();
        while self.query(index).await != status {
            assert!(begin.elapsed() < PATIENCE, "no {status} in {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begin.elapsed()
    }

    async fn until_state(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let state = self.describe(id).await;
            if wanted(&state) {
                return state;
            }
            assert!(begin.elapsed() < PATIENCE, "{state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn the_whole_life_of_a_key() {
    let stage = Stage::new(&["--cmek-cache-seconds", "1"]).await;
    let refused = stage.api().post(&stage.url("/indexes"), index_spec("movies")).await;
    assert_eq!(refused.status, 412, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "FAILED_PRECONDITION");
    let (status, made) = stage.add("main", &key(1)).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        stage.kms.asked(),
        [
            "AssumeRole",
            "DescribeKey 1234abcd-12ab-34cd-56ef-123456780001",
            "AssumeRole",
            "Encrypt 1234abcd-12ab-34cd-56ef-123456780001",
            "AssumeRole",
            "Decrypt 1234abcd-12ab-34cd-56ef-123456780001"
        ]
    );
    let id = made["id"].as_str().unwrap();
    let index = stage.index("movies").await;
    let described = stage.api().with("X-Pinecone-Api-Version", "2026-07").get(&stage.url("/indexes/movies")).await.json();
    assert_eq!(described["cmek_id"], id);
    assert_eq!(stage.query(&index).await, 200);

    // Replaced while it is read.
    let url = stage.url(&format!("/pinyon/v1/cmeks/{id}/replace"));
    let body = json!({"key_arn": key(2), "role_arn": ROLE, "external_id": EXTERNAL_ID});
    let replaced = stage.owner.post(&url, body).await;
    assert_eq!((replaced.status, &replaced.json()["key_arn"]), (202, &json!(key(2))));
    while stage.describe(id).await["replacement"] != Value::Null {
        assert_eq!(stage.query(&index).await, 200);
    }
    stage.kms.breaks(&key(1), Trouble::PendingDeletion);

    // Revoked and given back, twenty times.
    let mut times = Vec::new();
    for round in 0..20 {
        let trouble = [Trouble::AccessDenied, Trouble::Disabled, Trouble::PendingDeletion, Trouble::RoleClosed][round % 4];
        stage.kms.breaks(&key(2), trouble);
        times.push(stage.until(&index, 403).await);
        assert_eq!(stage.describe(id).await["state"]["status"], "denied", "{trouble:?}");
        stage.kms.heals(&key(2));
        stage.until(&index, 200).await;
    }
    times.sort();
    println!("time to refusal with a cache of 1 s, 20 times: median {:?}, at most {:?}", times[10], times[19]);
    assert!(times[19] < PATIENCE);

    let delete = |name: &str| stage.url(&format!("/pinyon/v1/cmeks/{id}{name}"));
    assert_eq!(stage.owner.send("DELETE", &delete(""), "").await.status, 400);
    assert_eq!(stage.owner.send("DELETE", &delete("?name=other"), "").await.status, 400);
    assert_eq!(stage.owner.send("DELETE", &delete("?name=main"), "").await.status, 412);
    assert_eq!(stage.api().send("DELETE", &stage.url("/indexes/movies"), "").await.status, 202);
    let deleted = stage.owner.send("DELETE", &delete("?name=main"), "").await;
    assert_eq!(deleted.status, 202, "{deleted:?}");
    assert_eq!(stage.owner.get(&delete("")).await.status, 404);
    let log = stage.home.run(&["audit", "export"]);
    for (action, outcome) in [("create", "success"), ("update", "success"), ("delete", "success")] {
        let is_there = log.lines().any(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let event = &event["event"];
            event["resource_type"] == "cmek" && event["action"] == action && event["outcome"]["result"] == outcome
        });
        assert!(is_there, "{action} {outcome}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_not_added() {
    let stage = Stage::new(&[]).await;
    for (trouble, told) in [
        (Trouble::AccessDenied, "AccessDeniedException"),
        (Trouble::Disabled, "DisabledException"),
        (Trouble::PendingDeletion, "KMSInvalidStateException"),
        (Trouble::RoleClosed, "sts:AssumeRole"),
        (Trouble::Throttling, "ThrottlingException"),
        (Trouble::Broken, "KMSInternalException"),
        (Trouble::OtherPlaintext, "another key"),
        (Trouble::OtherKey, "another key answered"),
        (Trouble::Skewed, "clock"),
        (Trouble::OwnCredentials, "InvalidClientTokenId"),
        (Trouble::Cut, "cannot be read"),
    ] {
        stage.kms.breaks(&key(1), trouble);
        let (status, body) = stage.add("main", &key(1)).await;
        assert_eq!(status, 412, "{trouble:?}: {body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(told), "{trouble:?}: {body}");
        stage.kms.heals(&key(1));
    }
    stage.kms.has_no(&key(9));
    assert_eq!(stage.add("main", &key(9)).await.0, 412);
    // No or another external id, another role.
    let body = json!({"project_id": stage.project, "name": "main", "key_arn": key(1), "role_arn": ROLE});
    for (field, value) in [("external_id", Value::Null), ("external_id", json!("another")), ("role_arn", json!(format!("{ROLE}-2")))] {
        let mut body = body.clone();
        body["external_id"] = json!(EXTERNAL_ID);
        body[field] = value;
        let refused = stage.owner.post(&stage.url("/pinyon/v1/cmeks"), body).await;
        assert_eq!(refused.status, 412, "{refused:?}");
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains("AccessDenied"), "{refused:?}");
    }
    assert_eq!(stage.owner.get(&stage.url("/pinyon/v1/cmeks")).await.json(), json!({"data": []}));
    stage.kms.breaks(&key(1), Trouble::ThrottlingNowAndThen);
    assert_eq!(stage.add("main", &key(1)).await.0, 201, "a little patience");
}

#[tokio::test]
async fn who_does_not_answer_is_not_who_says_no() {
    let stage = Stage::new(&["--cmek-cache-seconds", "1", "--cmek-grace-seconds", "6"]).await;
    let (_, made) = stage.add("main", &key(1)).await;
    let id = made["id"].as_str().unwrap();
    let index = stage.index("movies").await;
    for trouble in [Trouble::Throttling, Trouble::Broken, Trouble::Skewed, Trouble::OwnCredentials, Trouble::Cut] {
        stage.kms.breaks(&key(1), trouble);
        let begin = Instant::now();
        let state = stage.until_state(id, |s| s["state"]["status"] == "unreachable").await;
        assert_eq!((&state["state"]["served"], stage.query(&index).await), (&json!(true), 200), "{trouble:?}");
        stage.until(&index, 403).await;
        assert!(begin.elapsed() >= Duration::from_secs(4), "{trouble:?}: {:?} is no grace", begin.elapsed());
        stage.kms.heals(&key(1));
        stage.until(&index, 200).await;
    }
    // Who never answers is waited for in the grace.
    stage.kms.breaks(&key(1), Trouble::Slow);
    stage.until(&index, 403).await;
    assert_eq!(stage.describe(id).await["state"]["status"], "unreachable");
    stage.kms.heals(&key(1));
    stage.until(&index, 200).await;
    for (trouble, told) in [(Trouble::OtherPlaintext, "another key"), (Trouble::OtherKey, "another key answered")] {
        stage.kms.breaks(&key(1), trouble);
        let state = stage.until_state(id, |s| s["state"]["status"] == "denied").await;
        assert!(state["state"]["reason"].as_str().unwrap().contains(told), "{state}");
        assert_eq!(stage.query(&index).await, 403);
        stage.kms.heals(&key(1));
        stage.until(&index, 200).await;
    }
    assert!(stage.home.log().contains("a customer-managed key does not answer well"));
    let state = stage.describe(id).await;
    assert!(state["state"]["unreachable"].as_u64() >= Some(6) && state["state"]["denied"].as_u64() >= Some(2), "{state}");
}

#[tokio::test]
async fn a_start_waits_for_no_key_and_grpc_is_told_the_same() {
    let mut stage = Stage::new(&["--cmek-cache-seconds", "1"]).await;
    stage.add("main", &key(1)).await;
    let index = stage.index("movies").await;
    stage.kms.breaks(&key(1), Trouble::Slow);
    stage.server.signal("TERM");
    assert_eq!(stage.server.wait(), Some(0));
    let begin = Instant::now();
    stage.server = Stage::serve(&stage.home, &stage.kms, &["--cmek-cache-seconds", "1"]);
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert_eq!(stage.query(&index).await, 403, "not before the key has answered");
    let port: u16 = index.rsplit(':').next().unwrap().parse().unwrap();
    let request = DescribeIndexStatsRequest::default();
    let answer = grpc_as::<_, DescribeIndexStatsResponse>(port, Some(("api-key", &stage.api_key)), "DescribeIndexStats", request).await;
    let refused = answer.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("'main'"), "{refused}");
    // Other projects are served, and this one's indexes described.
    let other = Api::new("any-key-of-the-default-project");
    other.create_index(&stage.server, "plain").await;
    assert_eq!(stage.api().get(&stage.url("/indexes/movies")).await.status, 200);
    stage.kms.heals(&key(1));
    stage.until(&index, 200).await;
}

#[tokio::test]
async fn what_was_sealed_for_one_project_opens_for_no_other() {
    let stage = Stage::new(&["--cmek-cache-seconds", "1"]).await;
    let (_, made) = stage.add("main", &key(1)).await;
    let id = made["id"].as_str().unwrap();
    let index = stage.index("movies").await;
    let body = json!({"name": "other"});
    let other = stage.owner.post(&stage.url("/admin/projects"), body).await.json()["id"].clone();
    let body = json!({"project_id": other, "name": "theirs", "key_arn": key(1), "role_arn": ROLE, "external_id": EXTERNAL_ID});
    assert_eq!(stage.owner.post(&stage.url("/pinyon/v1/cmeks"), body).await.status, 201);
    assert_eq!(stage.kms.sealed_count(), 2);
    stage.kms.swap_sealed(0, 1);
    let state = stage.until_state(id, |s| s["state"]["status"] == "denied").await;
    assert!(state["state"]["reason"].as_str().unwrap().contains("InvalidCiphertextException"), "{state}");
    assert_eq!(stage.query(&index).await, 403);
    stage.kms.swap_sealed(0, 1);
    stage.until(&index, 200).await;
}

#[tokio::test]
async fn the_commands_on_keys() {
    let stage = Stage::new(&[]).await;
    let (home, arn, other) = (&stage.home, key(1), key(2));
    let of_key =
        |arn: &str| ["--key-arn".to_owned(), arn.to_owned(), "--role-arn".into(), ROLE.into(), "--external-id".into(), EXTERNAL_ID.into()];
    let run = |words: &[&str], key: &[String]| {
        let words: Vec<&str> = words.iter().copied().chain(key.iter().map(String::as_str)).collect();
        home.run(&words)
    };
    let added = run(&["cmek", "add", "main", "--project", "sealed"], &of_key(&arn));
    assert!(added.contains("status: ready") && added.contains(&arn), "{added}");
    stage.index("movies").await;
    let list = home.run(&["cmek", "list"]);
    assert!(list.contains("main") && list.contains("ready") && list.contains(&arn), "{list}");
    run(&["cmek", "replace", "main"], &of_key(&other));
    let described = home.json(&["cmek", "describe", "main"]);
    assert_eq!((&described["cmek"]["key_arn"], &described["cmek"]["indexes"]), (&json!(other), &json!(1)));
    assert!(!home.operate(&["cmek", "delete", "main", "--name", "main"]).status.success(), "an index is under it");
    assert_eq!(stage.api().send("DELETE", &stage.url("/indexes/movies"), "").await.status, 202);
    assert!(!home.operate(&["cmek", "delete", "main", "--name", "mine"]).status.success());
    let begin = Instant::now();
    while !home.operate(&["cmek", "delete", "main", "--name", "main"]).status.success() {
        assert!(begin.elapsed() < PATIENCE, "it is being replaced for too long");
    }
    assert!(!home.run(&["cmek", "list"]).contains("main"));
    let made = home.run(&["project", "create", "forced", "--force-encryption-with-cmek"]);
    assert!(made.contains("forced"), "{made}");
}

#[tokio::test]
async fn after_a_revocation_no_key_is_in_memory_and_no_text_on_disk() {
    // Segments, merges and closed namespaces, within seconds.
    let small = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/durability/small.toml");
    let stage = Stage::new(&["--cmek-cache-seconds", "1", "--config", small]).await;
    stage.add("main", &key(1)).await;
    let mut indexes = Vec::new();
    for name in ["movies", "songs"] {
        let index = stage.index(name).await;
        for round in 0..30 {
            let text = format!("planted-violet-cormorant {round} ").repeat(30);
            let vectors: Vec<Value> = (0..20)
                .map(|n| json!({"id": format!("r-{n}"), "values": [1.0, f64::from(n), f64::from(round)], "metadata": {"text": text}}))
                .collect();
            let body = json!({"vectors": vectors, "namespace": format!("ns-{}", round % 3)});
            assert_eq!(stage.api().post(&format!("{index}/vectors/upsert"), body).await.status, 200);
        }
        assert_eq!(stage.query(&index).await, 200);
        indexes.push(index);
    }
    let root_keys = stage.home.path().join("config/pinyon/root-keys");
    let is_root = |path: &std::path::PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("pinyon-root-1-"));
    let root_key = std::fs::read_dir(root_keys).unwrap().map(|e| e.unwrap().path()).find(is_root);
    let raw = key_file::read(&stage.home.data().join("keys/keys"), &root_key.expect("a root key"), &stage.kms.halves());
    assert_eq!((raw.projects.len(), raw.indexes.len(), raw.namespaces.len()), (1, 2, 8), "three namespaces and the default one each");
    let all: Vec<[u8; 32]> = [raw.projects, raw.indexes, raw.namespaces].concat();
    let pid = stage.server.child.id();
    let before = memory::count(pid, &all);
    assert!(before.iter().all(|n| *n > 0), "each key is found while it may be used: {before:?}");

    stage.kms.breaks(&key(1), Trouble::AccessDenied);
    for index in &indexes {
        stage.until(index, 403).await;
    }
    // What was under way when the key went has a moment to end.
    let mut after = memory::count(pid, &all);
    let begin = Instant::now();
    while after.iter().any(|n| *n > 0) && begin.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        after = memory::count(pid, &all);
    }
    println!(
        "copies of {} keys in memory: {} before the revocation, {} after",
        all.len(),
        before.iter().sum::<usize>(),
        after.iter().sum::<usize>()
    );
    assert!(after.iter().all(|n| *n == 0), "{after:?}");

    let mut open = vec![stage.home.data()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let is_there = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
            assert!(!is_there(b"planted-violet") && !all.iter().any(|key| is_there(key)), "{}", path.display());
        }
    }
    stage.kms.heals(&key(1));
    stage.until(&indexes[0], 200).await;
}
