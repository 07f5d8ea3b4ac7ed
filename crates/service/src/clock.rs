//! Time, as a component that is passed in: tests turn it by hand. The trait is the engine's, so that one clock serves both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pinyon_engine::Clock;

/// The computer's own clock, milliseconds since 1970-01-01 UTC; it waits rather than run backwards.
#[derive(Debug)]
pub struct SystemClock {
    latest: AtomicU64,
    made: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { latest: AtomicU64::new(0), made: Instant::now() }
    }
}

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        self.latest.fetch_max(now, Ordering::SeqCst).max(now)
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
