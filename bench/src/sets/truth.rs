//! The exact neighbours, by plain loops that share nothing with what is measured: candidates in float32, their order in float64.

use std::{num::NonZeroUsize, path::Path, thread};

use pinyon_model::Metric;

use super::{
    matrix::{Matrix, dot, dot_exact},
    npy,
};
use crate::Failure;

/// More candidates than asked for are kept by float32, so that its rounding costs none of the true ones.
const SLACK: usize = 16;
/// Rows that are scored against many queries while they are in the processor's caches.
const BLOCK: usize = 256;

/// A record: what it is called, and which vector it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) row: u32,
    pub(crate) vector: u32,
}

/// Vectors to search, and with what.
pub(crate) struct Exact<'a> {
    pub(crate) base: &'a Matrix,
    pub(crate) queries: &'a Matrix,
    pub(crate) metric: Metric,
}

impl Exact<'_> {
    /// For each of the queries the rows of its `k` best records, best first, ties by row.
    pub(crate) fn nearest(&self, records: &[Placed], queries: &[u32], k: usize) -> Vec<Vec<u32>> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let share = queries.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = queries.chunks(share).map(|part| scope.spawn(move || self.nearest_on_one(records, part, k))).collect();
            parts.into_iter().flat_map(|part| part.join().expect("plain loops over checked sizes do not panic")).collect()
        })
    }

    fn nearest_on_one(&self, records: &[Placed], queries: &[u32], k: usize) -> Vec<Vec<u32>> {
        let mut best: Vec<Best> = queries.iter().map(|_| Best::new(k + SLACK)).collect();
        for block in records.chunks(BLOCK) {
            let norms: Vec<f32> = block.iter().map(|record| self.vector(*record)).map(|vector| dot(vector, vector)).collect();
            for (query, best) in queries.iter().zip(&mut best) {
                let query = self.queries.row(*query as usize);
                for (record, norm) in block.iter().zip(&norms) {
                    let product = dot(query, self.vector(*record));
                    best.offer(self.score(f64::from(product), f64::from(*norm)) as f32, *record);
                }
            }
        }
        queries.iter().zip(best).map(|(query, best)| self.ordered(*query, best, k)).collect()
    }

    /// Higher is nearer. What is the same for all records of one query is left out.
    fn score(&self, product: f64, norm_squared: f64) -> f64 {
        match self.metric {
            Metric::Dotproduct => product,
            Metric::Cosine => product / norm_squared.sqrt().max(f64::MIN_POSITIVE),
            Metric::Euclidean => 2.0 * product - norm_squared,
        }
    }

    fn ordered(&self, query: u32, best: Best, k: usize) -> Vec<u32> {
        let query = self.queries.row(query as usize);
        let scored = best.kept.into_iter().map(|(_, record)| {
            let vector = self.vector(record);
            (self.score(dot_exact(query, vector), dot_exact(vector, vector)), record.row)
        });
        let mut scored: Vec<(f64, u32)> = scored.collect();
        scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
        scored.into_iter().take(k).map(|(_, row)| row).collect()
    }

    fn vector(&self, record: Placed) -> &[f32] {
        self.base.row(record.vector as usize)
    }
}

/// The best so far: at most twice as many as wanted are held, and thinned out when full.
struct Best {
    wanted: usize,
    floor: f32,
    kept: Vec<(f32, Placed)>,
}

impl Best {
    fn new(wanted: usize) -> Self {
        Self { wanted, floor: f32::NEG_INFINITY, kept: Vec::with_capacity(2 * wanted) }
    }

    fn offer(&mut self, score: f32, record: Placed) {
        if score < self.floor {
            return;
        }
        self.kept.push((score, record));
        if self.kept.len() == 2 * self.wanted {
            self.kept.select_nth_unstable_by(self.wanted - 1, |left, right| right.0.total_cmp(&left.0));
            self.floor = self.kept[self.wanted - 1].0;
            self.kept.truncate(self.wanted);
        }
    }
}

