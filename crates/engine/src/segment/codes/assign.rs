//! Which clusters a vector belongs to: the nearest, and one more that makes up for it.
//!
//! A query that is far from a vector's center although the vector is near it has its direction from the center in common with what the
//! center leaves of the vector. A second center that leaves something else of it is then likely to be near the query (SOAR, arXiv
//! 2404.00774). So half of the codes are looked at for the same recall, at twice the scan codes kept.

use pinyon_kernels::Kernels;

use super::{
    kmeans::{CHUNK, Centers, NONE, Parts, TILE, greatest},
    parallel,
    vectors::Vectors,
};

/// How much worse a second cluster is for lying in the same direction from the vector as the first: the λ of SOAR (arXiv 2404.00774).
/// Between 1.5 and 5 the figures are the same.
const SAME_DIRECTION: f32 = 3.0;
/// First centres whose products with all others are computed together.
const FIRSTS: usize = 256;
/// A vector this near its centre, in shares of its squared length, has no direction from it: it needs no second.
const AT_CENTER: f32 = 1e-6;

/// The centres of a vector.
#[derive(Clone, Copy, Default)]
pub(super) struct Nearest {
    pub(super) first: u32,
    /// One that is near too, and lies in another direction from the vector than the first: a query that is far from the first although the
    /// vector is near it is then likely to be near this one.
    pub(super) second: Option<u32>,
}

/// The centres of every vector, looked for among those of the parts nearest to it.
pub(super) fn nearest_centers(vectors: &Vectors, nearest_parts: &[Parts], lower: &[Centers]) -> Vec<Nearest> {
    let firsts: Vec<u32> = lower.iter().scan(0, |next, part| Some(std::mem::replace(next, *next + part.len() as u32))).collect();
    let lower = Lower { parts: lower, firsts };
    // Vectors of one part share most of the centres that matter.
    let mut order: Vec<u32> = (0..vectors.len() as u32).collect();
    order.sort_by_key(|n| nearest_parts[*n as usize][0]);
    let mut found = vec![Nearest::default(); vectors.len()];
    parallel::for_each(found.chunks_mut(CHUNK).zip(order.chunks(CHUNK)), |(found, numbers)| {
        let parts: Vec<&Parts> = numbers.iter().map(|n| &nearest_parts[*n as usize]).collect();
        lower.nearest(vectors.kernels(), &vectors.gather(numbers), &parts, found);
    });
    let mut all = vec![Nearest::default(); vectors.len()];
    order.iter().zip(found).for_each(|(n, nearest)| all[*n as usize] = nearest);
    all
}

/// The centres of the lower level.
struct Lower<'a> {
    parts: &'a [Centers],
    /// The number of each part's first centre.
    firsts: Vec<u32>,
}

