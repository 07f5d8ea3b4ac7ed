//! The audit log under kills: whatever was answered has one entry, whatever was cut off has one if it was done and none if not.
//!
//! Users make and remove keys and projects, each under a name of its own, until the process is killed. After the next start the lists
//! say what was done, and the log is held against it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    http::Client,
    load::Random,
    process::{Directory, Server},
    setting,
};

const USERS: usize = 3;

/// What is made and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Key,
    Project,
}

impl Kind {
    fn resource(self) -> &'static str {
        match self {
            Kind::Key => "api-key",
            Kind::Project => "project",
        }
    }
    fn list(self) -> (&'static str, &'static str) {
        match self {
            Kind::Key => ("list-keys", "keys"),
            Kind::Project => ("list-projects", "projects"),
        }
    }
}

/// A thing, by its name and, once it is known, its id.
#[derive(Debug, Clone)]
struct Thing {
    kind: Kind,
    name: String,
    id: String,
}

/// What was asked for.
#[derive(Debug, Clone)]
struct Asked {
    action: &'static str,
    thing: Thing,
    answered: bool,
}

/// One user of the operator's socket.
struct User {
    name: String,
    random: Random,
    count: u64,
    /// What is there, as far as the user knows.
    things: Vec<Thing>,
    asked: Vec<Asked>,
}

impl User {
    fn new(number: usize, seed: u64) -> Self {
        Self { name: format!("u{number}"), random: Random::new(seed * 77 + number as u64), count: 0, things: Vec::new(), asked: Vec::new() }
    }

    /// Works until told to stop or until the server is gone.
    fn run(&mut self, operator: &mut Client, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) && self.step(operator) {}
    }

    /// Asks for one change; whether it was answered.
    fn step(&mut self, operator: &mut Client) -> bool {
        let remove = self.things.len() > 3 || (!self.things.is_empty() && self.random.below(2) == 0);
        let (action, thing, command) = if remove {
            let thing = self.things.remove(0);
            let command = match thing.kind {
                Kind::Key => json!({"command": "revoke-key", "id": thing.id}),
                Kind::Project => json!({"command": "delete-project", "project": thing.name}),
            };
            ("delete", thing, command)
        } else {
            self.count += 1;
            let name = format!("{}-{}", self.name, self.count);
            let kind = if self.random.below(3) == 0 { Kind::Project } else { Kind::Key };
            let command = match kind {
                Kind::Key => json!({"command": "create-key", "name": name, "roles": ["ProjectEditor"], "project": null, "value": null}),
                Kind::Project => json!({"command": "create-project", "name": name}),
            };
            ("create", Thing { kind, name, id: String::new() }, command)
        };
        let answer = operator.command(&command);
        let answered = answer.is_some();
        let mut thing = thing;
        if let Some(answer) = answer {
            assert_eq!(answer.status, 200, "{command}: {answer:?}");
            if action == "create" {
                let made = &answer.body[if thing.kind == Kind::Key { "key" } else { "project" }];
                thing.id = made["id"].as_str().expect("an id").to_owned();
                self.things.push(thing.clone());
            }
        }
        self.asked.push(Asked { action, thing, answered });
        answered
    }
}

/// The log's entries about what users asked for, counted: action, kind and name.
#[derive(Default)]
struct Ledger {
    successes: HashMap<(String, String, String), u32>,
    others: u64,
    after: Option<String>,
    checked: u64,
}

impl Ledger {
    /// Reads what was written since the last time. The place where it goes on holds the hash of the entry before.
    fn read(&mut self, operator: &mut Client) {
        loop {
            let page = operator.command(&json!({"command": "audit-events", "after": self.after, "last": null})).expect("an answer");
            assert_eq!(page.status, 200, "{page:?}");
            for event in page.body["events"].as_array().expect("events") {
                self.note(&serde_json::from_str(event.as_str().expect("a line")).expect("an event"));
            }
            self.after = Some(page.body["next"].as_str().expect("a place").to_owned());
            if page.body["more"] == false {
                return;
            }
        }
    }

    fn note(&mut self, event: &Value) {
        let text = |of: &str| event.pointer(of).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("/event/outcome/result") != "success" {
            self.others += 1;
            return;
        }
        let key = (text("/event/action"), text("/event/resource_type"), text("/event/resource_name"));
        *self.successes.entry(key).or_default() += 1;
    }

