//! Rates: how much may be done in a second, in a namespace, an index, a project and an organization, and in a month.
//!
//! Counted in fixed windows: seconds of the clock, UTC months. What was used in a second is forgotten with it, so the memory is
//! bounded by what is asked for within one second; the counts of a month are kept, see [`month`].

mod limit;
mod month;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use pinyon_model::{Error, IndexId, NamespaceName, OrganizationId, Plan, ProjectId, Result, Usage};

pub(crate) use limit::Scope;
pub use limit::{RateLimit, Rates};
pub(crate) use month::{MonthlyUsage, OBJECT};

use crate::Limits;

const SHARDS: usize = 16;
/// Room that a shard keeps from one second to the next.
const KEPT_MAX: usize = 4_096;

/// Where something is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) organization: OrganizationId,
    pub(crate) plan: Plan,
    pub(crate) project: ProjectId,
    pub(crate) index: IndexId,
    /// The index's name, for the caller.
    pub(crate) index_name: &'a str,
    /// None for what is done on a whole index.
    pub(crate) namespace: Option<&'a NamespaceName>,
}

/// What counts together: a limit and the thing it is a limit of. Namespaces are told apart by a keyed hash of their names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    limit: RateLimit,
    id: [u8; 16],
    namespace: u64,
}

/// What was used in one second.
#[derive(Default)]
struct Second {
    number: u64,
    used: HashMap<Key, u64>,
}

impl Second {
    fn at(&mut self, number: u64) -> &mut HashMap<Key, u64> {
        if self.number != number {
            self.number = number;
            if self.used.capacity() > KEPT_MAX { self.used = HashMap::new() } else { self.used.clear() }
        }
        &mut self.used
    }
}

/// Counts what is done, and refuses what would be too much.
pub(crate) struct RateLimiter {
    limits: Limits,
    hasher: RandomState,
    shards: [Mutex<Second>; SHARDS],
    month: Mutex<MonthlyUsage>,
}

impl RateLimiter {
    /// None when nothing is limited on any plan: then nothing is counted.
    pub(crate) fn new(limits: &Limits, month: MonthlyUsage) -> Option<Self> {
        let limited = |limit: &RateLimit| Plan::ALL.iter().any(|plan| limits.rate(*limit, *plan).is_some());
        RateLimit::ALL.iter().any(limited).then(|| Self {
            limits: limits.clone(),
            hasher: RandomState::new(),
            shards: Default::default(),
            month: Mutex::new(month),
        })
    }

