//! Measures Pinyon: each subcommand sets something up, measures it several times and holds the median against its target.
//!
//! Every single measurement is a line of JSON on stdout; what a person wants to read, a table of medians, goes to stderr.
//! `docs/performance.md` has the commands and what they gave.

mod bandwidth;
mod kernels;
mod report;
mod vectors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure Pinyon's speed and memory
#[derive(Parser)]
#[command(name = "pinyon-bench")]
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
    }
}
