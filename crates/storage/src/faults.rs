//! Faults on demand, for tests: present only under the feature `faults` and in this crate's own tests.
//!
//! From outside, by environment:
//! - `PINYON_FAULT=SITE:NTH:KIND[,..]`: the NTH visit (from 1) of a site fails; `NTH+` fails that and every later one. Kinds: `kill`
//!   (SIGKILL before the act), `after` (SIGKILL after it), `torn` (half a write, then SIGKILL), `eio`, `enospc`, `short` (half a write,
//!   then an error).
//! - `PINYON_FAULT_COUNT=FILE`: the name of every site visited is appended, a line each.
//! - `PINYON_FAULT_MET=FILE`: every fault met is appended, before it happens: site and kind, a line each.
//! - `PINYON_NONCE_LOG=FILE`: every seal is appended: key fingerprint, nonce, hash of what was sealed.
//! - `PINYON_FREE_FILE=FILE`: the file's number is taken for the free bytes of the file system.
//! - `PINYON_NULL_CIPHER=1`: nothing is encrypted (all is still authenticated), so that a search for plaintext can be seen to find it.
//!
//! Inside a test, [`install`] sets faults for the files below one folder.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::fs::Site;

/// What happens instead of, or after, an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process kills itself before the act.
    Kill,
    /// The process kills itself after the act.
    After,
    /// A write is done by half, then the process kills itself.
    Torn,
    /// EIO.
    Eio,
    /// ENOSPC.
    Enospc,
    /// A write is done by half, then answers EIO.
    Short,
}

/// One fault: which visit of which site.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The site.
    pub site: Site,
    /// The visit, from 1.
    pub nth: u64,
    /// Whether later visits fail too.
    pub on: bool,
    /// What happens.
    pub fault: Fault,
}

impl Rule {
    /// The `nth` visit alone.
    pub fn once(site: Site, nth: u64, fault: Fault) -> Self {
        Self { site, nth, on: false, fault }
    }
    /// Every visit.
    pub fn always(site: Site, fault: Fault) -> Self {
        Self { site, nth: 1, on: true, fault }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (site, nth, kind) = (parts.next()?, parts.next()?, parts.next()?);
        let (nth, on) = nth.strip_suffix('+').map_or((nth, false), |n| (n, true));
        let fault = match kind {
            "kill" => Fault::Kill,
            "after" => Fault::After,
            "torn" => Fault::Torn,
            "eio" => Fault::Eio,
            "enospc" => Fault::Enospc,
            "short" => Fault::Short,
            _ => return None,
        };
        let site = *Site::ALL.iter().find(|s| s.name() == site)?;
        Some(Self { site, nth: nth.parse().ok()?, on, fault })
    }
}

/// Faults and visit counts of the files below one folder.
#[derive(Debug)]
struct Plan {
    below: PathBuf,
    rules: Vec<Rule>,
    visits: HashMap<Site, u64>,
}

type SharedPlan = Arc<Mutex<Plan>>;

struct Global {
    plans: Mutex<Vec<SharedPlan>>,
    count: Option<Mutex<File>>,
    met: Option<Mutex<File>>,
    nonces: Option<Mutex<File>>,
    free: Option<PathBuf>,
    null_cipher: bool,
}

static GLOBAL: LazyLock<Global> = LazyLock::new(|| {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let appended = |name: &str| {
        var(name).map(|path| {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            Mutex::new(file.unwrap_or_else(|e| panic!("{name}={path}: {e}")))
        })
    };
    let mut plans = Vec::new();
    if let Some(text) = var("PINYON_FAULT") {
        let rules = text.split(',').map(|t| Rule::parse(t).unwrap_or_else(|| panic!("PINYON_FAULT: '{t}' is not SITE:NTH:KIND"))).collect();
        plans.push(Arc::new(Mutex::new(Plan { below: PathBuf::new(), rules, visits: HashMap::new() })));
    }
    Global {
        plans: Mutex::new(plans),
        count: appended("PINYON_FAULT_COUNT"),
        met: appended("PINYON_FAULT_MET"),
        nonces: appended("PINYON_NONCE_LOG"),
        free: var("PINYON_FREE_FILE").map(PathBuf::from),
        null_cipher: var("PINYON_NULL_CIPHER").is_some(),
    }
});

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Faults that last as long as this value.
#[derive(Debug)]
pub struct Installed(SharedPlan);

/// Sets faults for every file below `below`.
pub fn install(below: &Path, rules: Vec<Rule>) -> Installed {
    let plan = Arc::new(Mutex::new(Plan { below: below.to_owned(), rules, visits: HashMap::new() }));
    locked(&GLOBAL.plans).push(plan.clone());
    Installed(plan)
}

