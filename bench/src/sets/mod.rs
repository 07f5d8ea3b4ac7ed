//! Sets of vectors to measure with: the rows, the queries, what filters ask for, and the exact answers.

pub(crate) mod classes;
pub(crate) mod entries;
pub(crate) mod matrix;
pub(crate) mod npy;
pub(crate) mod truth;
mod vecs;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use pinyon_model::Metric;

use self::{
    classes::{Class, Groups},
    entries::Entry,
    matrix::Matrix,
    truth::{Exact, Placed},
};
use crate::{Failure, vectors::Values};

/// The metric, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MetricName {
    Cosine,
    Dotproduct,
    Euclidean,
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::Cosine => Metric::Cosine,
            MetricName::Dotproduct => Metric::Dotproduct,
            MetricName::Euclidean => Metric::Euclidean,
        }
    }
}

/// Which set to measure with.
#[derive(clap::Args, Clone)]
pub(crate) struct SetArguments {
    /// Vectors, one a row: .npy (float16, float32) or .fvecs
    #[arg(long)]
    pub(crate) base: PathBuf,
    /// Queries, in the same form
    #[arg(long)]
    pub(crate) query: PathBuf,
    /// Exact neighbours of the queries by the metric, best first: .npy (int32) or .ivecs [default: computed]
    #[arg(long)]
    pub(crate) truth: Option<PathBuf>,
    /// Metadata of the rows, a line of JSON each, plain or .gz: id, part_of_speech, domain, synonyms, relations
    #[arg(long, requires = "query_jsonl")]
    pub(crate) jsonl: Option<PathBuf>,
    /// What the queries were taken from: a line of JSON each with `from`, the id of a row
    #[arg(long, requires = "jsonl")]
    pub(crate) query_jsonl: Option<PathBuf>,
    /// How vectors are compared
    #[arg(long, value_enum, default_value_t = MetricName::Cosine)]
    pub(crate) metric: MetricName,
    /// Give the rows norms that vary this much: exp(S × a normal number); 0 leaves them
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub(crate) skew: f64,
    /// Use the first rows alone
    #[arg(long)]
    pub(crate) rows: Option<usize>,
    /// Use the first queries alone
    #[arg(long)]
    pub(crate) queries: Option<usize>,
    /// Folder to keep computed neighbours in, for the next time
    #[arg(long)]
    pub(crate) cache: Option<PathBuf>,
}

/// A set in memory.
pub(crate) struct Set {
    pub(crate) base: Matrix,
    pub(crate) queries: Matrix,
    pub(crate) metric: Metric,
    pub(crate) groups: Groups,
    entries: Option<Vec<Entry>>,
    /// Neighbours that came with the set.
    given: Option<Vec<Vec<u32>>>,
    cache: Option<PathBuf>,
    fingerprint: u64,
}

/// A metadata value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Text(String),
    Number(f64),
}

/// Which records there are, and which vector each has.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// What was done, in order: it names what is computed from it.
    pub(crate) name: String,
    pub(crate) records: Vec<Placed>,
}

impl State {
    /// Every row with its own vector.
    pub(crate) fn fresh(rows: usize) -> Self {
        Self { name: "fresh".to_owned(), records: (0..rows as u32).map(|row| Placed { row, vector: row }).collect() }
    }
}

