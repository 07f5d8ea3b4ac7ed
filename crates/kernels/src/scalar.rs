//! The plain loops: what every other level must equal, and what runs where no other level does.
//!
//! The lanes are sums of their own, so that the additions need not wait for each other.

const LANES: usize = 8;

/// The sum of `TERM` over two vectors of one length.
pub(crate) fn pair<const TERM: bool>(a: &[f32], b: &[f32]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += term::<TERM>(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| term::<TERM>(f64::from(*a), f64::from(*b))).sum();
    sums.iter().sum::<f64>() + rest
}

/// The sum of `TERM` over the query and each row of the block, all rows of the query's length, one row a score.
pub(crate) fn rows<const TERM: bool>(query: &[f64], rows: &[f32], out: &mut [f64]) {
    for (score, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *score = widened_pair::<TERM>(query, row);
    }
}

fn widened_pair<const TERM: bool>(query: &[f64], row: &[f32]) -> f64 {
    let (query_chunks, query_rest) = query.as_chunks::<LANES>();
    let (row_chunks, row_rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (query, row) in query_chunks.iter().zip(row_chunks) {
        for lane in 0..LANES {
            sums[lane] += term::<TERM>(query[lane], f64::from(row[lane]));
        }
    }
    let rest: f64 = query_rest.iter().zip(row_rest).map(|(query, row)| term::<TERM>(*query, f64::from(*row))).sum();
    sums.iter().sum::<f64>() + rest
}

/// What one coordinate adds to the sum.
#[inline(always)]
pub(crate) fn term<const TERM: bool>(a: f64, b: f64) -> f64 {
    if TERM == crate::L2 {
        let difference = a - b;
        difference * difference
    } else {
        a * b
    }
}

/// The exclusive or of all words.
pub(crate) fn read_words(words: &[u64]) -> u64 {
    words.iter().fold(0, |seen, word| seen ^ word)
}
