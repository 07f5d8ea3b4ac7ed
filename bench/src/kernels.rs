//! How fast the kernels score rows that lie in memory, against how fast the same core reads it.

use std::hint::black_box;

use pinyon_kernels::Kernels;

use crate::{
    Failure,
    bandwidth::{Probe, TRIES, gb_per_s},
    report::{Report, Target},
    vectors::Values,
};

/// The share of the bandwidth that a scan of rows should reach.
const SHARE_TARGET: f64 = 0.7;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Rows to score
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// Values a row
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// Size of the memory that tells the bandwidth, in MiB
    #[arg(long, default_value_t = 2_048)]
    buffer_mib: usize,
    /// How often to measure
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    if settings.dimension == 0 || settings.rows == 0 {
        return Err("there must be at least one row of one value".into());
    }
    let mut report = Report::new("kernels");
    let probe = Probe::new(settings.buffer_mib);
    let mut values = Values::new(0);
    let query = values.take(settings.dimension);
    let rows = values.take(settings.rows * settings.dimension);
    let mut scores = vec![0.0; settings.rows];
    let bytes = size_of_val(&rows[..]);
    for _ in 0..settings.runs {
        for kernels in Kernels::all_available() {
            let (mut bandwidth, mut dot, mut l2) = (0.0f64, 0.0f64, 0.0f64);
            for _ in 0..TRIES {
                // Reading the probe drives the rows out of every cache before each measurement.
                bandwidth = bandwidth.max(probe.gb_per_s());
                dot = dot.max(gb_per_s(bytes, || kernels.dot_rows(black_box(&query), black_box(&rows), &mut scores)));
                bandwidth = bandwidth.max(probe.gb_per_s());
                l2 = l2.max(gb_per_s(bytes, || kernels.l2_squared_rows(black_box(&query), black_box(&rows), &mut scores)));
            }
            black_box(&scores);
            let level = kernels.level();
            report.record("read", "GB/s", bandwidth);
            report.record(&format!("dot_rows {level:?}"), "GB/s", dot);
            report.record(&format!("l2_squared_rows {level:?}"), "GB/s", l2);
            report.record(&format!("dot_rows {level:?} / read"), "", dot / bandwidth);
            report.record(&format!("l2_squared_rows {level:?} / read"), "", l2 / bandwidth);
        }
    }
    let best = Kernels::detect().level();
    for operation in ["dot_rows", "l2_squared_rows"] {
        report.expect(&format!("{operation} {best:?} / read"), Target::AtLeast(SHARE_TARGET));
    }
    report.finish();
    Ok(())
}
