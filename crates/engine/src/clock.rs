//! Time, as a component that is passed in: it decides when an idle namespace is closed and when it is quiet enough to
//! replay queries, and nothing else.

/// What time it is, and how to wait.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since some fixed moment; never falls.
    fn now_ms(&self) -> u64;
    /// Microseconds since some fixed moment, which need not be the same; never falls. How long things take is told by it, and nothing else.
    fn now_us(&self) -> u64 {
        self.now_ms().saturating_mul(1_000)
    }
    /// Returns after this many milliseconds.
    async fn wait_ms(&self, ms: u64);
}
