//! Customer-managed keys (RFC 0008): a key of the customer's above the keys of a project's indexes, asked for again and again, so that
//! who takes it away takes the data away.

mod calls;
mod gate;
mod kept;
mod project_key;
mod provider;
mod refresh;
mod replace;
mod watch;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinyon_model::{CmekId, Error, ErrorCode, Result};
use pinyon_storage::KeyId;

use project_key::KeptProjectKey;
pub use provider::{KeyContext, KeyFault, KeyHalf, KeyProvider};
use watch::Watch;

/// How customer-managed keys are asked for.
#[derive(Clone)]
pub struct CmekOptions {
    /// What reaches them; none in a process that does not.
    pub provider: Option<Arc<dyn KeyProvider>>,
    /// The hosts that the operator set in place of AWS's, for the record.
    pub endpoints: String,
    /// For how long an answer is good, milliseconds.
    pub lifetime_ms: u64,
    /// For how long after the last good answer what is under a key is served while nobody answers, milliseconds.
    pub grace_ms: u64,
}

impl Default for CmekOptions {
    /// Five minutes, and an hour.
    fn default() -> Self {
        Self { provider: None, endpoints: "AWS".to_owned(), lifetime_ms: 300_000, grace_ms: 3_600_000 }
    }
}

impl fmt::Debug for CmekOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CmekOptions({} ms, {} ms)", self.lifetime_ms, self.grace_ms)
    }
}

/// Every customer's key, as this process knows it. Nothing of it outlives the process.
pub(crate) struct CustomerKeys {
    options: CmekOptions,
    watches: Mutex<HashMap<KeyId, Watch>>,
    /// Replacements that are being carried out now, and those that failed, with when to try again.
    replacements: Mutex<Replacements>,
}

#[derive(Default)]
struct Replacements {
    running: HashSet<CmekId>,
    later_ms: HashMap<CmekId, u64>,
}

impl CustomerKeys {
    pub(crate) fn new(options: CmekOptions) -> Self {
        Self { options, watches: Mutex::default(), replacements: Mutex::default() }
    }

    /// What reaches the keys; `FailedPrecondition` in a process that reaches none.
    fn provider(&self) -> Result<&Arc<dyn KeyProvider>> {
        let none = || Error::new(ErrorCode::FailedPrecondition, "This needs the running server: start it first");
        self.options.provider.as_ref().ok_or_else(none)
    }

    /// What an operator may have set, for the record.
    pub(crate) fn settings(&self) -> [(&'static str, String); 3] {
        let CmekOptions { provider: _, endpoints, lifetime_ms, grace_ms } = &self.options;
        let seconds = |ms: u64| (ms / 1_000).to_string();
        [("cmek_endpoints", endpoints.clone()), ("cmek_cache_seconds", seconds(*lifetime_ms)), ("cmek_grace_seconds", seconds(*grace_ms))]
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<KeyId, Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replacements(&self) -> MutexGuard<'_, Replacements> {
        self.replacements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