    /// Takes all of these amounts, or none: `ResourceExhausted` when one of them is more than is left.
    pub(crate) fn admit(&self, spot: &Spot<'_>, amounts: &[(RateLimit, u64)], now_ms: u64) -> Result<()> {
        for (i, (limit, amount)) in amounts.iter().enumerate() {
            let Some(max) = self.limits.rate(*limit, spot.plan) else { continue };
            if let Err(error) = self.take(spot, *limit, *amount, max, now_ms) {
                amounts[..i].iter().for_each(|(limit, amount)| self.give_back(spot, *limit, *amount, now_ms));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Counts what a request turned out to use, beyond the one unit of reading that it was admitted with.
    pub(crate) fn spend(&self, spot: &Spot<'_>, usage: Usage, is_query: bool, now_ms: u64) {
        let read = u64::from(usage.read_units);
        if is_query && self.limits.rate(RateLimit::IndexReadUnits, spot.plan).is_some() {
            self.with(spot, RateLimit::IndexReadUnits, now_ms, |used| *used += read.saturating_sub(1));
        }
        let monthly = [RateLimit::OrganizationMonthlyReadUnits, RateLimit::OrganizationMonthlyWriteUnits];
        if monthly.iter().any(|limit| self.limits.rate(*limit, spot.plan).is_some()) {
            lock(&self.month).add(spot.organization, now_ms, read, u64::from(usage.write_units));
        }
    }

    /// What is to be stored of the month, if it changed since it was asked for last.
    pub(crate) fn month_to_store(&self) -> Option<MonthlyUsage> {
        lock(&self.month).take_changed()
    }

    /// The month could not be stored: it is asked for again.
    pub(crate) fn month_not_stored(&self) {
        lock(&self.month).not_stored();
    }

    fn take(&self, spot: &Spot<'_>, limit: RateLimit, amount: u64, max: u64, now_ms: u64) -> Result<()> {
        if limit.is_monthly() {
            let used = lock(&self.month).used(spot.organization, now_ms, limit);
            return if used < max { Ok(()) } else { Err(refused(spot, limit, max, now_ms)) };
        }
        self.with(spot, limit, now_ms, |used| {
            // Nothing asked for is let through as long as something is left.
            if used.saturating_add(amount.max(1)) > max {
                return Err(refused(spot, limit, max, now_ms));
            }
            *used += amount;
            Ok(())
        })
    }

    fn give_back(&self, spot: &Spot<'_>, limit: RateLimit, amount: u64, now_ms: u64) {
        if !limit.is_monthly() && self.limits.rate(limit, spot.plan).is_some() {
            self.with(spot, limit, now_ms, |used| *used = used.saturating_sub(amount));
        }
    }

    /// What was used of a limit in this second.
    fn with<T>(&self, spot: &Spot<'_>, limit: RateLimit, now_ms: u64, act: impl FnOnce(&mut u64) -> T) -> T {
        let (id, namespace) = match limit.scope() {
            Scope::Namespace => (*spot.index.as_bytes(), spot.namespace.map_or(0, |n| self.hasher.hash_one(n.as_str()))),
            Scope::Index => (*spot.index.as_bytes(), 0),
            Scope::Project => (*spot.project.as_bytes(), 0),
            Scope::Organization => (*spot.organization.as_bytes(), 0),
        };
        let key = Key { limit, id, namespace };
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        act(lock(&self.shards[shard]).at(now_ms / 1_000).entry(key).or_default())
    }

    #[cfg(test)]
    fn counted(&self) -> usize {
        self.shards.iter().map(|s| lock(s).used.len()).sum()
    }
}

/// The refusal names the limit, its value and what it is a limit of. That of a month too asks to be tried again after a second: there are
/// SDKs that sleep for as many days as they are told, where their caller should hear of it.
fn refused(spot: &Spot<'_>, limit: RateLimit, max: u64, now_ms: u64) -> Error {
    let of = match limit.scope() {
        Scope::Namespace => {
            let namespace = spot.namespace.map_or("", |n| n.as_str()).escape_debug();
            format!("namespace '{namespace}' of index {}", spot.index_name)
        }
        Scope::Index => format!("index {}", spot.index_name),
        Scope::Project => format!("project {}", spot.project),
        Scope::Organization => format!("organization {}", spot.organization),
    };
    let (what, window) = (limit.what(), if limit.is_monthly() { "month" } else { "second" });
    let mut told = format!("Request rate limit exceeded: {of} has reached its limit of {max} {what} per {window} ({})", limit.name());
    if limit.is_monthly() {
        told += &format!("; the next month begins in {} seconds", month::seconds_left(now_ms));
    }
    Error::too_many(told, 1)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use pinyon_model::ErrorCode;

    use super::*;

    const SECOND: u64 = 1_000;

    fn limiter(rates: &[(RateLimit, u64)]) -> RateLimiter {
        let mut limits = Limits::default();
        rates.iter().for_each(|(limit, max)| limits.rates.set(*limit, *max));
        RateLimiter::new(&limits, MonthlyUsage::default()).unwrap()
    }

    fn spot(namespace: &NamespaceName, index: u8) -> Spot<'_> {
        Spot {
            organization: OrganizationId::from_bytes([1; 16]),
            plan: Plan::Free,
            project: ProjectId::from_bytes([2; 16]),
            index: IndexId::from_bytes([index; 16]),
            index_name: "films",
            namespace: Some(namespace),
        }
    }

    fn name(text: &str) -> NamespaceName {
        NamespaceName::new(text).unwrap()
    }

    #[test]
    fn so_many_in_a_second_and_not_one_more() {
        let limiter = limiter(&[(RateLimit::NamespaceQueries, 3)]);
        let (en, de) = (name("en"), name("de"));
        for second in 0..5 {
            let now = second * SECOND;
            for _ in 0..3 {
                limiter.admit(&spot(&en, 1), &[(RateLimit::NamespaceQueries, 1)], now + 999).unwrap();
            }
            let error = limiter.admit(&spot(&en, 1), &[(RateLimit::NamespaceQueries, 1)], now + 999).unwrap_err();
            assert_eq!((error.code, error.retry_after_s), (ErrorCode::ResourceExhausted, Some(1)));
            let told = "namespace 'en' of index films has reached its limit of 3 queries per second (namespace-queries)";
            assert!(error.message.ends_with(told), "{error}");
            assert!(limiter.admit(&spot(&de, 1), &[(RateLimit::NamespaceQueries, 1)], now + 999).is_ok(), "another namespace");
            assert!(limiter.admit(&spot(&en, 2), &[(RateLimit::NamespaceQueries, 1)], now + 999).is_ok(), "another index");
        }
    }

    #[test]
    fn all_or_nothing() {
        let limiter = limiter(&[(RateLimit::NamespaceDeletes, 10), (RateLimit::IndexDeletedRecords, 5)]);
        let en = name("en");
        let amounts = |n| [(RateLimit::NamespaceDeletes, 1), (RateLimit::IndexDeletedRecords, n)];
        assert!(limiter.admit(&spot(&en, 1), &amounts(4), 0).is_ok());
        (0..100).for_each(|_| assert!(limiter.admit(&spot(&en, 1), &amounts(2), 0).is_err()));
        assert!(limiter.admit(&spot(&en, 1), &amounts(1), 0).is_ok());
        let left = (0..20).filter(|_| limiter.admit(&spot(&en, 1), &[(RateLimit::NamespaceDeletes, 1)], 0).is_ok()).count();
        assert_eq!(left, 8, "what was refused took nothing");
    }

    #[test]
    fn read_units_are_known_afterwards() {
        let limiter = limiter(&[(RateLimit::IndexReadUnits, 10)]);
        let en = name("en");
        let ask = || limiter.admit(&spot(&en, 1), &[(RateLimit::IndexReadUnits, 1)], 0);
        ask().unwrap();
        limiter.spend(&spot(&en, 1), Usage { read_units: 9, write_units: 0 }, true, 0);
        ask().unwrap();
        limiter.spend(&spot(&en, 1), Usage { read_units: 9, write_units: 0 }, true, 0);
        assert!(ask().is_err());
    }

    #[test]
    fn a_month_ends_with_itself() {
        let limiter = limiter(&[(RateLimit::OrganizationMonthlyReadUnits, 2), (RateLimit::OrganizationMonthlyWriteUnits, 5)]);
        let en = name("en");
        // 2023-11-30, a minute before midnight.
        let now = 1_701_388_740_000;
        let ask = |limit, now| limiter.admit(&spot(&en, 1), &[(limit, 1)], now);
        for _ in 0..2 {
            ask(RateLimit::OrganizationMonthlyReadUnits, now).unwrap();
            limiter.spend(&spot(&en, 1), Usage { read_units: 1, write_units: 0 }, false, now);
        }
        let error = ask(RateLimit::OrganizationMonthlyReadUnits, now).unwrap_err();
        assert_eq!(error.retry_after_s, Some(1));
        let told = "2 read units per month (organization-monthly-read-units); the next month begins in 60 seconds";
        assert!(error.message.ends_with(told), "{error}");
        assert!(ask(RateLimit::OrganizationMonthlyWriteUnits, now).is_ok());
        assert!(ask(RateLimit::OrganizationMonthlyReadUnits, now + 59_999).is_err());
        assert!(ask(RateLimit::OrganizationMonthlyReadUnits, now + 60_000).is_ok());
    }

    #[test]
    fn what_is_past_is_forgotten() {
        let limiter = limiter(&[(RateLimit::NamespaceQueries, 3)]);
        for n in 0..10_000 {
            limiter.admit(&spot(&name(&n.to_string()), 1), &[(RateLimit::NamespaceQueries, 1)], n * 10).unwrap();
        }
        assert!(limiter.counted() <= 100 * SHARDS, "{}", limiter.counted());
        assert!(RateLimiter::new(&Limits::default(), MonthlyUsage::default()).is_none(), "without limits nothing is counted");
    }
}