    /// Holds what was asked for against the log, and forgets it.
    fn hold(&mut self, user: &mut User, there: &HashMap<(Kind, String), String>) {
        for Asked { action, thing, answered } in user.asked.drain(..) {
            let is_there = there.get(&(thing.kind, thing.name.clone()));
            let done = answered || (action == "create") == is_there.is_some();
            let key = (action.to_owned(), thing.kind.resource().to_owned(), thing.name.clone());
            let entries = self.successes.get(&key).copied().unwrap_or(0);
            assert_eq!(entries, u32::from(done), "{action} {thing:?}, answered: {answered}: {entries} entries");
            self.checked += 1;
            if let (false, Some(id)) = (answered, is_there) {
                user.things.push(Thing { id: id.clone(), ..thing });
            }
        }
    }
}

/// What there is, by kind and name, with its id.
fn list(operator: &mut Client) -> HashMap<(Kind, String), String> {
    let mut found = HashMap::new();
    for kind in [Kind::Key, Kind::Project] {
        let (command, rows) = kind.list();
        let answer = operator.command(&json!({"command": command, "project": null})).expect("a list");
        for row in answer.body[rows].as_array().unwrap_or_else(|| panic!("{answer:?}")) {
            let text = |field: &str| row[field].as_str().expect("a text").to_owned();
            found.insert((kind, text("name")), text("id"));
        }
    }
    found
}

/// One life: from a start to a kill at this moment, or by the fault; then the next start, which is held to what was answered.
fn live(dir: &Directory, env: &[(&str, &str)], moment: Duration, users: &mut [User], ledger: &mut Ledger) {
    if let Some(mut server) = Server::try_start(dir, env) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for user in users.iter_mut() {
                let (data, stop) = (dir.data(), &stop);
                scope.spawn(move || user.run(&mut Client::operator(&data), stop));
            }
            server.kill_after(moment);
            stop.store(true, Ordering::SeqCst);
        });
    }
    let server = Server::start(dir, &[]);
    let mut operator = Client::operator(&dir.data());
    ledger.read(&mut operator);
    let there = list(&mut operator);
    users.iter_mut().for_each(|user| ledger.hold(user, &there));
    let verified = operator.command(&json!({"command": "verify-audit"})).expect("an answer");
    assert_eq!(verified.body["damaged"], json!([]), "{verified:?}");
    server.kill();
}

/// `PINYON_CRASH_KILLS` (default 10) kills at random moments.
#[test]
fn kills_amid_audited_actions() {
    let (kills, seed) = (setting("PINYON_CRASH_KILLS", 10), setting("PINYON_CRASH_SEED", 1));
    let (dir, mut ledger, mut random) = (Directory::new(), Ledger::default(), Random::new(seed + 9));
    let mut users: Vec<User> = (0..USERS).map(|n| User::new(n, seed)).collect();
    for _ in 0..kills {
        live(&dir, &[], Duration::from_millis(5 + random.below(200)), &mut users, &mut ledger);
    }
    let asked: u64 = ledger.successes.values().map(|n| u64::from(*n)).sum();
    println!("{kills} kills, seed {seed}: {} actions held against the log, {asked} entries of success; missing 0, twice 0", ledger.checked);
    assert!(ledger.checked > kills * 2, "next to nothing was done: {}", ledger.checked);
    let (clean, report) = dir.command(&["check"]);
    assert!(clean, "{report}");
}

/// Kills between the catalog's commit and the entry: before the append, amid its bytes, before and after its sync.
#[test]
fn kills_between_a_change_and_its_entry() {
    let (mut actions, mut lives) = (0, 0);
    for fault in ["LogWriteFirst", "LogWrite", "LogSync"] {
        for kind in ["kill", "torn", "after"] {
            if (fault, kind) == ("LogSync", "torn") {
                continue;
            }
            let (dir, mut ledger) = (Directory::new(), Ledger::default());
            let mut users: Vec<User> = (0..USERS).map(|n| User::new(n, 5)).collect();
            // The first start writes entries of its own; from there on each is a user's.
            live(&dir, &[], Duration::from_millis(150), &mut users, &mut ledger);
            let visits = if fault == "LogWriteFirst" { 1..2 } else { 1..6 };
            for nth in visits {
                let rule = format!("{fault}:{nth}:{kind}");
                live(&dir, &[("PINYON_FAULT", &rule)], Duration::from_secs(3), &mut users, &mut ledger);
                lives += 1;
            }
            actions += ledger.checked;
        }
    }
    println!("{lives} kills at the append of an entry, {actions} actions held against the log; missing 0, twice 0");
}
