//! Filters of every kind of selectivity, as equality with a keyword: at random, or related to where the query lies.

use std::collections::BTreeMap;

use super::matrix::{Matrix, dot, unit};
use crate::vectors::{Values, scatter};

/// Groups there are when no entry tells the rows' own.
const PIVOTS: usize = 45;
/// Rows that a group needs to be asked for as the farthest.
const FAR_GROUP_ROWS: u32 = 100;

/// What a query is filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Class {
    /// No filter
    All,
    /// A keyword that one row in 10 has, at random
    Tenth,
    /// One row in 100
    Hundredth,
    /// One row in 1,000
    Thousandth,
    /// The group of rows that the query belongs to
    Correlated,
    /// The group of rows that is farthest from the query
    Anticorrelated,
}

impl Class {
    pub(crate) const EVERY: [Self; 6] = [Self::All, Self::Tenth, Self::Hundredth, Self::Thousandth, Self::Correlated, Self::Anticorrelated];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tenth => "tenth",
            Self::Hundredth => "hundredth",
            Self::Thousandth => "thousandth",
            Self::Correlated => "correlated",
            Self::Anticorrelated => "anticorrelated",
        }
    }

    /// The metadata field that it asks for; nothing asks for none.
    pub(crate) fn field(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Tenth => Some("tenth"),
            Self::Hundredth => Some("hundredth"),
            Self::Thousandth => Some("thousandth"),
            Self::Correlated | Self::Anticorrelated => Some("group"),
        }
    }

    /// How many values a random field has.
    fn values(self) -> u64 {
        match self {
            Self::Tenth => 10,
            Self::Hundredth => 100,
            Self::Thousandth => 1_000,
            Self::All | Self::Correlated | Self::Anticorrelated => 1,
        }
    }
}

/// Which group each row and each query belongs to.
pub(crate) struct Groups {
    names: Vec<String>,
    of_rows: Vec<u32>,
    of_queries: Vec<u32>,
    far_from_queries: Vec<u32>,
}

impl Groups {
    /// Groups by name, for sets whose rows have one: `origins` are the rows that the queries belong to.
    pub(crate) fn named(base: &Matrix, queries: &Matrix, rows: &[&str], origins: &[u32]) -> Self {
        let numbers: BTreeMap<&str, u32> = rows.iter().map(|name| (*name, 0)).collect();
        let names: Vec<String> = numbers.keys().map(|name| (*name).to_owned()).collect();
        let numbers: BTreeMap<&str, u32> = numbers.into_keys().zip(0..).collect();
        let of_rows: Vec<u32> = rows.iter().map(|name| numbers[name]).collect();
        let of_queries = origins.iter().map(|row| of_rows[*row as usize]).collect();
        Self::new(base, queries, names, of_rows, of_queries)
    }

    /// Groups around some rows taken at random.
    pub(crate) fn around_pivots(base: &Matrix, queries: &Matrix) -> Self {
        let mut values = Values::new(45);
        let pivots: Vec<Vec<f32>> = (0..PIVOTS).map(|_| direction(base.row(values.below(base.rows())))).collect();
        let nearest = |row: &[f32]| extreme(&pivots, row, |_| true, 1.0);
        let (of_rows, of_queries) = (base.iter().map(nearest).collect(), queries.iter().map(nearest).collect());
        Self::new(base, queries, (0..PIVOTS).map(|pivot| format!("pivot-{pivot}")).collect(), of_rows, of_queries)
    }

    fn new(base: &Matrix, queries: &Matrix, names: Vec<String>, of_rows: Vec<u32>, of_queries: Vec<u32>) -> Self {
        let mut centres = vec![vec![0.0f32; base.dimension()]; names.len()];
        let mut sizes = vec![0u32; names.len()];
        for (row, group) in base.iter().zip(&of_rows) {
            let centre = &mut centres[*group as usize];
            direction(row).iter().zip(centre).for_each(|(value, sum)| *sum += value);
            sizes[*group as usize] += 1;
        }
        centres.iter_mut().for_each(|centre| unit(centre));
        // Unless every group is small.
        let enough = FAR_GROUP_ROWS.min(sizes.iter().copied().max().unwrap_or(0));
        let far_from_queries = queries.iter().map(|query| extreme(&centres, query, |group| sizes[group] >= enough, -1.0)).collect();
        Self { names, of_rows, of_queries, far_from_queries }
    }

