//! Time, as a component that is passed in: tests turn it by hand. The trait is the engine's, so that one clock serves both.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pinyon_engine::Clock;

/// A day in milliseconds.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The computer's own clock, milliseconds since 1970-01-01 UTC; it never runs backwards. When that is set back, this one goes on an eighth
/// slower until both show the same: who waits for a moment, as for the end of a key's time, does not wait for hours.
#[derive(Debug)]
pub struct SystemClock {
    latest: Mutex<Latest>,
    made: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        let made = Instant::now();
        Self { latest: Mutex::new(Latest { shown: Duration::ZERO, at: made }), made }
    }
}

/// What was shown last, since 1970, and when that was by a clock that nobody sets.
#[derive(Debug, Clone, Copy)]
struct Latest {
    shown: Duration,
    at: Instant,
}

impl Latest {
    /// What is shown now.
    fn next(self, computers: Duration, at: Instant) -> Self {
        let went_on = self.shown + at.saturating_duration_since(self.at) / 8 * 7;
        Self { shown: computers.max(went_on), at: at.max(self.at) }
    }
}

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let computers = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = latest.next(computers, Instant::now());
        u64::try_from(latest.shown.as_millis()).unwrap_or(u64::MAX)
    }
    fn now_us(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
    async fn wait_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// A time in milliseconds since 1970 as libraries want it.
pub fn system_time(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// A clock that stands still until it is turned.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows this time.
    pub fn at(ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(ms)))
    }
    /// Turns it on by so many milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    async fn wait_ms(&self, _ms: u64) {
        // What waits is background work that a test drives itself.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on() {
        let seconds = Duration::from_secs;
        let begin = Instant::now();
        let first = Latest { shown: Duration::ZERO, at: begin }.next(seconds(10_000), begin);
        assert_eq!(first.shown, seconds(10_000));
        // Two hours back: as many looks as one likes change nothing of how fast it goes.
        let mut latest = first;
        for step in 1..=800u64 {
            let before = latest.shown;
            latest = latest.next(seconds(2_800) + Duration::from_millis(step * 10), begin + Duration::from_millis(step * 10));
            assert!(latest.shown > before);
        }
        assert!(latest.shown.abs_diff(seconds(10_007)) < Duration::from_millis(1), "{latest:?}");
        let caught_up = latest.next(seconds(80_000), begin + seconds(77_200));
        assert_eq!(caught_up.shown, seconds(80_000));
    }
}
