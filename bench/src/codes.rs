//! How fast the kernels go through compressed vectors: scans of 1-bit codes, sums of second codes, and what makes codes.

use std::{hint::black_box, time::Instant};

use pinyon_kernels::{CodeBits, Kernels, Level, ScanQuery, scan_block_bytes};

use crate::{
    Failure,
    bandwidth::{Probe, TRIES, gb_per_s},
    report::{Report, Target},
    vectors::Values,
};

/// What a 1-bit code of 512 dimensions may take that lies in the core's own cache, in nanoseconds.
const SCAN_TARGET_NS: f64 = 2.0;
/// The share of the bandwidth that a scan beyond the core's own cache should reach.
const SHARE_TARGET: f64 = 0.6;
/// The sizes of codes that are scanned within the caches, in MiB: the core's own, and the one that cores share.
const CACHED_MIB: [usize; 2] = [1, 6];
const DIMENSIONS: [usize; 2] = [384, 512];
/// Second codes that a query asks for at a time.
const BATCH: usize = 100;
/// The sizes of matrices that are multiplied, of 384 dimensions.
const MATRICES: [(usize, usize); 4] = [(64, 64), (64, 256), (64, 1_024), (1, 1_024)];

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Size of the 1-bit codes that lie in memory, in MiB; it must be more than the last cache
    #[arg(long, default_value_t = 768)]
    codes_mib: usize,
    /// Size of the second codes, in MiB
    #[arg(long, default_value_t = 45)]
    second_mib: usize,
    /// Size of the memory that tells the bandwidth, in MiB
    #[arg(long, default_value_t = 1_024)]
    buffer_mib: usize,
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let mut report = Report::new("codes");
    let mut values = Values::new(3);
    scans_in_caches(settings, &mut values, &mut report);
    scans_of_memory(settings, &mut values, &mut report)?;
    sums_of_second_codes(settings, &mut values, &mut report)?;
    products(settings, &mut values, &mut report);
    making(settings, &mut values, &mut report);
    report.finish();
    Ok(())
}

/// Scan blocks of random codes, and a query whose floor about one code in a thousand reaches.
struct Scan {
    query: ScanQuery,
    blocks: Vec<u8>,
    codes: usize,
    floor: f32,
    found: Vec<(u32, f32)>,
}

impl Scan {
    fn new(padded: usize, mib: usize, values: &mut Values) -> Self {
        let bytes = scan_block_bytes(padded);
        let count = (mib << 20) / bytes;
        // A pattern that is long enough to be no pattern for the caches is made once and repeated.
        let random: Vec<u8> = values.take(bytes).iter().map(|value| (value.to_bits() >> 3) as u8).collect();
        let mut blocks = random.repeat(count);
        for (at, block) in blocks.chunks_exact_mut(bytes).enumerate() {
            let (codes, constants) = block.split_at_mut(4 * padded);
            codes.rotate_left(at * 64 % codes.len());
            let (addends, factors) = constants.split_at_mut(constants.len() / 2);
            addends.fill(0);
            factors.as_chunks_mut().0.fill(1f32.to_le_bytes());
        }
        let query = values.take(padded);
        let deviation = query.iter().map(|value| value * value).sum::<f32>().sqrt();
        Self { query: ScanQuery::new(&query), blocks, codes: count * 32, floor: 3.1 * deviation, found: Vec::new() }
    }

    fn once(&mut self, kernels: Kernels) {
        self.found.clear();
        kernels.scan_codes(black_box(&self.query), black_box(&self.blocks), 0, 0.0, self.floor, &mut self.found);
    }
}

fn scans_in_caches(settings: &Settings, values: &mut Values, report: &mut Report) {
    for padded in DIMENSIONS {
        for mib in CACHED_MIB {
            let mut scan = Scan::new(padded, mib, values);
            let probe = Probe::new(mib);
            let times = 16 / mib + 1;
            let bytes = times * scan.blocks.len();
            for kernels in Kernels::all_available() {
                let name = format!("scan {padded} bits {mib} MiB {:?}", kernels.level());
                for _ in 0..settings.runs {
                    let bandwidth = (0..TRIES).map(|_| probe.gb_per_s()).fold(0.0, f64::max);
                    let seconds = best(|| (0..times).for_each(|_| scan.once(kernels)));
                    report.record(&name, "ns/code", seconds / (times * scan.codes) as f64 * 1e9);
                    report.record(&format!("{name} / read"), "", bytes as f64 / seconds / 1e9 / bandwidth);
                }
                if kernels == Kernels::detect() && padded == 512 {
                    match mib {
                        1 => report.expect(&name, Target::AtMost(SCAN_TARGET_NS)),
                        _ => report.expect(&format!("{name} / read"), Target::AtLeast(SHARE_TARGET)),
                    }
                }
            }
        }
    }
}