impl Installed {
    /// How often each site was visited since.
    pub fn visits(&self) -> HashMap<Site, u64> {
        locked(&self.0).visits.clone()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        locked(&GLOBAL.plans).retain(|p| !Arc::ptr_eq(p, &self.0));
    }
}

fn kill() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

fn due(site: Site, path: &Path) -> Option<Fault> {
    if let Some(count) = &GLOBAL.count {
        let _ = locked(count).write_all(format!("{}\n", site.name()).as_bytes());
    }
    let mut found = None;
    for plan in locked(&GLOBAL.plans).iter() {
        let mut plan = locked(plan);
        if path.starts_with(&plan.below) {
            let visits = plan.visits.entry(site).or_default();
            *visits += 1;
            let n = *visits;
            found = found.or(plan.rules.iter().find(|r| r.site == site && (n == r.nth || r.on && n >= r.nth)).map(|r| r.fault));
        }
    }
    if let (Some(fault), Some(met)) = (found, &GLOBAL.met) {
        let _ = locked(met).write_all(format!("{}:{fault:?}\n", site.name()).as_bytes());
    }
    found
}

/// What is left to do once an act is done.
pub(crate) struct After(bool);

impl After {
    pub(crate) fn run(self) {
        if self.0 {
            kill()
        }
    }
}

fn errno(fault: Fault) -> io::Error {
    (if fault == Fault::Enospc { rustix::io::Errno::NOSPC } else { rustix::io::Errno::IO }).into()
}

/// Counts a visit and meets the fault set for it.
pub(crate) fn visit(site: Site, path: &Path) -> io::Result<After> {
    match due(site, path) {
        None => Ok(After(false)),
        Some(Fault::After) => Ok(After(true)),
        Some(Fault::Kill | Fault::Torn) => kill(),
        Some(fault) => Err(errno(fault)),
    }
}

/// A write that is to be done in part.
pub(crate) struct Partial<'a> {
    pub(crate) bytes: &'a [u8],
    fault: Fault,
}

impl Partial<'_> {
    pub(crate) fn end(&self) -> io::Error {
        if self.fault == Fault::Torn {
            kill()
        }
        errno(self.fault)
    }
}

/// Counts a visit of a write and looks at the fault set for it: `Err` says which part to write before the fault.
pub(crate) fn partial<'a>(site: Site, path: &Path, bytes: &'a [u8]) -> Result<After, Partial<'a>> {
    match due(site, path) {
        Some(fault @ (Fault::Torn | Fault::Short | Fault::Enospc)) => Err(Partial { bytes: &bytes[..bytes.len() / 2], fault }),
        Some(fault @ Fault::Eio) => Err(Partial { bytes: &[], fault }),
        Some(Fault::Kill) => kill(),
        other => Ok(After(other == Some(Fault::After))),
    }
}

/// The free bytes to pretend.
pub(crate) fn pretended_free() -> Option<u64> {
    std::fs::read_to_string(GLOBAL.free.as_ref()?).ok()?.trim().parse().ok()
}

/// Whether nothing is to be encrypted.
pub(crate) fn null_cipher() -> bool {
    GLOBAL.null_cipher
}

/// Every seal so far: a key's fingerprint and a nonce, which must never come twice.
#[derive(Default)]
struct Seals {
    seen: HashSet<([u8; 16], [u8; 12])>,
    repeats: usize,
}

static SEALS: Mutex<Option<Seals>> = Mutex::new(None);

/// From here on this process remembers every (key, nonce).
pub fn watch_nonces() {
    locked(&SEALS).get_or_insert_default();
}

/// How many seals were remembered, and how many of them used a (key, nonce) again.
pub fn nonces_watched() -> (usize, usize) {
    locked(&SEALS).as_ref().map_or((0, 0), |s| (s.seen.len(), s.repeats))
}

/// Records a seal.
pub(crate) fn record_seal(key: [u8; 16], nonce: [u8; 12], aad: &[u8], plain: &[u8]) {
    if let Some(seals) = locked(&SEALS).as_mut() {
        seals.repeats += usize::from(!seals.seen.insert((key, nonce)));
    }
    if let Some(file) = &GLOBAL.nonces {
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        hash.update(aad);
        hash.update(plain);
        let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let line = format!("{} {} {}\n", hex(&key), hex(&nonce), hex(&hash.finish().as_ref()[..16]));
        let _ = locked(file).write_all(line.as_bytes());
    }
}
