//! How fast one core reads memory: the yardstick for every scan.

use std::{hint::black_box, time::Instant};

use pinyon_kernels::Kernels;

use crate::{Failure, report::Report};

/// How to measure it.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Size of the memory read, in MiB; it must be several times the last cache
    #[arg(long, default_value_t = 2_048)]
    buffer_mib: usize,
    /// How often to measure
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let mut report = Report::new("bandwidth");
    let probe = Probe::new(settings.buffer_mib);
    for _ in 0..settings.runs {
        let mut best = 0.0f64;
        for kernels in Kernels::all_available() {
            let speed = (0..TRIES).map(|_| probe.read(kernels)).fold(0.0, f64::max);
            report.record(&format!("read {:?}", kernels.level()), "GB/s", speed);
            best = best.max(speed);
        }
        report.record("read best", "GB/s", best);
    }
    report.finish();
    Ok(())
}

/// Memory to read, more of it than any cache holds.
pub(crate) struct Probe {
    words: Vec<u64>,
}

/// How often one figure is measured: the best is what the core can do when nothing comes between.
pub(crate) const TRIES: usize = 3;

impl Probe {
    /// Takes the memory and writes it once, so that no page is missing.
    pub(crate) fn new(mib: usize) -> Self {
        Self { words: (0..(mib as u64) << 17).collect() }
    }

    /// The best read with any level's loads, in 10⁹ bytes a second. No other data is in a cache afterwards.
    pub(crate) fn gb_per_s(&self) -> f64 {
        Kernels::all_available().into_iter().map(|kernels| self.read(kernels)).fold(0.0, f64::max)
    }

    fn read(&self, kernels: Kernels) -> f64 {
        gb_per_s(size_of_val(&self.words[..]), || kernels.read_words(black_box(&self.words)))
    }
}

/// The speed of work that reads so many bytes, in 10⁹ bytes a second.
pub(crate) fn gb_per_s<T>(bytes: usize, work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    bytes as f64 / start.elapsed().as_secs_f64() / 1e9
}