fn scans_of_memory(settings: &Settings, values: &mut Values, report: &mut Report) -> Result<(), Failure> {
    if settings.codes_mib == 0 {
        return Err("there must be some codes to scan".into());
    }
    let mut scan = Scan::new(512, settings.codes_mib, values);
    let probe = Probe::new(settings.buffer_mib);
    let bytes = scan.blocks.len();
    let fast = Kernels::all_available().into_iter().filter(|kernels| kernels.level() != Level::Scalar);
    let levels: Vec<Kernels> = fast.collect();
    for _ in 0..settings.runs {
        for kernels in &levels {
            let (mut bandwidth, mut speed) = (0.0f64, 0.0f64);
            for _ in 0..TRIES {
                bandwidth = bandwidth.max(probe.gb_per_s());
                speed = speed.max(gb_per_s(bytes, || scan.once(*kernels)));
            }
            let name = format!("scan 512 bits memory {:?}", kernels.level());
            report.record("read", "GB/s", bandwidth);
            report.record(&name, "GB/s", speed);
            report.record(&format!("{name} / read"), "", speed / bandwidth);
        }
    }
    report.expect(&format!("scan 512 bits memory {:?} / read", Kernels::detect().level()), Target::AtLeast(SHARE_TARGET));
    Ok(())
}

fn sums_of_second_codes(settings: &Settings, values: &mut Values, report: &mut Report) -> Result<(), Failure> {
    let padded = 384;
    let query: Vec<i8> = values.take(padded).iter().map(|value| (value * 127.0) as i8).collect();
    for bits in [CodeBits::Four, CodeBits::Eight] {
        let stride = bits.code_bytes(padded);
        let count = (settings.second_mib << 20) / stride;
        if count == 0 {
            return Err("there must be a second code".into());
        }
        let codes: Vec<u8> = values.take(count * stride / 4).iter().flat_map(|value| value.to_le_bytes()).collect();
        let random = values.take(200 * BATCH);
        let positions: Vec<u32> = random.iter().map(|value| ((value + 1.0) / 2.0 * (count - 1) as f32) as u32).collect();
        let mut sums = [0; BATCH];
        for kernels in Kernels::all_available() {
            let name = format!("sums of {bits:?} bits {} MiB {:?}", settings.second_mib, kernels.level());
            for _ in 0..settings.runs {
                let seconds = best(|| {
                    for positions in positions.chunks_exact(BATCH) {
                        kernels.code_sums(bits, black_box(&query), black_box(&codes), stride, positions, &mut sums);
                        black_box(&sums);
                    }
                });
                report.record(&name, "ns/code", seconds / positions.len() as f64 * 1e9);
            }
        }
    }
    Ok(())
}

fn products(settings: &Settings, values: &mut Values, report: &mut Report) {
    let dimension = 384;
    for (m, k) in MATRICES {
        let (rows, columns) = (values.take(m * dimension), values.take(k * dimension));
        let mut out = vec![0.0; m * k];
        // Some 10⁸ products in a measurement.
        let times = 100_000_000 / (m * k * dimension) + 1;
        for kernels in Kernels::all_available() {
            for _ in 0..settings.runs {
                let work = || (0..times).for_each(|_| kernels.dots_f32(dimension, black_box(&rows), black_box(&columns), &mut out));
                let operations = 2 * times * m * k * dimension;
                report.record(&format!("dots_f32 {m} × {k} {:?}", kernels.level()), "GFLOP/s", operations as f64 / best(work) / 1e9);
            }
        }
    }
}

fn making(settings: &Settings, values: &mut Values, report: &mut Report) {
    const TIMES: usize = 2_000;
    let residual: Vec<f32> = values.take(384).iter().zip(values.take(384)).map(|(a, b)| a + b).collect();
    let mut code = vec![0; CodeBits::Four.code_bytes(residual.len())];
    let mut rotated = values.take(256);
    for kernels in Kernels::all_available() {
        let level = kernels.level();
        for _ in 0..settings.runs {
            let seconds =
                best(|| (0..TIMES).for_each(|_| _ = black_box(kernels.quantize(CodeBits::Four, black_box(&residual), &mut code))));
            report.record(&format!("quantize 384 × 4 bits {level:?}"), "ns", seconds / TIMES as f64 * 1e9);
            let seconds = best(|| {
                for _ in 0..TIMES {
                    kernels.hadamard(black_box(&mut rotated));
                    // Twice the transform is 256 times the values: they are kept from growing without end.
                    rotated.iter_mut().for_each(|value| *value *= 1.0 / 16.0);
                }
            });
            report.record(&format!("hadamard 256 {level:?}"), "ns", seconds / TIMES as f64 * 1e9);
        }
    }
}

/// The seconds of the best of some tries, what the core can do when nothing comes between.
fn best(mut work: impl FnMut()) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..TRIES).map(seconds).fold(f64::INFINITY, f64::min)
}
