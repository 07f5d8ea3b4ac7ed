//! Random operations, all from one seed.

use std::collections::BTreeMap;

use pinyon_model::{Condition, DenseVector, Filter, Metadata, MetadataValue, Record, RecordId, Scalar, SparseVector};

/// A small generator of numbers (splitmix64).
pub(crate) struct Chance {
    state: u64,
    /// A quarter of the ids that there are.
    ids: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64, ids: u64) -> Self {
        Self { state: seed, ids }
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    /// 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub(crate) fn id(&mut self) -> RecordId {
        let group = *self.pick(&["a", "b#", "b#1/", "long-common-prefix-"]);
        RecordId::new(format!("{group}{}", self.below(self.ids))).unwrap()
    }

    /// Eighths, so that equal scores are common and sums are exact, or anything.
    fn value(&mut self, exact: bool) -> f32 {
        if exact { self.below(33) as f32 / 8.0 - 2.0 } else { (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0 }
    }

    pub(crate) fn dense(&mut self, dimension: usize) -> Vec<f32> {
        let exact = self.one_in(2);
        if self.one_in(20) { vec![0.0; dimension] } else { (0..dimension).map(|_| self.value(exact)).collect() }
    }

    /// Exact values only: whether a sparse score is 0 must not hang on rounding.
    pub(crate) fn sparse(&mut self) -> Vec<(u32, f32)> {
        let many = 1 + self.below(6);
        let mut pairs = BTreeMap::new();
        for _ in 0..many {
            let at = if self.one_in(10) { u32::MAX - self.below(2) as u32 } else { self.below(24) as u32 };
            pairs.insert(at, self.value(true));
        }
        pairs.into_iter().collect()
    }

    fn field(&mut self) -> String {
        (*self.pick(&["genre", "year", "flag", "note", "mixed"])).to_owned()
    }
    fn word(&mut self) -> String {
        (*self.pick(&["drama", "comedy", "", "é", "Drama", "noir"])).to_owned()
    }
    fn number(&mut self) -> f64 {
        *self.pick(&[2000.0, 2001.0, 2001.5, -3.0, 0.0, -0.0, 1e300, 1e-300, 2019.0])
    }

    pub(crate) fn metadata(&mut self) -> Metadata {
        let mut fields = BTreeMap::new();
        for _ in 0..self.below(5) {
            let field = self.field();
            let kind = match &*field {
                "genre" => *self.pick(&[0, 0, 3]),
                "year" => 1,
                "flag" => 2,
                "note" => 0,
                _ => self.below(4),
            };
            let value = match kind {
                0 => MetadataValue::String(self.word()),
                1 => MetadataValue::Number(self.number()),
                2 => MetadataValue::Bool(self.one_in(2)),
                _ => MetadataValue::StringList((0..self.below(4)).map(|_| self.word()).collect()),
            };
            fields.insert(field, value);
        }
        Metadata::new(fields).unwrap()
    }

    fn scalar(&mut self) -> Scalar {
        match self.below(3) {
            0 => Scalar::String(self.word()),
            1 => Scalar::Number(self.number()),
            _ => Scalar::Bool(self.one_in(2)),
        }
    }

    pub(crate) fn filter(&mut self, depth: u64) -> Filter {
        match self.below(if depth == 0 { 4 } else { 10 }) {
            0..7 => {
                let list = |c: &mut Self| (0..c.below(4)).map(|_| c.scalar()).collect();
                let condition = match self.below(9) {
                    0 => Condition::Eq(self.scalar()),
                    1 => Condition::Ne(self.scalar()),
                    2 => Condition::Gt(self.number()),
                    3 => Condition::Gte(self.number()),
                    4 => Condition::Lt(self.number()),
                    5 => Condition::Lte(self.number()),
                    6 => Condition::In(list(self)),
                    7 => Condition::Nin(list(self)),
                    _ => Condition::Exists(self.one_in(2)),
                };
                Filter::Field(self.field(), condition)
            }
            7 => Filter::And((0..self.below(4)).map(|_| self.filter(depth - 1)).collect()),
            8 => Filter::Or((0..self.below(4)).map(|_| self.filter(depth - 1)).collect()),
            _ => Filter::Not(Box::new(self.filter(depth - 1))),
        }
    }

    pub(crate) fn record(&mut self, dimension: Option<usize>, may_be_sparse: bool) -> Record {
        let dense = dimension.map(|d| DenseVector::new(self.dense(d)).unwrap());
        let with_sparse = may_be_sparse && (dense.is_none() || self.one_in(2));
        let sparse = with_sparse.then(|| vector(&self.sparse()));
        Record { id: self.id(), dense, sparse, metadata: self.metadata() }
    }
}

pub(crate) fn vector(pairs: &[(u32, f32)]) -> SparseVector {
    SparseVector::new(pairs.iter().map(|p| p.0).collect(), pairs.iter().map(|p| p.1).collect()).unwrap()
}
