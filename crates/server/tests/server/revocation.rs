//! Races of use against revocation: once it is acknowledged, nothing that is sent later is accepted, by no door.
//!
//! `PINYON_RACES=1000` runs as many; a few run with the other tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pinyon_wire::proto;
use serde_json::{Value, json};

use crate::kit::{Api, Home, Server, grpc_as, record};

const RACES: usize = 40;
/// How long after the acknowledgement something is still asked.
const AFTER: Duration = Duration::from_millis(5);

/// What ends, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    KeyDeleted,
    KeyRotated,
    KeyRestricted,
    AccountRotated,
    AccountDeleted,
}

const ENDINGS: [Ending; 5] =
    [Ending::KeyDeleted, Ending::KeyRotated, Ending::KeyRestricted, Ending::AccountRotated, Ending::AccountDeleted];

struct Stage {
    home: Home,
    server: Server,
    owner: Api,
    project: String,
    host: String,
    port: u16,
}

impl Stage {
    async fn new() -> Self {
        let home = Home::new();
        let server = home.serve(&[]);
        let owner = Api::with_token(&server, &home.service_account("owner", &["--role", "OrgOwner"])).await;
        let (host, port) = (server.index_url(1), server.port + 1);
        let editor = Api::new(&home.first_key());
        editor.create_index(&server, "raced").await;
        assert_eq!(editor.post(&format!("{host}/vectors/upsert"), json!({"vectors": [record("x")]})).await.status, 200);
        let projects = owner.get(&format!("{}/admin/projects", server.url())).await.json();
        let project = projects["data"][0]["id"].as_str().unwrap().to_owned();
        Self { home, server, owner, project, host, port }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// Somebody new: the header that it shows, and its id.
    async fn somebody(&self, ending: Ending) -> ((&'static str, String), String) {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        if matches!(ending, Ending::AccountRotated | Ending::AccountDeleted) {
            let binding = json!({"resource_type": "project", "resource_id": self.project, "role": "ProjectEditor"});
            let body = json!({"name": "raced", "role_bindings": [binding]});
            let made = self.owner.post(&self.url("/admin/service-accounts"), body).await.json();
            let account = (text(&made["service_account"]["client_id"]), text(&made["client_secret"]));
            let asked = Api::bare().post(&self.url("/oauth/token"), crate::kit::token_request(&account)).await.json();
            return (("Authorization", format!("Bearer {}", text(&asked["access_token"]))), text(&made["service_account"]["id"]));
        }
        let made = self.owner.post(&self.url(&format!("/admin/projects/{}/api-keys", self.project)), json!({"name": "raced"})).await.json();
        (("Api-Key", text(&made["value"])), text(&made["key"]["id"]))
    }

    async fn end(&self, ending: Ending, id: &str) {
        let (method, path, body) = match ending {
            Ending::KeyDeleted => ("DELETE", format!("/admin/api-keys/{id}"), json!({})),
            Ending::KeyRotated => ("POST", format!("/pinyon/v1/api-keys/{id}/rotate"), json!({})),
            Ending::KeyRestricted => ("PATCH", format!("/pinyon/v1/api-keys/{id}"), json!({"restrictions": {"indexes": ["another"]}})),
            Ending::AccountRotated => ("POST", format!("/admin/service-accounts/{id}/rotate-secret"), json!({})),
            Ending::AccountDeleted => ("DELETE", format!("/admin/service-accounts/{id}"), json!({})),
        };
        let reply = self.owner.send(method, &self.url(&path), body.to_string()).await;
        assert!(matches!(reply.status, 200 | 202), "{ending:?}: {reply:?}");
    }
}

/// One caller that asks by one door until it is told to stop. What it was answered to a request that it began after the acknowledgement
/// is what counts.
struct Asker {
    stop: Arc<AtomicBool>,
    /// Microseconds after `begin` of the acknowledgement; `u64::MAX` before it.
    acknowledged_us: Arc<AtomicU64>,
    begin: Instant,
}

#[derive(Default)]
struct Told {
    accepted_before: u64,
    accepted_after: u64,
    refused_after: u64,
}

impl Asker {
    async fn ask(self, mut send: impl AsyncFnMut() -> bool) -> Told {
        let mut told = Told::default();
        loop {
            let last = self.stop.load(Ordering::SeqCst);
            let sent_us = self.begin.elapsed().as_micros() as u64;
            let accepted = send().await;
            match (sent_us > self.acknowledged_us.load(Ordering::SeqCst), accepted) {
                (true, true) => told.accepted_after += 1,
                (true, false) => told.refused_after += 1,
                (false, true) => told.accepted_before += 1,
                (false, false) => {}
            }
            if last {
                return told;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_accepted_after_its_end_is_acknowledged() {
    let stage = Stage::new().await;
    let races = std::env::var("PINYON_RACES").map_or(RACES, |n| n.parse().unwrap());
    let (mut before, mut after, mut refused, mut late) = (0, 0, 0, Vec::new());
    for race in 0..races {
        let ending = ENDINGS[race % ENDINGS.len()];
        let ((header, secret), id) = stage.somebody(ending).await;
        let (stop, acknowledged_us, begin) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(u64::MAX)), Instant::now());
        let asker = || Asker { stop: Arc::clone(&stop), acknowledged_us: Arc::clone(&acknowledged_us), begin };
        let api = Api::bare().with(header, &secret);
        let (query, list) = (format!("{}/query", stage.host), stage.url("/indexes"));
        let project = (header == "Authorization").then(|| stage.project.clone());
        let rest = tokio::spawn(asker().ask(async move || api.post(&query, json!({"id": "x", "topK": 1})).await.status == 200));
        let mut control_api = Api::bare().with(header, &secret);
        if let Some(project) = &project {
            control_api = control_api.with("X-Project-Id", project);
        }
        // A key that is restricted to another index may go on listing: it sees none.
        let control = tokio::spawn(asker().ask(async move || {
            let reply = control_api.get(&list).await;
            reply.status == 200 && !reply.json()["indexes"].as_array().unwrap().is_empty()
        }));
        let port = stage.port;
        let grpc = tokio::spawn(asker().ask(async move || {
            let message = proto::FetchRequest { ids: vec!["x".into()], ..Default::default() };
            grpc_as::<_, proto::FetchResponse>(port, Some((header, &secret)), "Fetch", message).await.is_ok()
        }));
        tokio::time::sleep(Duration::from_micros((race as u64 * 37) % 4_000)).await;
        stage.end(ending, &id).await;
        acknowledged_us.store(begin.elapsed().as_micros() as u64, Ordering::SeqCst);
        tokio::time::sleep(AFTER).await;
        stop.store(true, Ordering::SeqCst);
        for (door, asked) in [("REST, records", rest), ("REST, indexes", control), ("gRPC", grpc)] {
            let told = asked.await.unwrap();
            before += told.accepted_before;
            after += told.accepted_after;
            refused += told.refused_after;
            if told.accepted_after > 0 {
                late.push(format!("race {race}, {ending:?}, {door}: {} accepted", told.accepted_after));
            }
            assert!(told.accepted_after + told.refused_after > 0, "race {race}: {door} asked nothing after the end");
        }
    }
    println!("{races} races: {before} accepted before the end, {refused} refused after it, {after} accepted after it");
    assert!(late.is_empty(), "{}", late.join("\n"));
    drop(stage.home);
}
