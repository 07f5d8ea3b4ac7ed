//! What searches do: how many clusters, codes and exact rows they look at, and how long each step takes.

use super::place::{Asked, InProcess};
use crate::{
    Failure,
    report::{Report, Target},
    sets::Set,
};

/// Queries that are explained.
const SAMPLE: u32 = 200;
/// Exact rows that a query for ten matches may read.
const EXACT_ROWS_TARGET: f64 = 40.0;

/// Records the means over some queries.
pub(super) async fn record(place: &InProcess, set: &Set, asked: Asked, label: &str, report: &mut Report) -> Result<(), Failure> {
    let queries = SAMPLE.min(set.queries.rows() as u32);
    let mut sums = [0u64; 11];
    for query in 0..queries {
        let explain = place.explain(set, query, asked).await?;
        let of = |part: fn(&pinyon_model::SegmentExplain) -> u64| explain.segments.iter().map(part).sum::<u64>();
        let parts = [
            explain.segments.len() as u64,
            of(|segment| segment.clusters_visited),
            of(|segment| segment.scan_codes),
            of(|segment| segment.second_codes),
            of(|segment| segment.exact_rows),
            explain.prepare_us,
            of(|segment| segment.filter_us),
            of(|segment| segment.clusters_us),
            of(|segment| segment.scan_us),
            of(|segment| segment.second_us),
            of(|segment| segment.exact_us),
        ];
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    let names = ["segments", "clusters visited", "scan codes", "second codes", "exact rows"];
    let steps = ["preparing", "filtering", "ranking clusters", "scan codes", "second codes", "exact rows"];
    let mean = |sum: u64| sum as f64 / f64::from(queries);
    for (name, sum) in names.iter().zip(&sums) {
        report.record(&format!("{label}: {name}"), "", mean(*sum));
    }
    for (step, sum) in steps.iter().zip(&sums[names.len()..]) {
        report.record(&format!("{label}: time for {step}"), "µs", mean(*sum));
    }
    if asked.k == 10 {
        report.expect(&format!("{label}: exact rows"), Target::AtMost(EXACT_ROWS_TARGET));
    }
    Ok(())
}
