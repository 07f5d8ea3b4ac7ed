//! What must survive: kills, failing disks, flipped bits, a lost catalog, a full disk; and what must never be found on disk.
//! Each test starts the real binary, built with the feature `faults` of `storage`.

mod audit;
mod backup;
mod canary;
mod catalog;
mod cmek;
mod control;
mod crash;
mod flips;
mod full_disk;
mod http;
#[allow(dead_code, reason = "the tests of another program use the rest")]
#[path = "../server/kms.rs"]
mod kms;
mod load;
mod plaintext;
mod process;
mod purge;
mod rebuild;
mod sample;
mod sites;

/// A number from the environment, so that the same test has a short and a long form.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
