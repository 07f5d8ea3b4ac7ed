//! Random operations on the engine and on a naive model, which must agree after every one of them, while flushes and
//! compactions run, and across restarts.
//!
//! With codes, a search may miss what is not quite among the best; all else of an answer must be as exact as without.
//!
//! `PINYON_MODEL_OPS` says how many operations in all (over seven kinds of index), `PINYON_MODEL_SEED` from which seed.

mod chance;
mod naive;
mod run;
#[path = "../support/mod.rs"]
mod support;

use pinyon_model::Metric;
use run::{Run, Searches};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn agree(options: pinyon_engine::IndexOptions, searches: Searches, salt: u64) {
    let ops = setting("PINYON_MODEL_OPS", 10_500) / 7;
    let seed = setting("PINYON_MODEL_SEED", 1).wrapping_mul(1_000_003).wrapping_add(salt);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(options, searches, seed).await;
        for _ in 0..ops {
            run.step().await;
        }
        run.end().await;
    });
}

#[test]
fn cosine() {
    agree(support::dense(7, Metric::Cosine), Searches::Exact, 1);
}

#[test]
fn euclidean() {
    agree(support::dense(9, Metric::Euclidean), Searches::Exact, 2);
}

#[test]
fn dotproduct_and_hybrid() {
    agree(support::dense(5, Metric::Dotproduct), Searches::Exact, 3);
}

#[test]
fn sparse() {
    agree(support::sparse(), Searches::Exact, 4);
}

#[test]
fn cosine_by_codes() {
    agree(support::dense(12, Metric::Cosine), Searches::ByCodes, 5);
}

#[test]
fn euclidean_by_codes() {
    agree(support::dense(20, Metric::Euclidean), Searches::ByCodes, 6);
}

#[test]
fn dotproduct_and_hybrid_by_codes() {
    agree(support::dense(16, Metric::Dotproduct), Searches::ByCodes, 7);
}
