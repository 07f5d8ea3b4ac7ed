//! Guesses are slowed down: so many failed sign-ins of one account, and from one source, in a quarter of an hour.
//!
//! Failures are counted in tables of fixed size whose slots are chosen by a keyed hash: the memory is bounded whatever is asked, an
//! address counts whether somebody has it or not, and nobody outside can make two accounts share a slot on purpose.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use pinyon_model::{Error, Result};

const WINDOW_MS: u64 = 15 * 60 * 1_000;
/// Failures of one account in a window.
const ACCOUNT_MAX: u32 = 10;
/// Failures from one source in a window: more, for many people share one.
const SOURCE_MAX: u32 = 100;
const SLOTS: usize = 1 << 14;

#[derive(Clone, Copy, Default)]
struct Slot {
    ends_ms: u64,
    failures: u32,
}

struct Counts {
    max: u32,
    slots: Mutex<Vec<Slot>>,
}

impl Counts {
    fn new(max: u32) -> Self {
        Self { max, slots: Mutex::new(vec![Slot::default(); SLOTS]) }
    }

    /// Counts a sign-in as failed until it is known not to be. The error says when the window ends, milliseconds since 1970.
    fn take(&self, slot: usize, now_ms: u64) -> Result<(), u64> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut slots[slot];
        if now_ms >= slot.ends_ms {
            *slot = Slot { ends_ms: now_ms + WINDOW_MS, failures: 0 };
        }
        if slot.failures >= self.max {
            return Err(slot.ends_ms);
        }
        slot.failures += 1;
        Ok(())
    }

    fn give_back(&self, slot: usize) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots[slot].failures = slots[slot].failures.saturating_sub(1);
    }
}

/// Counts failed sign-ins.
pub(crate) struct Throttle {
    hasher: RandomState,
    accounts: Counts,
    sources: Counts,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { hasher: RandomState::new(), accounts: Counts::new(ACCOUNT_MAX), sources: Counts::new(SOURCE_MAX) }
    }
}

/// A sign-in whose outcome is not known: it counts as failed unless it is said to be none.
#[must_use = "a sign-in that is dropped counts as failed"]
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    account: usize,
    source: usize,
}

impl Throttle {
    /// Lets a sign-in be tried. `ResourceExhausted` when too many failed: of this account, or from this source.
    pub(crate) fn attempt(&self, account: &str, source: &str, now_ms: u64) -> Result<Attempt<'_>> {
        let slot = |what: u8, text: &str| self.hasher.hash_one((what, text)) as usize % SLOTS;
        let attempt = Attempt { throttle: self, account: slot(0, account), source: slot(1, &network(source)) };
        let refused = |of: &str, ends_ms: u64| {
            let seconds = ends_ms.saturating_sub(now_ms).div_ceil(1_000);
            let told = format!("Too many sign-ins {of} failed; try again in {seconds} seconds");
            Error::too_many(told, u32::try_from(seconds).unwrap_or(u32::MAX))
        };
        self.sources.take(attempt.source, now_ms).map_err(|ends| refused("from this address", ends))?;
        self.accounts.take(attempt.account, now_ms).map_err(|ends| {
            self.sources.give_back(attempt.source);
            refused("of this account", ends)
        })?;
        Ok(attempt)
    }
}

impl Attempt<'_> {
    /// It was no guess.
    pub(crate) fn succeeded(self) {
        self.throttle.accounts.give_back(self.account);
        self.throttle.sources.give_back(self.source);
    }
}

/// What counts as one source: an IPv4 address, 64 bits of an IPv6 one, which is what one subscriber has.
fn network(source: &str) -> String {
    match source.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => address.segments()[..4].iter().map(|s| format!("{s:x}:")).collect(),
        },
        _ => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;

    #[test]
    fn ten_failures_of_an_account_and_no_more() {
        let throttle = Throttle::default();
        for n in 0..ACCOUNT_MAX {
            assert!(throttle.attempt("a@b", &format!("10.0.0.{n}"), SECOND).is_ok());
        }
        let refused = throttle.attempt("a@b", "10.0.1.1", 2 * SECOND).err().unwrap();
        assert_eq!((refused.code, refused.retry_after_s), (pinyon_model::ErrorCode::ResourceExhausted, Some(899)));
        assert!(throttle.attempt("c@d", "10.0.1.1", 2 * SECOND).is_ok(), "another account");
        assert!(throttle.attempt("a@b", "10.0.1.1", SECOND + WINDOW_MS - 1).is_err());
        assert!(throttle.attempt("a@b", "10.0.1.1", SECOND + WINDOW_MS).is_ok());
    }

    #[test]
    fn a_hundred_failures_from_a_source_and_no_more() {
        let throttle = Throttle::default();
        for n in 0..SOURCE_MAX {
            assert!(throttle.attempt(&format!("{n}@b"), &format!("2001:db8:1:2::{n:x}"), 0).is_ok());
        }
        assert!(throttle.attempt("x@b", "2001:db8:1:2:ffff::1", 0).is_err(), "the same subscriber");
        assert!(throttle.attempt("x@b", "2001:db8:1:3::1", 0).is_ok());
        assert_eq!(network("::ffff:10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn successes_do_not_count_and_a_refusal_takes_nothing_from_the_source() {
        let throttle = Throttle::default();
        (0..1_000).for_each(|_| throttle.attempt("a@b", "s", 0).unwrap().succeeded());
        (0..ACCOUNT_MAX).for_each(|_| drop(throttle.attempt("a@b", "s", 0).unwrap()));
        (0..1_000).for_each(|_| assert!(throttle.attempt("a@b", "s", 0).is_err()));
        assert!(throttle.attempt("c@d", "s", 0).is_ok());
    }
}
