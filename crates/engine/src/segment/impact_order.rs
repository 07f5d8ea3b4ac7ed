//! An order of a group's rows that brings rows with the same terms together, found by recursive bisection.
//!
//! Rows are cut in two halves, and rows change sides as long as the terms then need fewer bits to say where they occur
//! (the logarithmic gap cost of Dhulipala and others, "Compressing Graphs and Indexes with Recursive Graph Bisection", KDD
//! 2016); each half is cut again. All numbers are integers, so that the order is the same on every machine.

/// Parts of at most this many rows are left as they are: four blocks of positions.
const LEAF_ROWS: usize = 256;
/// How often rows change sides in one part at most.
const ROUNDS: usize = 4;
/// Of so many pairs of rows, at least one must have changed sides for another round.
const ROUND_WORTH: usize = 64;
/// Terms of fewer rows say nothing about which rows belong together.
const TERM_ROWS: usize = 4;
/// Terms of more than one in this many rows say nothing either, and they are most of the work.
const TERM_SHARE: usize = 4;
/// Fraction bits of a logarithm.
const LOG_BITS: u32 = 16;

/// The row at each position. `lists` are the rows, below `rows`, of each term; there are at most 65,536 rows.
pub(crate) fn order_rows<'a>(rows: usize, lists: impl Iterator<Item = &'a [u16]> + Clone) -> Vec<u16> {
    let telling = lists.filter(|list| list.len() >= TERM_ROWS && list.len() <= rows / TERM_SHARE);
    let mut bisection = Bisection::new(rows, telling);
    let mut order: Vec<u16> = (0..rows).map(|row| row as u16).collect();
    let mut parts = vec![&mut order[..]];
    while let Some(part) = parts.pop() {
        if part.len() > LEAF_ROWS {
            let half = (part.len() / 2).next_multiple_of(super::impacts::BLOCK_ROWS);
            bisection.cut(part, half);
            let (left, right) = part.split_at_mut(half);
            parts.extend([left, right]);
        }
    }
    order
}

/// What the bisection of all parts has in common.
struct Bisection {
    /// Where each row's terms begin in `terms`.
    starts: Vec<u32>,
    terms: Vec<u32>,
    /// For each term its rows on either side.
    sides: Vec<[u32; 2]>,
    /// What a row of either side gains from this term by changing sides.
    gains: Vec<[i64; 2]>,
    /// The binary logarithm of each number, that of 0 being 0.
    logs: Vec<i64>,
}

