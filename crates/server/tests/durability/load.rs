//! The mixed load, and the model it is held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    iter::Sum,
    ops::AddAssign,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::http::{Answer, Client, encode};

pub(crate) const DIMENSION: usize = 8;
const SHARED: &str = "shared";

/// xorshift64*: chance that can be had again from its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Stored {
    values: Vec<f32>,
    metadata: BTreeMap<String, Value>,
}

/// One namespace as it should be; only the worker's own ids in the shared one.
type Space = BTreeMap<String, Stored>;

/// What an operation does to the model.
enum Effect {
    Put(Vec<(String, Stored)>),
    Values(String, Vec<f32>),
    Metadata(String, BTreeMap<String, Value>),
    MetadataWhere(u64, BTreeMap<String, Value>),
    Remove(Vec<String>),
    RemoveWhere(u64),
    RemoveAll,
    RemoveNamespace,
}

impl Effect {
    fn apply(&self, space: &mut Option<Space>) {
        match self {
            Effect::Put(records) => space.get_or_insert_default().extend(records.iter().cloned()),
            Effect::Values(id, values) => {
                if let Some(r) = space.as_mut().and_then(|s| s.get_mut(id)) {
                    r.values.clone_from(values);
                }
            }
            Effect::Metadata(id, set) => {
                if let Some(r) = space.as_mut().and_then(|s| s.get_mut(id)) {
                    r.metadata.extend(set.clone());
                }
            }
            Effect::MetadataWhere(group, set) => {
                for r in space.iter_mut().flat_map(|s| s.values_mut()).filter(|r| in_group(r, *group)) {
                    r.metadata.extend(set.clone());
                }
            }
            Effect::Remove(ids) => {
                if let Some(s) = space {
                    s.retain(|id, _| !ids.contains(id));
                }
            }
            Effect::RemoveWhere(group) => {
                if let Some(s) = space {
                    s.retain(|_, r| !in_group(r, *group));
                }
            }
            Effect::RemoveAll => {
                if let Some(s) = space {
                    s.clear();
                }
            }
            Effect::RemoveNamespace => *space = None,
        }
    }
}

fn in_group(record: &Stored, group: u64) -> bool {
    record.metadata.get("group") == Some(&json!(group))
}

/// What a run of the load came to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) cut_off: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, o: Self) {
        self.acknowledged += o.acknowledged;
        self.refused += o.refused;
        self.cut_off += o.cut_off;
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut a, b| {
            a += b;
            a
        })
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations acknowledged, {} refused, {} cut off", self.acknowledged, self.refused, self.cut_off)
    }
}

/// One writer with its own model.
pub(crate) struct Worker {
    name: String,
    random: Random,
    clock: u64,
    spaces: BTreeMap<String, Option<Space>>,
    /// The operation whose answer did not come: the namespace, and what it would have made of it.
    open: Option<(String, Option<Space>)>,
}

