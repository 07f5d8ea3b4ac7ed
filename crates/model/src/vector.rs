use crate::{
    Error, Result,
    limits::{DIMENSION_MAX, SPARSE_NONZERO_MAX},
};

/// A dense vector: 1 to 20,000 finite values.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseVector(Box<[f32]>);

impl DenseVector {
    /// Checks that there are 1 to 20,000 values and that each is finite.
    pub fn new(values: impl Into<Box<[f32]>>) -> Result<Self> {
        let values = values.into();
        if values.is_empty() || values.len() > DIMENSION_MAX {
            return Err(Error::invalid(format!("A dense vector has 1 to {DIMENSION_MAX} values, but got {}", values.len())));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::invalid(format!("Vector value {i} is {}; every value must be a finite 32-bit float", values[i])));
        }
        Ok(Self(values))
    }
    /// The values.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }
    /// How many values: the dimension.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// The values, owned.
    pub fn into_inner(self) -> Box<[f32]> {
        self.0
    }
}

/// A sparse vector: 1 to 2,048 pairs, indices ascending and each once, values finite.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseVector {
    indices: Box<[u32]>,
    values: Box<[f32]>,
}

impl SparseVector {
    /// Sorts the pairs by index and checks them. A zero value is kept: a client reads back what it wrote.
    pub fn new(indices: Vec<u32>, values: Vec<f32>) -> Result<Self> {
        if indices.len() != values.len() {
            return Err(Error::invalid(format!(
                "Sparse vector has {} indices and {} values; they must be equally many",
                indices.len(),
                values.len()
            )));
        }
        if indices.is_empty() {
            return Err(Error::invalid("Sparse vector must contain at least one value"));
        }
        if indices.len() > SPARSE_NONZERO_MAX {
            return Err(Error::invalid(format!(
                "Sparse vector size {} exceeds the maximum of {SPARSE_NONZERO_MAX} non-zero values",
                indices.len()
            )));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::invalid(format!("Sparse value {i} is {}; every value must be a finite 32-bit float", values[i])));
        }
        let sorted = indices.windows(2).all(|w| w[0] < w[1]);
        let (indices, values) = if sorted {
            (indices, values)
        } else {
            let mut pairs: Vec<(u32, f32)> = indices.into_iter().zip(values).collect();
            pairs.sort_by_key(|p| p.0);
            if let Some(w) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
                return Err(Error::invalid(format!("Sparse vector must contain unique indices, but {} occurs more than once", w[0].0)));
            }
            pairs.into_iter().unzip()
        };
        Ok(Self { indices: indices.into(), values: values.into() })
    }
    /// The indices, ascending.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }
    /// The values, in the order of the indices.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
    /// How many pairs.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.indices.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_edges() {
        assert!(DenseVector::new(vec![]).is_err());
        assert!(DenseVector::new(vec![0.0; DIMENSION_MAX]).is_ok());
        assert!(DenseVector::new(vec![0.0; DIMENSION_MAX + 1]).is_err());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(DenseVector::new(vec![1.0, bad]).unwrap_err().message.contains("value 1"));
        }
    }

    #[test]
    fn sparse_is_sorted_and_unique() {
        let v = SparseVector::new(vec![9, 2], vec![0.5, 1.5]).unwrap();
        assert_eq!((v.indices(), v.values()), (&[2, 9][..], &[1.5, 0.5][..]));
        assert!(SparseVector::new(vec![2, 2], vec![1.0, 1.0]).is_err());
        assert!(SparseVector::new(vec![2, 2, 1], vec![1.0, 1.0, 1.0]).is_err());
        assert!(SparseVector::new(vec![1], vec![]).is_err());
        assert!(SparseVector::new(vec![], vec![]).is_err());
        assert!(SparseVector::new(vec![1], vec![f32::NAN]).is_err());
        let n = SPARSE_NONZERO_MAX as u32;
        assert!(SparseVector::new((0..n).collect(), vec![1.0; n as usize]).is_ok());
        assert!(SparseVector::new((0..=n).collect(), vec![1.0; n as usize + 1]).is_err());
    }
}
