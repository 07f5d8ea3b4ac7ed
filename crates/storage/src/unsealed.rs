//! Writing without any cipher, for the bench that tells what sealing costs. Builds without the feature `unsealed` refuse what was written
//! so.

use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);

/// Whether new data is written without a cipher from now on. Keys are wrapped all the same.
pub fn set(on: bool) {
    ON.store(on, Ordering::SeqCst);
}

pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}
