//! How far a long job is.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far a long job is: shared between it and whoever asks.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    /// Steps done, and steps there are; nothing is known of a job that has not begun.
    pub fn steps(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }

    /// Percent done, 0 to 100.
    pub fn percent(&self) -> f64 {
        let (done, of) = self.steps();
        if of == 0 { 0.0 } else { (done.min(of) as f64) * 100.0 / of as f64 }
    }

    pub(crate) fn begin(&self, of: u64) {
        self.of.store(of, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }

    pub(crate) fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}