/// Computes row numbers, or reads what was computed before under the same name; computed ones are kept when there is a folder.
pub(crate) fn kept(folder: Option<&Path>, name: &str, compute: impl FnOnce() -> Vec<Vec<u32>>) -> Result<Vec<Vec<u32>>, Failure> {
    let Some(folder) = folder else { return Ok(compute()) };
    let path = folder.join(format!("{name}.i32.npy"));
    if path.is_file() {
        return npy::read_rows(&path);
    }
    std::fs::create_dir_all(folder)?;
    let lines = compute();
    // Under another name first: a run that is cut short leaves nothing half written to be believed later.
    let draft = path.with_extension(format!("{}.part", std::process::id()));
    npy::write_rows(&draft, &lines)?;
    std::fs::rename(&draft, &path)?;
    Ok(lines)
}

/// A number for the values of a set, by which files made from it are known again.
pub(crate) fn fingerprint<'a>(parts: impl Iterator<Item = &'a [f32]>) -> u64 {
    parts
        .flatten()
        .fold(0xCBF2_9CE4_8422_2325, |hash, value| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(7))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::vectors::Values;

    /// Everything scored in float64 and sorted.
    fn naive(exact: &Exact<'_>, records: &[Placed], query: usize, k: usize) -> Vec<u32> {
        let query = exact.queries.row(query);
        let mut all: Vec<(f64, u32)> = records
            .iter()
            .map(|record| {
                let vector = exact.base.row(record.vector as usize);
                let (mut product, mut norm, mut distance) = (0.0, 0.0, 0.0);
                for (left, right) in query.iter().zip(vector) {
                    let (left, right) = (f64::from(*left), f64::from(*right));
                    product += left * right;
                    norm += right * right;
                    distance += (left - right) * (left - right);
                }
                let score = match exact.metric {
                    Metric::Cosine => product / norm.sqrt(),
                    Metric::Dotproduct => product,
                    Metric::Euclidean => -distance,
                };
                (score, record.row)
            })
            .collect();
        all.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
        all.into_iter().take(k).map(|(_, row)| row).collect()
    }

    #[test]
    fn the_nearest_are_those_of_a_full_sort() {
        let base = Matrix::new(Values::new(1).take(700 * 24), 24).expect("it is whole");
        let queries = Matrix::new(Values::new(2).take(5 * 24), 24).expect("it is whole");
        // Rows renamed, and only some of them.
        let records: Vec<Placed> = (0..700).filter(|at| at % 3 != 0).map(|at| Placed { row: 699 - at, vector: at }).collect();
        for metric in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean] {
            let exact = Exact { base: &base, queries: &queries, metric };
            let found = exact.nearest(&records, &[4, 0, 2], 30);
            for (at, query) in [4, 0, 2].into_iter().enumerate() {
                assert_eq!(found[at], naive(&exact, &records, query, 30), "{metric:?} {query}");
            }
        }
    }

    #[test]
    fn fewer_records_than_wanted_are_all_there_and_equal_ones_go_by_row() {
        let base = Matrix::new(vec![1.0; 40 * 3], 3).expect("it is whole");
        let exact = Exact { base: &base, queries: &base, metric: Metric::Cosine };
        let records: Vec<Placed> = (0..40).rev().map(|at| Placed { row: at, vector: at }).collect();
        assert_eq!(exact.nearest(&records, &[0], 100), [(0..40).collect::<Vec<u32>>()]);
        assert_eq!(exact.nearest(&[], &[0, 1], 10), [const { Vec::<u32>::new() }; 2]);
    }

    #[test]
    fn what_was_computed_is_not_computed_again() {
        let folder = TempDir::new().expect("a folder");
        let lines = vec![vec![1, 2], vec![3]];
        assert_eq!(kept(Some(folder.path()), "a", || lines.clone()).expect("it is written"), lines);
        assert_eq!(kept(Some(folder.path()), "a", || panic!("it is there")).expect("it is read"), lines);
        assert_eq!(kept(Some(folder.path()), "b", Vec::new).expect("it is written"), Vec::<Vec<u32>>::new());
    }

    #[test]
    fn a_fingerprint_tells_sets_apart() {
        let of = |values: &[f32]| fingerprint([values].into_iter());
        assert_ne!(of(&[1.0, 2.0]), of(&[2.0, 1.0]));
        assert_ne!(of(&[1.0]), of(&[1.0, 0.0]));
        assert_eq!(of(&[1.0, 2.0]), fingerprint([&[1.0f32][..], &[2.0][..]].into_iter()));
    }
}
