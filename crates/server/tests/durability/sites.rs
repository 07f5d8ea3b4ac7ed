//! Every place that changes a data file fails, in every way it can, in the real binary: each fault in a directory of its own, in the life
//! that begins with the first start on nothing, or in the one after it. Faults are counted when they are met, not when they are set.
//!
//! A life: first start, indexes made, changed and deleted, keys made and revoked, the root key rotated, and mixed writes under which
//! namespaces come and go, are flushed and compacted. It ends with a kill soon after the fault was met. Then the next start must
//! serve all that was acknowledged, and nothing that was not asked for, and the check must find every byte in order.
//!
//! Without `PINYON_CRASH_VISITS`, each site kills the process once and fails once. With it, each site fails so many times in each way.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    control::Control,
    http::Client,
    load::{self, DIMENSION, Random, Totals, Worker},
    process::{Directory, Server},
    setting,
};

/// Where the sites are listed, and only there.
const SOURCE: &str = include_str!("../../../storage/src/fs.rs");
const INDEX: &str = "crash";
/// How long a life goes on after its fault.
const AFTER: Duration = Duration::from_millis(60);
/// How long a life without a fault goes on.
const FIRST_LIFE: Duration = Duration::from_millis(400);
/// How long a life waits for its fault.
const PATIENCE: Duration = Duration::from_secs(8);

/// The names of all sites, as the storage crate declares them.
fn sites() -> Vec<&'static str> {
    let list = SOURCE.split_once("\nsites! {").and_then(|(_, rest)| rest.split_once("\n}")).expect("a list of sites").0;
    list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).map(|l| l.trim_end_matches(',')).collect()
}

/// How a site can fail: a write also by half.
fn ways(site: &str) -> &'static [&'static str] {
    let writes = ["RootKeyWrite", "KeysWrite", "KeysAppend", "LogWriteFirst", "LogWrite", "BlobWrite"];
    if writes.contains(&site) { &["kill", "torn", "after", "eio", "short", "enospc"] } else { &["kill", "after", "eio", "enospc"] }
}

/// One directory from its first start on, and what it must hold.
struct Life {
    dir: Directory,
    workers: Vec<Worker>,
    control: Control,
    /// Whether the workers' index was acknowledged.
    has_index: bool,
    totals: Totals,
}

impl Life {
    fn new(seed: u64) -> Self {
        let workers = (0..2).map(|n| Worker::new(n, seed)).collect();
        Self { dir: Directory::new(), workers, control: Control::new(0, seed), has_index: false, totals: Totals::default() }
    }

    /// From the start to a kill, which comes when `over` says so, or with the fault. Whether the fault `met` names was met.
    fn live(&mut self, env: &[(&str, &str)], over: impl Fn() -> bool) {
        let Some(mut server) = Server::try_start(&self.dir, env) else { return };
        let (host, data) = (server.control_host(), self.dir.data());
        let stop = AtomicBool::new(false);
        let (control, workers, has_index) = (&mut self.control, &mut self.workers, &mut self.has_index);
        let totals: Totals = thread::scope(|scope| {
            let operating = scope.spawn(|| control.run(&host, &data, &stop));
            let writing = scope.spawn(|| {
                let Some(index) = make_index(&host, has_index, &stop) else { return Totals::default() };
                thread::scope(|scope| {
                    let running: Vec<_> = workers.iter_mut().map(|w| scope.spawn(|| w.run(&index, &stop))).collect();
                    running.into_iter().map(|r| r.join().expect("a worker panicked")).sum()
                })
            });
            while !server.is_gone() && !over() {
                thread::sleep(Duration::from_millis(1));
            }
            if !server.is_gone() {
                thread::sleep(AFTER);
            }
            server.kill();
            stop.store(true, Ordering::SeqCst);
            [operating, writing].into_iter().map(|r| r.join().expect("the load panicked")).sum()
        });
        self.totals += totals;
    }

    /// The next start, without a fault: everything acknowledged is there, nothing else is, and every byte is in order.
    fn survives(&mut self) {
        let server = Server::start(&self.dir, &[]);
        let mut control = Client::new(&server.control_host());
        let found = control.send("GET", &format!("/indexes/{INDEX}"), None).expect("an answer");
        assert!(found.status == 200 || found.status == 404 && !self.has_index, "the index is lost: {found:?}");
        let host = make_index(&server.control_host(), &mut self.has_index, &AtomicBool::new(false)).expect("an index can be made");
        for worker in &mut self.workers {
            worker.verify(&host);
        }
        load::verify_namespaces(&host, &self.workers);
        self.control.verify(&server.control_host(), &self.dir.data());
        let (clean, report) = self.dir.command(&["check"]);
        assert!(clean, "{report}");
        server.kill();
    }
}