impl Worker {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        let name = format!("w{number}");
        let mut spaces: BTreeMap<_, _> = (0..3).map(|n| (format!("{name} space/{n}"), None)).collect();
        spaces.insert(SHARED.to_owned(), None);
        Self { name, random: Random::new(seed * 1000 + number as u64 + 1), clock: 0, spaces, open: None }
    }

    /// Works until told to stop or until the server is gone.
    pub(crate) fn run(&mut self, host: &str, stop: &AtomicBool) -> Totals {
        let mut client = Client::new(host);
        let mut totals = Totals::default();
        while !stop.load(Ordering::SeqCst) {
            let (namespace, effect, answer) = self.step(&mut client);
            match answer {
                Some(a) if a.status == 200 => {
                    totals.acknowledged += 1;
                    effect.apply(self.spaces.get_mut(&namespace).expect("one of ours"));
                }
                // A namespace that is not there refuses deletes; a failing disk refuses writes. Nothing may have changed.
                Some(a) if a.status == 404 || a.status >= 500 => totals.refused += 1,
                Some(a) => panic!("{}: unexpected answer {a:?}", self.name),
                None => {
                    totals.cut_off += 1;
                    let mut after = self.spaces[&namespace].clone();
                    effect.apply(&mut after);
                    self.open = Some((namespace, after));
                    break;
                }
            }
        }
        totals
    }

    fn step(&mut self, client: &mut Client) -> (String, Effect, Option<Answer>) {
        self.clock += 1;
        let names: Vec<String> = self.spaces.keys().cloned().collect();
        let namespace = names[self.random.below(names.len() as u64) as usize].clone();
        let shared = namespace == SHARED;
        let (path, body, effect) = match self.random.below(100) {
            0..55 => self.upsert(&namespace),
            55..65 => {
                let (id, values) = (self.id(), self.values());
                ("/vectors/update", json!({"id": id, "values": values, "namespace": namespace}), Effect::Values(id, values))
            }
            65..73 => {
                let (id, set) = (self.id(), self.mark());
                ("/vectors/update", json!({"id": id, "setMetadata": set, "namespace": namespace}), Effect::Metadata(id, set))
            }
            73..78 => {
                let (group, set) = (self.group(), self.mark());
                let body = json!({"filter": {"group": {"$eq": group}}, "setMetadata": set, "namespace": namespace});
                ("/vectors/update", body, Effect::MetadataWhere(group, set))
            }
            78..90 => {
                let ids: Vec<String> = (0..1 + self.random.below(5)).map(|_| self.id()).collect();
                ("/vectors/delete", json!({"ids": ids, "namespace": namespace}), Effect::Remove(ids))
            }
            90..95 => {
                let group = self.group();
                ("/vectors/delete", json!({"filter": {"group": group}, "namespace": namespace}), Effect::RemoveWhere(group))
            }
            95..98 if !shared => ("/vectors/delete", json!({"deleteAll": true, "namespace": namespace}), Effect::RemoveAll),
            98.. if !shared => {
                let answer = client.send("DELETE", &format!("/namespaces/{}", encode(&namespace)), None);
                return (namespace, Effect::RemoveNamespace, answer);
            }
            _ => self.upsert(&namespace),
        };
        let answer = client.send("POST", path, Some(&body));
        (namespace, effect, answer)
    }

    fn upsert(&mut self, namespace: &str) -> (&'static str, Value, Effect) {
        let mut records = BTreeMap::new();
        for _ in 0..1 + self.random.below(20) {
            let mut metadata = self.mark();
            metadata.insert("group".to_owned(), json!(self.group()));
            records.insert(self.id(), Stored { values: self.values(), metadata });
        }
        let vectors: Vec<Value> = records.iter().map(|(id, r)| json!({"id": id, "values": r.values, "metadata": r.metadata})).collect();
        ("/vectors/upsert", json!({"vectors": vectors, "namespace": namespace}), Effect::Put(records.into_iter().collect()))
    }

    fn id(&mut self) -> String {
        format!("{}-{}", self.name, self.random.below(300))
    }
    /// Groups belong to one worker, so that a filter in the shared namespace meets its own records alone.
    fn group(&mut self) -> u64 {
        let own: u64 = self.name[1..].parse().expect("a number");
        own * 100 + self.random.below(10)
    }
    fn mark(&mut self) -> BTreeMap<String, Value> {
        BTreeMap::from([("mark".to_owned(), json!(format!("{}@{}", self.name, self.clock)))])
    }
    fn values(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| (self.random.below(2001) as f32 - 1000.0) / 777.0).collect()
    }

    /// Compares every namespace with the model; an operation that was cut off must be there wholly or not at all.
    pub(crate) fn verify(&mut self, host: &str) {
        let mut client = Client::new(host);
        let open = self.open.take();
        for (namespace, expected) in &mut self.spaces {
            let served = read(&mut client, namespace, &format!("{}-", self.name));
            let plain = expected.clone().unwrap_or_default();
            if served == plain {
                // Whether a cut-off delete of an empty namespace happened shows in the list of namespaces alone.
                if let Some((n, after)) = &open
                    && n == namespace
                    && after.clone().unwrap_or_default() == served
                {
                    *expected = if exists(&mut client, namespace) { Some(served) } else { None };
                }
                continue;
            }
            match &open {
                Some((n, after)) if n == namespace && after.clone().unwrap_or_default() == served => *expected = after.clone(),
                _ => panic!("{}: namespace {namespace:?} differs: {}", self.name, difference(&plain, &served)),
            }
        }
    }
}