impl Bisection {
    fn new<'a>(rows: usize, lists: impl Iterator<Item = &'a [u16]> + Clone) -> Self {
        let mut starts = vec![0u32; rows + 1];
        lists.clone().flatten().for_each(|row| starts[usize::from(*row) + 1] += 1);
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut terms = vec![0u32; starts[rows] as usize];
        let mut count = 0;
        for (term, list) in lists.enumerate() {
            for row in list {
                let place = &mut next[usize::from(*row)];
                terms[*place as usize] = term as u32;
                *place += 1;
            }
            count = term + 1;
        }
        let logs = (0..rows as u64 + 2).map(log2).collect();
        Self { starts, terms, sides: vec![[0; 2]; count], gains: vec![[0; 2]; count], logs }
    }

    fn terms(&self, row: u16) -> &[u32] {
        &self.terms[self.starts[usize::from(row)] as usize..self.starts[usize::from(row) + 1] as usize]
    }

    /// Reorders a part so that its first `half` rows have terms in common, and the others too.
    fn cut(&mut self, part: &mut [u16], half: usize) {
        let (mut left, mut right) = (Vec::with_capacity(half), Vec::with_capacity(part.len() - half));
        for _ in 0..ROUNDS {
            self.count(part, half);
            let gain = |side: usize, row: u16| self.terms(row).iter().map(|term| self.gains[*term as usize][side]).sum::<i64>();
            left.clear();
            right.clear();
            left.extend(part[..half].iter().map(|row| (-gain(0, *row), *row)));
            right.extend(part[half..].iter().map(|row| (-gain(1, *row), *row)));
            left.sort_unstable();
            right.sort_unstable();
            let changed = left.iter_mut().zip(&mut right).take_while(|(a, b)| a.0 + b.0 < 0).map(|(a, b)| std::mem::swap(a, b)).count();
            part.iter_mut().zip(left.iter().chain(&right)).for_each(|(place, (_, row))| *place = *row);
            if changed * ROUND_WORTH <= half {
                break;
            }
        }
    }

    /// Counts each term's rows on both sides, and what changing sides gains.
    fn count(&mut self, part: &[u16], half: usize) {
        let (starts, terms) = (&self.starts, &self.terms);
        let terms_of = |row: &u16| &terms[starts[usize::from(*row)] as usize..starts[usize::from(*row) + 1] as usize];
        for term in part.iter().flat_map(terms_of) {
            self.sides[*term as usize] = [0; 2];
        }
        for (side, rows) in [&part[..half], &part[half..]].into_iter().enumerate() {
            for term in rows.iter().flat_map(terms_of) {
                self.sides[*term as usize][side] += 1;
            }
        }
        let logs = &self.logs;
        let rows = [half, part.len() - half];
        let cost = |sides: [u32; 2]| -> i64 {
            (0..2).map(|side| i64::from(sides[side]) * (logs[rows[side]] - logs[sides[side] as usize + 1])).sum()
        };
        for term in part.iter().flat_map(terms_of) {
            // A term's sides are cleared when its gains are known: it comes up once for each of its rows.
            let sides = std::mem::take(&mut self.sides[*term as usize]);
            if sides == [0; 2] {
                continue;
            }
            let [a, b] = sides;
            let before = cost(sides);
            self.gains[*term as usize] =
                [if a > 0 { before - cost([a - 1, b + 1]) } else { 0 }, if b > 0 { before - cost([a + 1, b - 1]) } else { 0 }];
        }
    }
}

/// The binary logarithm in units of 2^-16, by squaring, so without a rounding that a machine could do otherwise.
fn log2(n: u64) -> i64 {
    if n == 0 {
        return 0;
    }
    let whole = n.ilog2();
    // The number as 1.xxx, in units of 2^-31; squared, its bit 63 tells the next bit of the logarithm.
    let mut rest = if whole <= 31 { n << (31 - whole) } else { n >> (whole - 31) };
    let mut log = i64::from(whole);
    for _ in 0..LOG_BITS {
        rest = (rest * rest) >> 31;
        log <<= 1;
        if rest >> 32 != 0 {
            rest >>= 1;
            log |= 1;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_floats_rounded_down() {
        for n in (1..2_000).chain([65_535, 65_536, 65_537]) {
            let expected = ((n as f64).log2() * 65_536.0).floor() as i64;
            assert!((log2(n) - expected).abs() <= 1, "{n}: {} and {expected}", log2(n));
        }
        assert_eq!((log2(0), log2(1), log2(4)), (0, 0, 2 << LOG_BITS));
    }

    /// Rows of four kinds, mixed: afterwards almost every stretch of rows is of one kind.
    #[test]
    fn rows_with_the_same_terms_come_together() {
        let rows = 4_096;
        let kind = |row: usize| (row * 7 + row / 13) % 4;
        let lists: Vec<Vec<u16>> = (0..64)
            .map(|term| (0..rows).filter(|row| kind(*row) == term % 4 && (row / 3 + term) % 5 < 2).map(|row| row as u16).collect())
            .collect();
        let order = order_rows(rows, lists.iter().map(Vec::as_slice));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(at, row)| at == usize::from(*row)), "each row once");
        let changes = order.windows(2).filter(|pair| kind(pair[0].into()) != kind(pair[1].into())).count();
        assert!(changes < rows / 20, "{changes} changes of kind");
    }

    #[test]
    fn rows_without_terms_stay_in_order() {
        let order = order_rows(1_000, std::iter::empty());
        assert!(order.iter().enumerate().all(|(at, row)| at == usize::from(*row)));
    }
}