    /// The value of a row in the field of a class, as a number.
    pub(crate) fn of_row(&self, class: Class, row: u32) -> u32 {
        match class {
            Class::Correlated | Class::Anticorrelated => self.of_rows[row as usize],
            random => (scatter(u64::from(row), random.values()) % random.values()) as u32,
        }
    }

    /// The value that a query of a class asks for, as a number.
    pub(crate) fn of_query(&self, class: Class, query: u32) -> u32 {
        match class {
            Class::Correlated => self.of_queries[query as usize],
            Class::Anticorrelated => self.far_from_queries[query as usize],
            random => (u64::from(query) % random.values()) as u32,
        }
    }

    /// A value as it is in the metadata.
    pub(crate) fn keyword(&self, class: Class, value: u32) -> String {
        match class {
            Class::Correlated | Class::Anticorrelated => self.names[value as usize].clone(),
            _ => format!("{value:03}"),
        }
    }
}

fn direction(row: &[f32]) -> Vec<f32> {
    let mut row = row.to_vec();
    unit(&mut row);
    row
}

/// The direction that is nearest to a vector, or with -1 as the sign the farthest, among those that count.
fn extreme(directions: &[Vec<f32>], vector: &[f32], counts: impl Fn(usize) -> bool, sign: f32) -> u32 {
    let scored =
        directions.iter().enumerate().filter(|(at, _)| counts(*at)).map(|(at, direction)| (sign * dot(direction, vector), at as u32));
    scored.max_by(|left, right| left.0.total_cmp(&right.0).then(right.1.cmp(&left.1))).map_or(0, |(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> (Matrix, Matrix) {
        // Three bundles of rows along the axes, one of them too small to be asked for as the farthest.
        let axis = |at: usize| (0..3).map(move |axis| if axis == at { 1.0 } else { 0.01 });
        let rows = (0..400).flat_map(|row| axis(if row < 200 { 0 } else { 1 + usize::from(row >= 390) }));
        let base = Matrix::new(rows.collect(), 3).expect("it is whole");
        (base, Matrix::new(vec![1.0, 0.0, -0.5, 0.1, 1.0, 0.0], 3).expect("it is whole"))
    }

    #[test]
    fn named_groups_are_near_or_far() {
        let (base, queries) = set();
        let names: Vec<&str> = (0..400).map(|row| if row < 200 { "x" } else { ["y", "z"][usize::from(row >= 390)] }).collect();
        let groups = Groups::named(&base, &queries, &names, &[0, 200]);
        let asked = |class, query| groups.keyword(class, groups.of_query(class, query));
        assert_eq!((&*asked(Class::Correlated, 0), &*asked(Class::Correlated, 1)), ("x", "y"));
        // "z" points away from the first query more than "y" does, but has ten rows.
        assert_eq!((&*asked(Class::Anticorrelated, 0), &*asked(Class::Anticorrelated, 1)), ("y", "x"));
        assert_eq!(groups.of_row(Class::Correlated, 395), 2);
    }

    #[test]
    fn pivots_put_a_query_with_the_rows_around_it() {
        let (base, queries) = set();
        let groups = Groups::around_pivots(&base, &queries);
        assert_eq!(groups.of_query(Class::Correlated, 0), groups.of_row(Class::Correlated, 0));
        assert_eq!(groups.of_query(Class::Correlated, 1), groups.of_row(Class::Correlated, 200));
        assert_ne!(groups.of_query(Class::Anticorrelated, 0), groups.of_query(Class::Correlated, 0));
    }

    #[test]
    fn random_keywords_have_their_selectivity() {
        let (base, queries) = set();
        let groups = Groups::around_pivots(&base, &queries);
        for (class, share) in [(Class::All, 1.0), (Class::Tenth, 0.1), (Class::Hundredth, 0.01), (Class::Thousandth, 0.001)] {
            let matching = (0..100_000).filter(|row| groups.of_row(class, *row) == groups.of_query(class, 5)).count() as f64 / 1e5;
            assert!((matching - share).abs() <= share * 0.2, "{class:?} {matching}");
        }
        assert_eq!(groups.keyword(Class::Tenth, 7), "007");
    }
}
