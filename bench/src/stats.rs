//! The arithmetic of the figures: percentiles, recall, and the processor time of this process.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The value below which a share of the ordered values lies, interpolated between the two nearest; 0 of none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + (sorted[(low + 1).min(last)] - sorted[low]) * part
}

/// How many of the true rows were found, and how many there were to find: of the first `k`, or of all if there are fewer.
pub(crate) fn hits(found: &[u32], truth: &[u32], k: usize) -> (usize, usize) {
    let wanted = &truth[..k.min(truth.len())];
    let mut ordered = found.to_vec();
    ordered.sort_unstable();
    ordered.dedup();
    (wanted.iter().filter(|row| ordered.binary_search(row).is_ok()).count(), wanted.len())
}

/// The share of the true rows that all the answers found together; 1 when there was nothing to find.
pub(crate) fn recall<'a>(answers: impl Iterator<Item = (&'a [u32], &'a [u32])>, k: usize) -> f64 {
    let (found, wanted) = answers.map(|(found, truth)| hits(found, truth, k)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 }
}

/// Processor time that this process has used, all its threads together, those that ended included.
pub(crate) fn own_processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Times of single queries in microseconds.
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    pub(crate) fn new(mut micros: Vec<f64>) -> Self {
        micros.sort_by(f64::total_cmp);
        Self(micros)
    }

    /// The time that a share of the queries stays below.
    pub(crate) fn at(&self, share: f64) -> f64 {
        percentile(&self.0, share)
    }

    /// How long all of them took one after the other, in seconds.
    pub(crate) fn total_s(&self) -> f64 {
        self.0.iter().sum::<f64>() / 1e6
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_between_its_neighbours() {
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
        assert_eq!(percentile(&[0.0, 10.0], 0.99), 9.9);
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 1.0), 3.0);
    }

    #[test]
    fn recall_counts_each_true_row_once_and_never_more_than_there_are() {
        assert_eq!(hits(&[1, 2, 3], &[3, 9, 1], 3), (2, 3));
        assert_eq!(hits(&[1, 1, 1], &[1, 2], 2), (1, 2));
        // Found beyond the first k true rows counts for nothing.
        assert_eq!(hits(&[5, 6], &[4, 5, 6], 1), (0, 1));
        // A filter that leaves three rows has three to find.
        assert_eq!(hits(&[7, 8, 9], &[9, 8, 7], 10), (3, 3));
        let answers: [(&[u32], &[u32]); 2] = [(&[1, 2], &[1, 2]), (&[], &[3, 4])];
        assert_eq!(recall(answers.into_iter(), 2), 0.5);
        assert_eq!(recall(std::iter::empty(), 10), 1.0);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = own_processor_time();
        let sum = (0..3_000_000u64).fold(0, |sum, at| std::hint::black_box(sum ^ at));
        assert!(own_processor_time() > before, "{sum}");
    }

    #[test]
    fn latencies_are_ordered_by_themselves() {
        let times = Latencies::new(vec![30.0, 10.0, 20.0]);
        assert_eq!((times.at(0.5), times.total_s(), times.len()), (20.0, 60e-6, 3));
    }
}
