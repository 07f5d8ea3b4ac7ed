//! The control plane under load, and the model it is held against: indexes with their tags, API keys, projects, the root key.
//!
//! A change that was answered must be there after a restart. One that was cut off, or answered with a failure that does not say that
//! nothing was changed, must be there wholly or not at all.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Client},
    load::{Random, Totals},
};

/// More of them would need more ports than a directory has.
const INDEXES: u64 = 5;
/// Several users together stay below the number that an organization may have.
const PROJECTS: usize = 30;
const ROLE: &str = "ProjectEditor";

/// What a thing may be: one state when it is known.
#[derive(Debug, Clone)]
struct May<T>(Vec<T>);

impl<T: Clone + PartialEq + fmt::Debug> May<T> {
    fn known(&self) -> Option<&T> {
        if let [only] = self.0.as_slice() { Some(only) } else { None }
    }

    /// Takes what is there for true, which must be one of what may be.
    fn settle(&mut self, there: T, what: &str) {
        assert!(self.0.contains(&there), "{what} is {there:?} and must be one of {:?}", self.0);
        self.0 = vec![there];
    }
}

/// A change under way.
enum Change {
    /// An index's mark, which is one of its tags; none when it is to be deleted.
    Index(String, Option<u64>),
    /// Whether a key is to be there.
    Key(String, bool),
    Project(String),
    RootKey,
}

/// One user of the control plane with its own names.
pub(crate) struct Control {
    name: String,
    random: Random,
    clock: u64,
    rotates: bool,
    indexes: BTreeMap<String, May<Option<u64>>>,
    /// By name, which is used once.
    keys: BTreeMap<String, May<bool>>,
    ids: BTreeMap<String, String>,
    projects: BTreeMap<String, May<bool>>,
}

