//! Dense search by codes, through the engine's interface, held against scores computed one by one: what share of the best it finds, and
//! that whatever it returns is exact.

mod build_faults;
mod classes;
mod data;
mod degenerate;
mod naive;
#[path = "../support/mod.rs"]
mod support;
mod unchanged;
mod world;

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
