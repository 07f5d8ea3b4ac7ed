//! What a search should find: every score in f64, value by value, sorted. It shares nothing with the engine.

use pinyon_model::{Match, Metric};

/// The score of a vector, and how much is summed up for it: no two ways of adding agree to more than a rounding of that.
pub(crate) fn score(metric: Metric, query: &[f32], vector: &[f32]) -> (f64, f64) {
    let pairs = || query.iter().zip(vector).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let (dot, sum): (f64, f64) = pairs().fold((0.0, 0.0), |(dot, sum), (a, b)| (dot + a * b, sum + (a * b).abs()));
    match metric {
        // What is returned has 32 bits: a greater score is the greatest there is.
        Metric::Dotproduct => (dot.clamp(f64::from(f32::MIN), f64::from(f32::MAX)), sum),
        Metric::Euclidean => {
            let distance = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            (f64::min(distance, f64::from(f32::MAX)), distance)
        }
        Metric::Cosine => {
            let (a, b): (f64, f64) = pairs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a * a, y + b * b));
            if a == 0.0 || b == 0.0 { (0.0, 0.0) } else { (dot / (a.sqrt() * b.sqrt()), 1.0) }
        }
    }
}

/// A record that may be found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored<'a> {
    pub(crate) id: &'a str,
    pub(crate) score: f64,
    pub(crate) sum: f64,
}

impl Scored<'_> {
    fn is(&self, score: f64) -> bool {
        (score - self.score).abs() <= 1e-6 * self.score.abs() + 1e-12 * self.sum + f64::from(f32::from_bits(1))
    }
}

/// Whether `a` is a better score than `b`.
fn better(metric: Metric, a: f64, b: f64) -> bool {
    if metric == Metric::Euclidean { a < b } else { a > b }
}

/// Checks an answer, which must be as long as it can be, of records that match alone, each with its exact score, in order; returns
/// how many of those that should be found were.
pub(crate) fn judge(metric: Metric, mut matching: Vec<Scored<'_>>, k: usize, found: &[Match]) -> (usize, usize) {
    let wanted = k.min(matching.len());
    assert_eq!(found.len(), wanted, "{} match, and {k} are asked for", matching.len());
    if wanted == 0 {
        return (0, 0);
    }
    for pair in found.windows(2) {
        let (a, b) = (f64::from(pair[0].score), f64::from(pair[1].score));
        assert!(better(metric, a, b) || a == b && pair[0].id < pair[1].id, "{pair:?} are not in order");
    }
    matching.sort_by(|a, b| a.id.cmp(b.id));
    let scored: Vec<&Scored<'_>> = found
        .iter()
        .map(|found| {
            let at = matching.binary_search_by(|scored| scored.id.cmp(found.id.as_str()));
            let scored = &matching[at.unwrap_or_else(|_| panic!("'{}' does not match", found.id))];
            assert!(scored.is(f64::from(found.score)), "{found:?} should score {}", scored.score);
            scored
        })
        .collect();
    let mut scores: Vec<f64> = matching.iter().map(|scored| scored.score).collect();
    let order = |a: &f64, b: &f64| if metric == Metric::Euclidean { a.total_cmp(b) } else { b.total_cmp(a) };
    let last = *scores.select_nth_unstable_by(wanted - 1, order).1;
    let hits = scored.iter().filter(|scored| better(metric, scored.score, last) || scored.is(last)).count();
    (hits, wanted)
}
