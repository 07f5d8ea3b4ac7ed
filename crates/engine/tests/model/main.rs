//! Random operations on the engine and on a naive model, which must agree after every one of them, while flushes and
//! compactions run, and across restarts.
//!
//! `PINYON_MODEL_OPS` says how many operations in all (over four kinds of index), `PINYON_MODEL_SEED` from which seed.

mod chance;
mod naive;
mod run;
#[path = "../support/mod.rs"]
mod support;

use pinyon_model::Metric;
use run::Run;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn agree(options: pinyon_engine::IndexOptions, salt: u64) {
    let ops = setting("PINYON_MODEL_OPS", 6_000) / 4;
    let seed = setting("PINYON_MODEL_SEED", 1).wrapping_mul(1_000_003).wrapping_add(salt);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(options, seed).await;
        for _ in 0..ops {
            run.step().await;
        }
        run.end().await;
    });
}

#[test]
fn cosine() {
    agree(support::dense(7, Metric::Cosine), 1);
}

#[test]
fn euclidean() {
    agree(support::dense(9, Metric::Euclidean), 2);
}

#[test]
fn dotproduct_and_hybrid() {
    agree(support::dense(5, Metric::Dotproduct), 3);
}

#[test]
fn sparse() {
    agree(support::sparse(), 4);
}