impl Lower<'_> {
    /// The numbers of a vector's centres, in the order in which their scores are kept.
    fn numbers(&self, parts: &[u16]) -> impl Iterator<Item = u32> {
        parts.iter().flat_map(|part| (0..self.parts[usize::from(*part)].len() as u32).map(|n| self.firsts[usize::from(*part)] + n))
    }

    fn center(&self, number: u32) -> (&[f32], f32) {
        let part = self.firsts.partition_point(|first| *first <= number) - 1;
        let (part, n) = (&self.parts[part], (number - self.firsts[part]) as usize);
        (&part.values[n * part.padded..(n + 1) * part.padded], part.halves[n])
    }

    /// The centres of `rows` (row-major).
    fn nearest(&self, kernels: Kernels, rows: &[f32], parts: &[&Parts], found: &mut [Nearest]) {
        let padded = rows.len() / found.len();
        let (scores, starts, parts) = self.scores(kernels, padded, rows, parts);
        for (n, found) in found.iter_mut().enumerate() {
            let (at, _) = greatest(&scores[starts[n]..starts[n + 1]]);
            found.first = self.numbers(&parts[n]).nth(at).unwrap_or(0);
        }
        let mut by_first: Vec<u32> = (0..found.len() as u32).collect();
        by_first.sort_unstable_by_key(|n| (found[*n as usize].first, *n));
        let same: Vec<&[u32]> = by_first.chunk_by(|a, b| found[*a as usize].first == found[*b as usize].first).collect();
        let seconds: Vec<(u32, Option<u32>)> = same
            .chunks(FIRSTS)
            .flat_map(|same| {
                let firsts: Vec<u32> = same.iter().map(|members| found[members[0] as usize].first).collect();
                let products = self.products(kernels, padded, &firsts);
                let members = same.iter().zip(products.chunks_exact(products.len() / firsts.len())).zip(firsts);
                let seconds = members.flat_map(|((members, products), first)| {
                    members.iter().map(move |n| (*n as usize, products, first)).collect::<Vec<_>>()
                });
                let second = |(n, products, first): (usize, &[f32], u32)| {
                    let row = &rows[n * padded..(n + 1) * padded];
                    let candidates = self.numbers(&parts[n]).zip(scores[starts[n]..starts[n + 1]].iter().copied());
                    (n as u32, second(row, self.center(first), first, candidates, products))
                };
                seconds.map(second).collect::<Vec<_>>()
            })
            .collect();
        seconds.into_iter().for_each(|(n, second)| found[n as usize].second = second);
    }

    /// What every row scores at every centre of its parts; where the scores of each row begin; and its parts, in the order of the scores.
    fn scores(&self, kernels: Kernels, padded: usize, rows: &[f32], parts: &[&Parts]) -> (Vec<f32>, Vec<usize>, Vec<Vec<u16>>) {
        let sorted = |parts: &&Parts| {
            let mut parts: Vec<u16> = parts.iter().copied().filter(|part| *part != NONE).collect();
            parts.sort_unstable();
            parts
        };
        let parts: Vec<Vec<u16>> = parts.iter().map(sorted).collect();
        let mut starts = vec![0];
        for parts in &parts {
            starts.push(starts[starts.len() - 1] + parts.iter().map(|part| self.parts[usize::from(*part)].len()).sum::<usize>());
        }
        let mut scores = vec![0f32; starts[parts.len()]];
        let mut next = starts.clone();
        let mut by_part: Vec<(u16, u32)> = (0..).zip(&parts).flat_map(|(n, parts)| parts.iter().map(move |part| (*part, n))).collect();
        by_part.sort_unstable();
        let mut tile = Vec::with_capacity(TILE * padded);
        for same in by_part.chunk_by(|a, b| a.0 == b.0) {
            let part = &self.parts[usize::from(same[0].0)];
            if part.len() == 0 {
                continue;
            }
            for group in same.chunks(TILE) {
                tile.clear();
                group.iter().for_each(|(_, n)| tile.extend_from_slice(&rows[*n as usize * padded..(*n as usize + 1) * padded]));
                part.score(kernels, &tile, |at, of_part| {
                    let start = &mut next[group[at].1 as usize];
                    scores[*start..*start + of_part.len()].copy_from_slice(of_part);
                    *start += of_part.len();
                });
            }
        }
        (scores, starts, parts)
    }

    /// What these centres score at every centre, row-major.
    fn products(&self, kernels: Kernels, padded: usize, centers: &[u32]) -> Vec<f32> {
        let all: usize = self.parts.iter().map(Centers::len).sum();
        let rows: Vec<f32> = centers.iter().flat_map(|number| self.center(*number).0).copied().collect();
        debug_assert_eq!(rows.len(), centers.len() * padded);
        let mut products = vec![0f32; centers.len() * all];
        for (part, first) in self.parts.iter().zip(&self.firsts).filter(|(part, _)| part.len() > 0) {
            part.score(kernels, &rows, |at, scores| {
                let start = at * all + *first as usize;
                products[start..start + scores.len()].copy_from_slice(scores);
            });
        }
        products
    }
}

