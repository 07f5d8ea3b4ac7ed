//! The dot product of sparse vectors: where the indices meet.
//!
//! Vectors of like size are merged without a branch that depends on the data: which side is behind is a coin toss, so a
//! guess would fail half the time. When one is much longer, each index of the short one is searched for in the long one,
//! in steps that double from where the last search ended.

/// From which ratio of lengths on searching beats merging.
const SEARCH_FROM_RATIO: usize = 8;

/// The dot product; indices ascend strictly. Panics if a vector has not as many indices as values.
pub(crate) fn dot(ai: &[u32], av: &[f32], bi: &[u32], bv: &[f32]) -> f64 {
    assert_eq!(ai.len(), av.len(), "a sparse vector with more indices or values");
    assert_eq!(bi.len(), bv.len(), "a sparse vector with more indices or values");
    if ai.len() / SEARCH_FROM_RATIO >= bi.len() {
        search(bi, bv, ai, av)
    } else if bi.len() / SEARCH_FROM_RATIO >= ai.len() {
        search(ai, av, bi, bv)
    } else {
        merge(ai, av, bi, bv)
    }
}

fn merge(ai: &[u32], av: &[f32], bi: &[u32], bv: &[f32]) -> f64 {
    let (mut a, mut b, mut sum) = (0, 0, 0.0);
    while a < ai.len() && b < bi.len() {
        let (left, right) = (ai[a], bi[b]);
        if left == right {
            sum += f64::from(av[a]) * f64::from(bv[b]);
        }
        a += usize::from(left <= right);
        b += usize::from(right <= left);
    }
    sum
}

fn search(short_indices: &[u32], short_values: &[f32], long_indices: &[u32], long_values: &[f32]) -> f64 {
    let (mut from, mut sum) = (0, 0.0);
    for (index, value) in short_indices.iter().zip(short_values) {
        from += first_not_below(&long_indices[from..], *index);
        if from == long_indices.len() {
            break;
        }
        if long_indices[from] == *index {
            sum += f64::from(*value) * f64::from(long_values[from]);
        }
    }
    sum
}

/// How many of the ascending `indices` are below `index`, in time logarithmic in the answer.
fn first_not_below(indices: &[u32], index: u32) -> usize {
    let mut reach = 1;
    while reach < indices.len() && indices[reach] < index {
        reach *= 2;
    }
    let known_below = reach / 2;
    let end = indices.len().min(reach + 1);
    known_below + indices[known_below..end].partition_point(|at| *at < index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_what_a_walk_finds() {
        let indices: Vec<u32> = (0..200).map(|at| at * 3 + 1).collect();
        for len in [0, 1, 2, 3, 4, 5, 8, 9, 200] {
            for index in (0..620).chain([u32::MAX]) {
                let walked = indices[..len].iter().take_while(|at| **at < index).count();
                assert_eq!(first_not_below(&indices[..len], index), walked, "{len} indices, searching {index}");
            }
        }
    }

    #[test]
    fn searching_and_merging_agree() {
        let long: Vec<u32> = (0..1_000).map(|at| at * 2).collect();
        let values: Vec<f32> = long.iter().map(|at| *at as f32).collect();
        let short = [3, 4, 5, 998, 1_998, u32::MAX];
        let weights = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        let expected = 2.0 * 4.0 + 8.0 * 998.0 + 16.0 * 1_998.0;
        assert_eq!(search(&short, &weights, &long, &values), expected);
        assert_eq!(merge(&short, &weights, &long, &values), expected);
    }
}
