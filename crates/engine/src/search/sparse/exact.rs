//! Exact scores of some rows of a group: the sums that a search of every row would make.

use super::scratch::Scratch;
use crate::segment::{GroupImpacts, Impact, Impacts};

/// Rows scored together at most: their numbers fit 16 bits.
pub(super) const EXACT_ROWS: usize = 1 << 14;
/// A short list is walked if it has fewer postings for each row than this; in a longer one each row is searched for.
const WALKED: usize = 16;

/// The scores of the rows at these positions, each of them there once and at most [`EXACT_ROWS`] of them.
pub(super) fn exact<'s>(group: &GroupImpacts, positions: &[u16], scratch: &'s mut Scratch) -> &'s [f64] {
    let Scratch { scores, numbers, .. } = scratch;
    scores.clear();
    // The first is that of all other rows.
    scores.resize(positions.len() + 1, 0.0);
    let mut numbered = false;
    for (weight, list) in &group.lists {
        let weight = f64::from(*weight);
        match &list.postings {
            Impacts::Short(short) if short.len() < positions.len() * WALKED => {
                if !numbered {
                    numbered = true;
                    (1..).zip(positions).for_each(|(number, position)| numbers[usize::from(*position)] = number);
                }
                for Impact { value, position } in short.iter().copied() {
                    scores[usize::from(numbers[usize::from(position)])] += weight * f64::from(value);
                }
            }
            Impacts::Short(_) => {
                for (score, position) in scores[1..].iter_mut().zip(positions) {
                    *score += weight * f64::from(list.get(*position).unwrap_or(0.0));
                }
            }
            Impacts::Blocked(blocked) => {
                for (score, position) in scores[1..].iter_mut().zip(positions) {
                    *score += weight * f64::from(blocked.value_or_zero(*position));
                }
            }
        }
    }
    if numbered {
        positions.iter().for_each(|position| numbers[usize::from(*position)] = 0);
    }
    &scores[1..]
}