impl Control {
    /// The first of several also rotates the root key: two rotations at a time refuse each other.
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        let name = format!("c{number}");
        let indexes = (0..INDEXES).map(|n| (format!("{name}-{n}"), May(vec![None]))).collect();
        let random = Random::new(seed * 1000 + 500 + number as u64);
        Self {
            name,
            random,
            clock: 0,
            rotates: number == 0,
            indexes,
            keys: BTreeMap::new(),
            ids: BTreeMap::new(),
            projects: BTreeMap::new(),
        }
    }

    /// Works until told to stop or until the server is gone.
    pub(crate) fn run(&mut self, host: &str, data: &Path, stop: &AtomicBool) -> Totals {
        let (mut control, mut operator) = (Client::new(host), Client::operator(data));
        let mut totals = Totals::default();
        while !stop.load(Ordering::SeqCst) && totals.cut_off == 0 {
            self.step(&mut control, &mut operator, &mut totals);
        }
        totals
    }

    /// Makes one change.
    pub(crate) fn step(&mut self, control: &mut Client, operator: &mut Client, totals: &mut Totals) {
        self.clock += 1;
        let (change, answer) = match self.random.below(100) {
            0..58 => self.index(control),
            58..88 => self.key(operator),
            88..96 if self.rotates => (Change::RootKey, operator.command(&json!({"command": "rotate-root"}))),
            _ if self.projects.len() >= PROJECTS => self.key(operator),
            _ => {
                let name = format!("{}-{}", self.name, self.clock);
                let answer = operator.command(&json!({"command": "create-project", "name": name}));
                (Change::Project(name), answer)
            }
        };
        match &answer {
            Some(a) if (200..300).contains(&a.status) => totals.acknowledged += 1,
            // The operator's socket answers 400 to whatever is not a defect.
            Some(a) if a.status >= 500 || a.status == 400 => totals.refused += 1,
            Some(a) => panic!("{}: unexpected answer {a:?}", self.name),
            None => totals.cut_off += 1,
        }
        self.note(change, answer);
    }

    fn index(&mut self, control: &mut Client) -> (Change, Option<Answer>) {
        let name = format!("{}-{}", self.name, self.random.below(INDEXES));
        let tags = json!({"mark": self.clock.to_string()});
        match self.indexes[&name].known() {
            Some(None) => {
                let body = json!({"name": name, "dimension": 3, "metric": "cosine", "tags": tags,
                    "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
                let answer = control.send("POST", "/indexes", Some(&body));
                (Change::Index(name, Some(self.clock)), answer)
            }
            Some(Some(_)) if self.random.below(2) == 0 => {
                let answer = control.send("PATCH", &format!("/indexes/{name}"), Some(&json!({"tags": tags})));
                (Change::Index(name, Some(self.clock)), answer)
            }
            // Of one that may be there or not, a deletion is all that can be asked for; it must not be answered with a failure of ours.
            _ => match control.send("DELETE", &format!("/indexes/{name}"), None) {
                Some(a) if a.status == 404 => (Change::Index(name, None), Some(Answer { status: 202, ..a })),
                answer => (Change::Index(name, None), answer),
            },
        }
    }

    fn key(&mut self, operator: &mut Client) -> (Change, Option<Answer>) {
        let there = self.ids.iter().find(|(name, _)| self.keys[*name].known() == Some(&true)).map(|(n, id)| (n.clone(), id.clone()));
        match there {
            Some((name, id)) if self.ids.len() > 4 || self.random.below(3) == 0 => {
                let answer = operator.command(&json!({"command": "revoke-key", "id": id}));
                (Change::Key(name, false), answer)
            }
            _ => {
                let name = format!("{}-{}", self.name, self.clock);
                let command = json!({"command": "create-key", "name": name, "roles": [ROLE], "project": null, "value": null});
                let answer = operator.command(&command);
                if let Some(id) = answer.as_ref().and_then(|a| a.body["key"]["id"].as_str()) {
                    self.ids.insert(name.clone(), id.to_owned());
                }
                (Change::Key(name, true), answer)
            }
        }
    }

    /// What the answer says of the state.
    fn note(&mut self, change: Change, answer: Option<Answer>) {
        let done = answer.as_ref().is_some_and(|a| a.status < 300);
        let untouched = answer.is_some_and(|a| a.body.to_string().contains("nothing was changed"));
        fn put<T: Clone + PartialEq>(may: &mut May<T>, to: T, done: bool, untouched: bool) {
            if done {
                may.0 = vec![to];
            } else if !untouched && !may.0.contains(&to) {
                may.0.push(to);
            }
        }
        match change {
            Change::Index(name, mark) => put(self.indexes.get_mut(&name).expect("one of ours"), mark, done, untouched),
            Change::Key(name, there) => {
                put(self.keys.entry(name.clone()).or_insert(May(vec![false])), there, done, untouched);
                if self.keys[&name].known() != Some(&true) {
                    self.ids.remove(&name);
                }
            }
            Change::Project(name) => put(self.projects.entry(name).or_insert(May(vec![false])), true, done, untouched),
            // Which of two keys opens the data shows at the next start.
            Change::RootKey => {}
        }
    }

    /// Compares all that is there with the model, and takes it for true.
    pub(crate) fn verify(&mut self, host: &str, data: &Path) {
        let (mut control, mut operator) = (Client::new(host), Client::operator(data));
        let mut indexes = listed(control.send("GET", "/indexes", None), "indexes", &self.name);
        for (name, may) in &mut self.indexes {
            let index = indexes.remove(name);
            let mark = index.as_ref().map(|i| i["tags"]["mark"].as_str().expect("a mark").parse().expect("a number"));
            may.settle(mark, &format!("index {name}"));
            let Some(index) = index else { continue };
            assert_eq!((&index["dimension"], &index["metric"]), (&json!(3), &json!("cosine")), "{index}");
            let host = index["host"].as_str().expect("a host").replace("http://", "").replace("localhost", "127.0.0.1");
            let stats = Client::new(&host).send("POST", "/describe_index_stats", Some(&json!({})));
            let stats = stats.unwrap_or_else(|| panic!("index {name} is listed and does not answer at {host}"));
            assert_eq!((stats.status, &stats.body["totalVectorCount"]), (200, &json!(0)), "{name}: {stats:?}");
        }
        assert!(indexes.is_empty(), "indexes that nobody made: {indexes:?}");
        let mut keys = listed(operator.command(&json!({"command": "list-keys", "project": null})), "keys", &self.name);
        for (name, may) in &mut self.keys {
            let key = keys.remove(name);
            may.settle(key.is_some(), &format!("key {name}"));
            if let Some(key) = key {
                assert_eq!(key["roles"], json!([ROLE]), "{key}");
                self.ids.insert(name.clone(), key["id"].as_str().expect("an id").to_owned());
            }
        }
        assert!(keys.is_empty(), "keys that nobody made: {keys:?}");
        let mut projects = listed(operator.command(&json!({"command": "list-projects"})), "projects", &self.name);
        for (name, may) in &mut self.projects {
            may.settle(projects.remove(name).is_some(), &format!("project {name}"));
        }
        assert!(projects.is_empty(), "projects that nobody made: {projects:?}");
    }
}

/// The rows of a list whose names are one user's; none may be there twice.
fn listed(answer: Option<Answer>, rows: &str, user: &str) -> BTreeMap<String, Value> {
    let answer = answer.expect("an answer to a list");
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut found = BTreeMap::new();
    for row in answer.body[rows].as_array().expect("a list") {
        let name = row["name"].as_str().expect("a name");
        if name.starts_with(&format!("{user}-")) {
            assert!(found.insert(name.to_owned(), row.clone()).is_none(), "two of {rows} are called {name}");
        }
    }
    found
}