/// The host of the workers' index, which is made if it is not there; none when the server is gone.
fn make_index(control: &str, acknowledged: &mut bool, stop: &AtomicBool) -> Option<String> {
    let mut client = Client::new(control);
    let spec = json!({"serverless": {"cloud": "aws", "region": "us-east-1"}});
    let body = json!({"name": INDEX, "dimension": DIMENSION, "metric": "cosine", "spec": spec});
    while !stop.load(Ordering::SeqCst) {
        let answer = client.send("POST", "/indexes", Some(&body))?;
        let index = match answer.status {
            201 => answer,
            // One that was made although its making failed.
            409 => client.send("GET", &format!("/indexes/{INDEX}"), None)?,
            500.. => {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            _ => panic!("{answer:?}"),
        };
        if index.status < 300 {
            *acknowledged = true;
            return Some(index.body["host"].as_str().expect("a host").replace("http://", "").replace("localhost", "127.0.0.1"));
        }
    }
    None
}

/// How often lives without faults pass each site: the first of a directory, and the one after it.
fn visits() -> [BTreeMap<String, u64>; 2] {
    let mut life = Life::new(7);
    ["first", "second"].map(|which| {
        let count = life.dir.path().join(which);
        let end = Instant::now() + Duration::from_secs(3);
        life.live(&[("PINYON_FAULT_COUNT", count.to_str().expect("a plain path"))], || Instant::now() > end);
        life.survives();
        let mut visits = BTreeMap::new();
        for line in fs::read_to_string(&count).expect("the server was built with the feature `faults`").lines() {
            *visits.entry(line.to_owned()).or_insert(0) += 1;
        }
        visits
    })
}

/// One fault of the plan.
#[derive(Clone, Copy)]
struct Fault {
    site: &'static str,
    way: &'static str,
    /// In the second life of its directory, when it is not the first.
    second: bool,
    /// Which visit of the site in that life.
    nth: u64,
    seed: u64,
}

/// Says under which fault a test failed.
struct While(Fault);

impl Drop for While {
    fn drop(&mut self) {
        if thread::panicking() {
            let Fault { site, way, second, nth, seed } = self.0;
            eprintln!("this was with {site}:{nth}:{way} in life {}, seed {seed}", 1 + u8::from(second));
        }
    }
}

impl Fault {
    /// Lives until the fault is met and looks at what is left; whether it was met.
    fn strike(&self, nth: u64) -> (bool, Totals) {
        let _while = While(Fault { nth, ..*self });
        let mut life = Life::new(self.seed);
        let seen = life.dir.path().join("met.txt");
        let fault = format!("{}:{nth}:{}", self.site, self.way);
        let was_met = || fs::metadata(&seen).is_ok_and(|m| m.len() > 0);
        if self.second {
            let end = Instant::now() + FIRST_LIFE;
            life.live(&[], || Instant::now() > end);
            life.survives();
        }
        let end = Instant::now() + PATIENCE;
        let env = [("PINYON_FAULT", fault.as_str()), ("PINYON_FAULT_MET", seen.to_str().expect("a plain path"))];
        life.live(&env, || was_met() || Instant::now() > end);
        life.survives();
        let met = fs::read_to_string(&seen).unwrap_or_default();
        let expected = format!("{}:{}", self.site, self.way);
        assert!(met.is_empty() || met.trim_end().eq_ignore_ascii_case(&expected), "{expected} was set, and {met} met");
        (!met.is_empty(), life.totals)
    }
}

fn plan(visits: &[BTreeMap<String, u64>; 2]) -> Vec<Fault> {
    let times = setting("PINYON_CRASH_VISITS", 0);
    let seed = setting("PINYON_CRASH_SEED", 1);
    let mut random = Random::new(seed + 12);
    let mut plan = Vec::new();
    for (n, site) in sites().into_iter().enumerate() {
        let ways = ways(site);
        let half = ways.len() / 2;
        let chosen = match times {
            0 => vec![ways[n % half], ways[half + n % half]],
            times => ways.repeat(times as usize),
        };
        let lives: Vec<usize> = (0..2).filter(|l| visits[*l].contains_key(site)).collect();
        assert!(!lives.is_empty(), "no life comes to {site}");
        for (n, way) in chosen.into_iter().enumerate() {
            let life = lives[n / ways.len() % lives.len()];
            // A life is not like the one before: the first half of the visits is reached by nearly all of them.
            let nth = 1 + random.below((visits[life][site] / 2).clamp(1, 20));
            plan.push(Fault { site, way, second: life == 1, nth, seed: seed * 10_000 + plan.len() as u64 });
        }
    }
    plan
}

#[test]
fn every_site_fails_in_every_way() {
    let plan = plan(&visits());
    let waiting = Mutex::new(plan.iter());
    let met: Mutex<BTreeMap<&str, BTreeMap<&str, u64>>> = Mutex::default();
    let lives = || {
        let mut totals = Totals::default();
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(fault) = next else { return totals };
            let (mut was_met, done) = fault.strike(fault.nth);
            totals += done;
            if !was_met {
                let (again, done) = fault.strike(1);
                totals += done;
                was_met = again;
            }
            let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
            *met.entry(fault.site).or_default().entry(fault.way).or_default() += u64::from(was_met);
        }
    };
    let totals: Totals = thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|_| scope.spawn(lives)).collect();
        running.into_iter().map(|r| r.join().expect("a life failed")).sum()
    });
    let met = met.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counted: u64 = met.values().flat_map(BTreeMap::values).sum();
    println!("faults met, by site:");
    for (site, ways) in &met {
        let shown: Vec<String> = ways.iter().map(|(way, n)| format!("{way} {n}")).collect();
        println!("{:4} {site:18} {}", ways.values().sum::<u64>(), shown.join(", "));
    }
    println!("{} sites, {} faults set, {counted} met: {totals}; lost 0, phantoms 0, changed 0", met.len(), plan.len());
    assert_eq!(counted, plan.len() as u64, "a fault was not met");
    assert_eq!(met.len(), sites().len());
}