impl Set {
    /// Reads a set.
    pub(crate) fn load(arguments: &SetArguments) -> Result<Self, Failure> {
        let (mut base, mut queries) = (read_vectors(&arguments.base)?, read_vectors(&arguments.query)?);
        if base.dimension() != queries.dimension() {
            return Err(format!("the rows have {} values and the queries {}", base.dimension(), queries.dimension()).into());
        }
        let whole = base.rows();
        base.truncate(arguments.rows.unwrap_or(whole));
        queries.truncate(arguments.queries.unwrap_or(usize::MAX));
        if base.rows() == 0 || queries.rows() == 0 {
            return Err("there must be a row and a query".into());
        }
        if arguments.skew != 0.0 {
            let mut values = Values::new(11);
            base.scale(|_| (arguments.skew * values.normal()).exp() as f32);
        }
        let mut entries = arguments.jsonl.as_deref().map(entries::read_entries).transpose()?;
        let groups = match (&mut entries, &arguments.query_jsonl) {
            (Some(entries), Some(origins)) => {
                if entries.len() != whole {
                    return Err(format!("{whole} rows have {} entries", entries.len()).into());
                }
                let mut origins = entries::read_origins(origins, entries)?;
                if origins.len() < queries.rows() {
                    return Err(format!("{} queries have {} origins", queries.rows(), origins.len()).into());
                }
                origins.truncate(queries.rows());
                let domains: Vec<&str> = entries.iter().map(|entry| &*entry.domain).collect();
                // A query's own entry may lie behind the rows that are used; its domain is what counts.
                let any_of: BTreeMap<&str, u32> = domains[..base.rows()].iter().copied().zip(0..).collect();
                let origins: Vec<u32> = origins.iter().map(|row| any_of.get(domains[*row as usize]).copied().unwrap_or(0)).collect();
                let groups = Groups::named(&base, &queries, &domains[..base.rows()], &origins);
                entries.truncate(base.rows());
                groups
            }
            _ => Groups::around_pivots(&base, &queries),
        };
        let fits = arguments.rows.is_none() && arguments.skew == 0.0;
        let given = arguments.truth.as_deref().filter(|_| fits).map(read_rows).transpose()?;
        if let Some(given) = given.as_ref().filter(|given| given.len() < queries.rows()) {
            return Err(format!("{} queries have neighbours for {}", queries.rows(), given.len()).into());
        }
        let fingerprint = truth::fingerprint([base.values(), queries.values()].into_iter());
        Ok(Self { base, queries, metric: arguments.metric.into(), groups, entries, given, cache: arguments.cache.clone(), fingerprint })
    }

    /// The metadata of a row: what the filters of every class ask for, and what its entry says if the set has entries.
    pub(crate) fn fields(&self, row: u32) -> Vec<(&'static str, Field)> {
        let keyword = |class: Class| Field::Text(self.groups.keyword(class, self.groups.of_row(class, row)));
        let classes = [Class::Tenth, Class::Hundredth, Class::Thousandth, Class::Correlated];
        let mut fields: Vec<_> = classes.into_iter().filter_map(|class| Some((class.field()?, keyword(class)))).collect();
        if let Some(entry) = self.entries.as_ref().and_then(|entries| entries.get(row as usize)) {
            fields.push(("part_of_speech", Field::Text(entry.part_of_speech.clone())));
            fields.push(("synonyms", Field::Number(entry.synonyms)));
            fields.push(("relations", Field::Number(entry.relations)));
        }
        fields
    }

    /// The field that a query of a class is filtered by and the keyword that it must have; nothing for no filter.
    pub(crate) fn condition(&self, class: Class, query: u32) -> Option<(&'static str, String)> {
        Some((class.field()?, self.groups.keyword(class, self.groups.of_query(class, query))))
    }

    /// For every query the rows of the `k` best records that its filter lets through, best first.
    pub(crate) fn truth(&self, state: &State, class: Class, k: usize) -> Result<Vec<Vec<u32>>, Failure> {
        let count = self.queries.rows();
        if let Some(given) = &self.given
            && (&*state.name, class) == ("fresh", Class::All)
            && given.iter().all(|line| line.len() >= k)
        {
            return Ok(given[..count].iter().map(|line| line[..k].to_vec()).collect());
        }
        let name = format!("neighbours-{:016x}-{}-{}-{}-{k}", self.fingerprint, self.metric.as_str(), state.name, class.name());
        truth::kept(self.cache.as_deref(), &name, || {
            let exact = Exact { base: &self.base, queries: &self.queries, metric: self.metric };
            let mut queries_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            (0..count as u32).for_each(|query| queries_of.entry(self.groups.of_query(class, query)).or_default().push(query));
            let mut records_of: BTreeMap<u32, Vec<Placed>> = BTreeMap::new();
            for record in &state.records {
                records_of.entry(self.groups.of_row(class, record.row)).or_default().push(*record);
            }
            let mut lines = vec![Vec::new(); count];
            for (value, queries) in queries_of {
                let found = exact.nearest(records_of.get(&value).map_or(&[][..], Vec::as_slice), &queries, k);
                queries.iter().zip(found).for_each(|(query, line)| lines[*query as usize] = line);
            }
            lines
        })
    }
}

