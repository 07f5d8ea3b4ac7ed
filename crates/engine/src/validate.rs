//! Whether a write's vectors fit the index. A write is checked as a whole before any of it is done.

use pinyon_model::{DenseVector, Error, Record, Result, SparseVector, VectorShape};

/// Checks every record of an upsert.
pub(crate) fn upsert(shape: &VectorShape, records: &[Record]) -> Result<()> {
    if records.is_empty() {
        return Err(Error::invalid("Upsert needs at least one vector"));
    }
    records.iter().try_for_each(|record| {
        vectors(shape, record.dense.as_ref(), record.sparse.as_ref())?;
        match (shape.dense, &record.dense, &record.sparse) {
            (Some((dimension, _)), None, _) => Err(Error::invalid(format!(
                "Vector '{}' has no dense values; this index needs {} of them",
                record.id.as_str().escape_debug(),
                dimension.get()
            ))),
            (None, _, None) => Err(Error::invalid(format!(
                "Vector '{}' has no sparse values; this is a sparse index, which needs them",
                record.id.as_str().escape_debug()
            ))),
            _ => Ok(()),
        }
    })
}

/// Checks the vectors that there are.
pub(crate) fn vectors(shape: &VectorShape, dense: Option<&DenseVector>, sparse: Option<&SparseVector>) -> Result<()> {
    match (shape.dense, dense) {
        (None, Some(_)) => {
            return Err(Error::invalid("Dense vectors are not allowed in a sparse index; only sparse values are"));
        }
        (Some((dimension, _)), Some(vector)) if vector.len() != dimension.get() => {
            return Err(Error::invalid(format!(
                "Vector dimension {} does not match the dimension of the index {}",
                vector.len(),
                dimension.get()
            )));
        }
        _ => {}
    }
    if sparse.is_some() && !shape.sparse {
        return Err(Error::invalid(format!(
            "Sparse values are not allowed in a dense index with the {} metric; only dotproduct allows them",
            shape.metric().as_str()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pinyon_model::{Dimension, Metadata, Metric, RecordId};

    use super::*;

    fn record(dense: Option<usize>, sparse: bool) -> Record {
        Record {
            id: RecordId::new("a").unwrap(),
            dense: dense.map(|n| DenseVector::new(vec![1.0; n]).unwrap()),
            sparse: sparse.then(|| SparseVector::new(vec![1], vec![1.0]).unwrap()),
            metadata: Metadata::default(),
        }
    }

    fn dense(metric: Metric) -> VectorShape {
        VectorShape { dense: Some((Dimension::new(1536).unwrap(), metric)), sparse: metric == Metric::Dotproduct }
    }

    #[test]
    fn what_each_index_takes() {
        let sparse = VectorShape { dense: None, sparse: true };
        let check = |shape: VectorShape, record| upsert(&shape, &[record]);
        assert!(check(dense(Metric::Cosine), record(Some(1536), false)).is_ok());
        let wrong = check(dense(Metric::Cosine), record(Some(768), false)).unwrap_err().message;
        assert_eq!(wrong, "Vector dimension 768 does not match the dimension of the index 1536");
        assert!(check(dense(Metric::Cosine), record(None, false)).is_err());
        assert!(check(dense(Metric::Dotproduct), record(None, true)).is_err());
        assert!(check(dense(Metric::Dotproduct), record(Some(1536), true)).is_ok());
        assert!(check(dense(Metric::Euclidean), record(Some(1536), true)).unwrap_err().message.contains("euclidean"));
        assert!(check(sparse, record(None, true)).is_ok());
        assert!(check(sparse, record(None, false)).unwrap_err().message.contains("sparse index"));
        assert!(check(sparse, record(Some(3), true)).unwrap_err().message.contains("sparse index"));
        assert!(upsert(&sparse, &[]).is_err());
    }
}