/// The second centre of a vector `x`, by SOAR: of all candidates `c'` the one with the least `|x - c'|² + λ <x - c', r>² / |r|²`, where `r`
/// is what the first centre `c` leaves of it. `candidates` come with their score, `products` are what `c` scores at every centre.
fn second(row: &[f32], center: (&[f32], f32), first: u32, candidates: impl Iterator<Item = (u32, f32)>, products: &[f32]) -> Option<u32> {
    let norm_squared: f32 = row.iter().map(|v| v * v).sum();
    let with_first: f32 = row.iter().zip(center.0).map(|(a, b)| a * b).sum();
    let residual = norm_squared - 2.0 * (with_first - center.1);
    if residual.is_nan() || residual <= AT_CENTER * norm_squared {
        return None;
    }
    let with_residual = norm_squared - with_first;
    let cost = |(number, score): (u32, f32)| {
        let along = with_residual - (score - products[number as usize]);
        (norm_squared - 2.0 * score + SAME_DIRECTION * along * along / residual, number)
    };
    let costs = candidates.filter(|(number, _)| *number != first).map(cost);
    costs.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use pinyon_model::Metric;

    use super::{super::chance::Chance, *};

    const DIMENSION: usize = 64;
    const PARTS: usize = 3;
    const EACH: usize = 9;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn a_vectors_centers_are_those_of_least_cost() {
        let mut chance = Chance::new(3);
        let mut random = |count: usize| -> Vec<f32> { (0..count * DIMENSION).map(|_| chance.normal()).collect() };
        let mut vectors = Vectors::new(Kernels::detect(), Metric::Euclidean, DIMENSION, 1);
        random(1_500).chunks_exact(DIMENSION).for_each(|vector| vectors.push(vector));
        vectors.complete();
        let lower: Vec<Centers> = (0..PARTS).map(|_| Centers::new(DIMENSION, random(EACH))).collect();
        let mut parts = vec![[NONE; size_of::<Parts>() / size_of::<u16>()]; vectors.len()];
        // All parts, in different orders; one vector in five knows two alone.
        for (n, parts) in parts.iter_mut().enumerate() {
            let known = if n % 5 == 0 { 2 } else { PARTS };
            (0..known).for_each(|at| parts[at] = ((n + at) % PARTS) as u16);
        }
        let found = nearest_centers(&vectors, &parts, &lower);
        let mut row = vec![0.0; DIMENSION];
        let mut apart = 0;
        for (n, nearest) in found.iter().enumerate() {
            vectors.read(n as u32, &mut row);
            let center = |number: u32| &lower[number as usize / EACH].values[number as usize % EACH * DIMENSION..][..DIMENSION];
            let off = |number: u32| -> Vec<f32> { row.iter().zip(center(number)).map(|(a, b)| a - b).collect() };
            let distance = |number: u32| dot(&off(number), &off(number));
            let known = || (0..(PARTS * EACH) as u32).filter(|number| parts[n].contains(&((*number as usize / EACH) as u16)));
            let least = known().map(distance).fold(f64::INFINITY, f64::min);
            assert!(distance(nearest.first) <= least * 1.000_01, "{n}");
            let residual = off(nearest.first);
            let cost = |number: u32| {
                let along = dot(&off(number), &residual);
                distance(number) + f64::from(SAME_DIRECTION) * along * along / dot(&residual, &residual)
            };
            let second = nearest.second.unwrap();
            let others = || known().filter(|number| *number != nearest.first);
            assert!(second != nearest.first && known().any(|number| number == second));
            assert!(cost(second) <= others().map(cost).fold(f64::INFINITY, f64::min) * 1.000_1, "{n}");
            apart += usize::from(others().map(distance).fold(f64::INFINITY, f64::min) < distance(second) * 0.999);
        }
        assert!(apart > vectors.len() / 10, "only {apart} have another second than their second nearest");
    }

    #[test]
    fn a_vector_that_is_its_center_has_no_second() {
        let mut vectors = Vectors::new(Kernels::detect(), Metric::Euclidean, DIMENSION, 1);
        (0..100).for_each(|_| vectors.push(&[1.0; DIMENSION]));
        vectors.complete();
        let lower = [Centers::new(DIMENSION, [vectors.gather(&[0]), vec![0.5; DIMENSION]].concat())];
        let mut parts = vec![[NONE; size_of::<Parts>() / size_of::<u16>()]; vectors.len()];
        parts.iter_mut().for_each(|parts| parts[0] = 0);
        assert!(nearest_centers(&vectors, &parts, &lower).iter().all(|nearest| nearest.first == 0 && nearest.second.is_none()));
    }
}