/// Vectors of a file by what its name ends in.
pub(crate) fn read_vectors(path: &Path) -> Result<Matrix, Failure> {
    match ending(path) {
        "npy" => npy::read_vectors(path),
        "fvecs" => vecs::read_vectors(path),
        _ => Err(format!("{}: vectors are read from .npy and .fvecs", path.display()).into()),
    }
}

/// Row numbers of a file by what its name ends in.
fn read_rows(path: &Path) -> Result<Vec<Vec<u32>>, Failure> {
    match ending(path) {
        "npy" => npy::read_rows(path),
        "ivecs" => vecs::read_rows(path),
        _ => Err(format!("{}: neighbours are read from .npy and .ivecs", path.display()).into()),
    }
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|end| end.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn small(folder: &TempDir) -> SetArguments {
        let write = |name: &str, seed: u64, rows: usize| {
            let path = folder.path().join(name);
            let mut writer = npy::Writer::create(&path, npy::Kind::F32, rows, 8).expect("it opens");
            writer.write(&Values::new(seed).take(rows * 8)).expect("it fits");
            writer.finish().expect("it is full");
            path
        };
        SetArguments {
            base: write("base.npy", 1, 300),
            query: write("query.npy", 2, 12),
            truth: None,
            jsonl: None,
            query_jsonl: None,
            metric: MetricName::Euclidean,
            skew: 0.0,
            rows: None,
            queries: None,
            cache: None,
        }
    }

    #[test]
    fn the_truth_of_a_filter_holds_matching_records_only_and_all_that_are_near() {
        let folder = TempDir::new().expect("a folder");
        let set = Set::load(&small(&folder)).expect("it is sound");
        let state = State::fresh(300);
        let all = set.truth(&state, Class::All, 300).expect("nothing is read");
        for class in Class::EVERY {
            let found = set.truth(&state, class, 20).expect("nothing is read");
            for (query, line) in found.iter().enumerate() {
                let wanted = set.groups.of_query(class, query as u32);
                let expected = all[query].iter().filter(|row| set.groups.of_row(class, **row) == wanted).take(20);
                assert_eq!(line, &expected.copied().collect::<Vec<u32>>(), "{class:?} {query}");
            }
        }
    }

    #[test]
    fn given_neighbours_are_used_where_they_fit() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("truth.npy");
        npy::write_rows(&path, &vec![vec![9, 8]; 12]).expect("it is written");
        let arguments = SetArguments { truth: Some(path), ..small(&folder) };
        let state = State::fresh(300);
        let set = Set::load(&arguments).expect("it is sound");
        assert_eq!(set.truth(&state, Class::All, 2).expect("it is given")[5], [9, 8]);
        // Deeper than what is given, or of other rows: computed.
        assert_eq!(set.truth(&state, Class::All, 3).expect("nothing is read")[5].len(), 3);
        let set = Set::load(&SetArguments { rows: Some(5), ..arguments.clone() }).expect("it is sound");
        assert!(set.truth(&State::fresh(5), Class::All, 2).expect("nothing is read")[5].iter().all(|row| *row < 5));
    }

    #[test]
    fn sets_that_do_not_fit_are_refused() {
        let folder = TempDir::new().expect("a folder");
        let arguments = small(&folder);
        assert!(Set::load(&SetArguments { rows: Some(0), ..arguments.clone() }).is_err());
        assert!(Set::load(&SetArguments { base: folder.path().join("base.txt"), ..arguments.clone() }).is_err());
        let narrow = folder.path().join("narrow.npy");
        let mut writer = npy::Writer::create(&narrow, npy::Kind::F16, 1, 4).expect("it opens");
        writer.write(&[0.0; 4]).expect("it fits");
        writer.finish().expect("it is full");
        assert!(Set::load(&SetArguments { query: narrow, ..arguments }).is_err_and(|error| error.to_string().contains("8")));
    }
}
