//! A query made ready once, for all segments and memtables.

use pinyon_kernels::Kernels;
use pinyon_model::{DenseVector, Error, Metric, Record, Result, SparseVector, VectorShape};

use crate::segment::Rotation;

/// What to score records with.
///
/// Inside a search, records are compared by *rank*: the score as it is returned, turned round where lower is better. So
/// equal ranks are equal answers, and the id decides between them.
pub(crate) struct PreparedQuery {
    kernels: Kernels,
    kind: Kind,
}

enum Kind {
    /// Every record with a dense vector counts; on a dot-product index a sparse part may add to it.
    Dense { values: Box<[f32]>, metric: Metric, norm: f64, sparse: Option<SparseVector> },
    /// Records with a sparse vector count, unless the dot product is 0.
    Sparse(SparseVector),
}

impl PreparedQuery {
    /// Checks that the vectors suit the index.
    pub(crate) fn new(kernels: Kernels, shape: &VectorShape, dense: Option<DenseVector>, sparse: Option<SparseVector>) -> Result<Self> {
        let kind = match (shape.dense, dense, sparse) {
            (Some((dimension, metric)), Some(dense), sparse) => {
                if dense.len() != dimension.get() {
                    return Err(Error::invalid(format!(
                        "Vector dimension {} does not match the dimension of the index {}",
                        dense.len(),
                        dimension.get()
                    )));
                }
                if sparse.is_some() && !shape.sparse {
                    return Err(Error::invalid(format!(
                        "Index configuration does not support sparse values: its metric is {}, and only dotproduct does",
                        metric.as_str()
                    )));
                }
                let norm = kernels.norm_squared(dense.as_slice()).sqrt();
                Kind::Dense { values: dense.into_inner(), metric, norm, sparse }
            }
            (Some(_), None, _) => return Err(Error::invalid("A query of a dense index needs a dense vector")),
            (None, None, Some(sparse)) => Kind::Sparse(sparse),
            (None, Some(_), _) => return Err(Error::invalid("A query of a sparse index cannot have a dense vector")),
            (None, None, None) => return Err(Error::invalid("A query of a sparse index needs a sparse vector")),
        };
        Ok(Self { kernels, kind })
    }

    /// Whether dense vectors are what decides which records count.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self.kind, Kind::Dense { .. })
    }

    /// Whether codes can tell records apart: a zero vector, or one beyond what factors are computed with, they cannot.
    pub(crate) fn can_use_codes(&self) -> bool {
        match &self.kind {
            Kind::Dense { metric: Metric::Cosine, norm, .. } => *norm > 0.0 && norm.is_finite(),
            Kind::Dense { norm, .. } => (1e-15..=1e15).contains(norm),
            Kind::Sparse(_) => false,
        }
    }

    /// The dense vector as codes compare it: divided by its norm for cosine, and rotated.
    pub(super) fn rotated(&self, rotation: &Rotation) -> Vec<f32> {
        match &self.kind {
            Kind::Dense { values, metric, norm, .. } => {
                rotation.rotated(self.kernels, values, if *metric == Metric::Cosine { 1.0 / norm } else { 1.0 })
            }
            Kind::Sparse(_) => Vec::new(),
        }
    }

    pub(super) fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Bytes of a dense vector; 0 in a sparse query.
    pub(crate) fn dense_bytes(&self) -> usize {
        match &self.kind {
            Kind::Dense { values, .. } => values.len() * size_of::<f32>(),
            Kind::Sparse(_) => 0,
        }
    }

    /// The sparse vector: all of a sparse query, a part of a hybrid one.
    pub(crate) fn sparse(&self) -> Option<&SparseVector> {
        match &self.kind {
            Kind::Dense { sparse, .. } => sparse.as_ref(),
            Kind::Sparse(sparse) => Some(sparse),
        }
    }

    /// Scores of the dense vectors in `values`, row-major, into `out`, one for each. `norms` are theirs, if known.
    pub(super) fn score_dense(&self, values: &[f32], norms: Option<&[f64]>, out: &mut Vec<f64>) {
        let Kind::Dense { values: query, metric, norm, .. } = &self.kind else { return out.clear() };
        out.clear();
        out.resize(values.len() / query.len(), 0.0);
        match metric {
            Metric::Dotproduct => self.kernels.dot_rows(query, values, out),
            Metric::Euclidean => self.kernels.l2_squared_rows(query, values, out),
            Metric::Cosine => {
                self.kernels.dot_rows(query, values, out);
                match norms {
                    Some(norms) => out.iter_mut().zip(norms).for_each(|(s, n)| *s = cosine(*s, norm * n)),
                    None => {
                        let rows = values.chunks_exact(query.len());
                        out.iter_mut().zip(rows).for_each(|(s, row)| *s = cosine(*s, norm * self.kernels.norm_squared(row).sqrt()));
                    }
                }
            }
        }
    }

    /// The score of one dense vector, of which `row_norm` tells the norm where it matters; none if it is not of the query's dimension.
    pub(super) fn score_row(&self, row: &[f32], row_norm: impl FnOnce() -> f64) -> Option<f64> {
        let Kind::Dense { values, metric, norm, .. } = &self.kind else { return None };
        (row.len() == values.len()).then(|| match metric {
            Metric::Dotproduct => self.kernels.dot(values, row),
            Metric::Euclidean => self.kernels.l2_squared(values, row),
            Metric::Cosine => cosine(self.kernels.dot(values, row), norm * row_norm()),
        })
    }

    /// The score of a record in memory; none if it does not count.
    pub(super) fn score_record(&self, record: &Record) -> Option<f64> {
        match &self.kind {
            Kind::Dense { sparse, .. } => {
                let row = record.dense.as_ref()?.as_slice();
                let dense = self.score_row(row, || self.kernels.norm_squared(row).sqrt())?;
                let other = sparse.as_ref().zip(record.sparse.as_ref()).map_or(0.0, |(a, b)| self.sparse_dot(a, b));
                Some(dense + other)
            }
            Kind::Sparse(query) => Some(self.sparse_dot(query, record.sparse.as_ref()?)).filter(|score| *score != 0.0),
        }
    }

    fn sparse_dot(&self, a: &SparseVector, b: &SparseVector) -> f64 {
        self.kernels.sparse_dot(a.indices(), a.values(), b.indices(), b.values())
    }

    fn lower_is_better(&self) -> bool {
        matches!(self.kind, Kind::Dense { metric: Metric::Euclidean, .. })
    }

    /// The rank of a score: what is returned, higher being better. A score too large for 32 bits is the largest there is.
    #[inline]
    pub(super) fn rank(&self, score: f64) -> f32 {
        // Adding 0 makes -0 and 0 the same rank.
        let score = score.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32 + 0.0;
        if self.lower_is_better() { -score } else { score }
    }

    /// What codes estimate for a rank: half of it for distances.
    pub(super) fn estimate_of(&self, rank: f32) -> f32 {
        if self.lower_is_better() { rank / 2.0 } else { rank }
    }

    /// Whether one score is at least as good as the other.
    pub(crate) fn is_as_good(&self, score: f32, other: f32) -> bool {
        if self.lower_is_better() { score <= other } else { score >= other }
    }

    /// The score that a rank stands for.
    pub(super) fn score(&self, rank: f32) -> f32 {
        if self.lower_is_better() { -rank + 0.0 } else { rank }
    }
}

/// The cosine for this dot product and product of norms: 0 when either vector is zero.
fn cosine(dot: f64, norms: f64) -> f64 {
    if norms > 0.0 { dot / norms } else { 0.0 }
}
