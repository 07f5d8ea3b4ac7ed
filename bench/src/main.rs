//! Measures Pinyon: each subcommand sets something up, measures it several times and holds the median against its target.
//!
//! Every single measurement is a line of JSON on stdout; what a person wants to read, a table of medians, goes to stderr.
//! `docs/performance.md` has the commands and what they gave.

mod backup;
mod bandwidth;
mod client;
mod codes;
mod compare;
mod control;
mod derive;
mod idle;
mod kernels;
mod namespaces;
mod peers;
mod pin;
mod qdrant;
mod records;
mod report;
mod scan;
#[cfg(feature = "unsealed")]
mod sealing;
mod search;
mod server;
mod sets;
mod sparse;
mod stats;
mod tolerances;
mod upsert;
mod vectors;
mod wire;
mod writers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

// The server's own allocator, so that what runs here in the same process runs as it does there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Pinyon's speed and memory
#[derive(Parser)]
#[command(name = "pinyon-bench", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// How fast one core reads memory
    Bandwidth(bandwidth::Settings),
    /// How fast the kernels score rows that lie in memory, against how fast the same core reads it
    Kernels(kernels::Settings),
    /// How fast the kernels go through compressed vectors, and make them
    Codes(codes::Settings),
    /// How fast one core answers an exact query over a whole namespace, against how fast it reads memory
    Scan(scan::Settings),
    /// Recall, speed and memory of searches over a real set, through the engine in this process
    Search(search::Settings),
    /// Exact sparse search over texts, against one that adds up every posting
    Sparse(sparse::Settings),
    /// Searches over a real set, of this engine and of other libraries in turn
    Compare(compare::Settings),
    /// Searches over a real set through a server, by gRPC and by REST
    Wire(wire::Settings),
    /// What an entry in the audit log costs, beside the disk's fsync
    Control(control::Settings),
    /// What a backup costs when nothing changed, and what writers notice of it
    Backup(backup::Settings),
    /// What sealing costs upserts and warm queries, against a cipher that does nothing
    #[cfg(feature = "unsealed")]
    Sealing(sealing::Settings),
    /// Makes sets of vectors out of another one
    Derive(derive::Settings),
    /// How many vectors a server takes in a second, durable and sealed, by gRPC and by REST
    Upsert(upsert::Settings),
    /// Memory, start and first queries of a server with very many namespaces
    Namespaces(namespaces::Settings),
    /// Many writers on as many namespaces, against as many writers on one
    Writers(writers::Settings),
    /// Memory of a server that has nothing to do
    Idle(idle::Settings),
}

fn main() -> ExitCode {
    match run(Arguments::parse().bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What went wrong, in words: this is a tool for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn run(bench: Bench) -> Result<(), Failure> {
    match bench {
        Bench::Bandwidth(settings) => bandwidth::run(&settings),
        Bench::Kernels(settings) => kernels::run(&settings),
        Bench::Codes(settings) => codes::run(&settings),
        Bench::Scan(settings) => on_one_thread(scan::run(&settings)),
        Bench::Search(settings) => on_one_thread(search::run(&settings)),
        Bench::Sparse(settings) => on_one_thread(sparse::run(&settings)),
        Bench::Compare(settings) => on_one_thread(compare::run(&settings)),
        Bench::Wire(settings) => wire::run(&settings),
        Bench::Control(settings) => on_one_thread(control::run(&settings)),
        Bench::Backup(settings) => on_two_threads(backup::run(&settings)),
        #[cfg(feature = "unsealed")]
        Bench::Sealing(settings) => on_one_thread(sealing::run(&settings)),
        Bench::Derive(settings) => derive::run(&settings),
        Bench::Upsert(settings) => on_one_thread(upsert::run(&settings)),
        Bench::Namespaces(settings) => on_one_thread(namespaces::run(&settings)),
        Bench::Writers(settings) => on_one_thread(writers::run(&settings)),
        Bench::Idle(settings) => on_one_thread(idle::run(&settings)),
    }
}

/// Runs a bench that is busy while the engine in this process is.
fn on_two_threads(bench: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(bench)
}

/// Runs a bench that waits for a server or an engine; it is cheap itself, and leaves the other cores to them.
fn on_one_thread(bench: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bench)
}
