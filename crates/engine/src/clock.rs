//! Time, as a component that is passed in: it decides when an idle namespace is closed, and nothing else.

/// What time it is, and how to wait.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since some fixed moment; never falls.
    fn now_ms(&self) -> u64;
    /// Returns after this many milliseconds.
    async fn wait_ms(&self, ms: u64);
}