fn exists(client: &mut Client, namespace: &str) -> bool {
    client.send("GET", &format!("/namespaces/{}", encode(namespace)), None).expect("an answer").status == 200
}

/// Every namespace that a model has must be listed, and no other.
pub(crate) fn verify_namespaces(host: &str, workers: &[Worker]) {
    let mut client = Client::new(host);
    let mut listed = BTreeSet::new();
    let mut token = String::new();
    loop {
        let answer = client.send("GET", &format!("/namespaces?limit=100{token}"), None).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        listed.extend(answer.body["namespaces"].as_array().expect("a list").iter().map(|n| n["name"].as_str().expect("a name").to_owned()));
        match answer.body["pagination"]["next"].as_str() {
            Some(next) => token = format!("&paginationToken={}", encode(next)),
            None => break,
        }
    }
    let of = |want: fn(&Option<Space>) -> bool| -> BTreeSet<String> {
        workers.iter().flat_map(|w| w.spaces.iter()).filter(|(_, s)| want(s)).map(|(n, _)| n.clone()).collect()
    };
    let expected = of(Option::is_some);
    let missing: Vec<_> = expected.difference(&listed).collect();
    assert!(missing.is_empty(), "namespaces lost: {missing:?}");
    // A namespace whose creation was cut off, or whose first upsert was refused, may stand there empty.
    for extra in listed.difference(&expected) {
        let records = read(&mut client, extra, "");
        assert!(records.is_empty(), "namespace {extra:?} has records that no one wrote: {records:?}");
    }
}

/// All records of a namespace whose ids begin with `prefix`: listed page by page, fetched in batches.
fn read(client: &mut Client, namespace: &str, prefix: &str) -> Space {
    let mut ids: Vec<String> = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/vectors/list?namespace={}&prefix={}&limit=100{token}", encode(namespace), encode(prefix));
        let answer = client.send("GET", &path, None).expect("an answer to a list");
        assert_eq!(answer.status, 200, "{answer:?}");
        ids.extend(answer.body["vectors"].as_array().expect("a list").iter().map(|v| v["id"].as_str().expect("an id").to_owned()));
        match answer.body["pagination"]["next"].as_str() {
            Some(next) => token = format!("&paginationToken={}", encode(next)),
            None => break,
        }
    }
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "ids out of order or twice: {ids:?}");
    let mut space = Space::new();
    for batch in ids.chunks(100) {
        let query: String = batch.iter().map(|id| format!("&ids={}", encode(id))).collect();
        let answer =
            client.send("GET", &format!("/vectors/fetch?namespace={}{query}", encode(namespace)), None).expect("an answer to a fetch");
        assert_eq!(answer.status, 200, "{answer:?}");
        for (id, v) in answer.body["vectors"].as_object().expect("a map") {
            let values = v["values"].as_array().expect("values").iter().map(|x| x.as_f64().expect("a number") as f32).collect();
            let metadata = v["metadata"].as_object().map(|m| m.iter().map(|(k, x)| (k.clone(), integral(x))).collect()).unwrap_or_default();
            space.insert(id.clone(), Stored { values, metadata });
        }
    }
    assert_eq!(space.len(), ids.len(), "an id was listed and not fetched in {namespace:?}");
    space
}

/// 3.0 and 3 are the same number; the model writes it the second way.
fn integral(value: &Value) -> Value {
    match value.as_f64() {
        Some(n) if n >= 0.0 && n.fract() == 0.0 => json!(n as u64),
        _ => value.clone(),
    }
}

fn difference(expected: &Space, served: &Space) -> String {
    let lost: Vec<_> = expected.keys().filter(|k| !served.contains_key(*k)).collect();
    let phantoms: Vec<_> = served.keys().filter(|k| !expected.contains_key(*k)).collect();
    let changed: Vec<_> =
        expected.iter().filter(|(k, v)| served.get(*k).is_some_and(|s| s != *v)).map(|(k, v)| (k, v, &served[k])).take(3).collect();
    format!("lost {lost:?}, phantoms {phantoms:?}, changed {changed:?}")
}
