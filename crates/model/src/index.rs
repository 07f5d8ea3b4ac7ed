use std::{borrow::Borrow, collections::BTreeMap, fmt};

use crate::{
    BackupId, CmekId, CollectionName, Deployment, Error, IndexId, MetadataSchema, ProjectId, ReadCapacity, ReadCapacityChange, Result,
    Tags, excerpt,
    limits::{DIMENSION_MAX, FIELD_DESCRIPTION_LEN_MAX},
    name::resource_name,
};

/// An index's name: 1 to 45 of `a-z`, `0-9` and `-`, starting and ending with a letter or digit. Unique in its project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexName(Box<str>);

impl IndexName {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self> {
        resource_name("Index", text).map(Self)
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for IndexName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IndexName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How two vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The cosine of their angle; 0 when either is zero.
    Cosine,
    /// The squared Euclidean distance: lower is better.
    Euclidean,
    /// The dot product.
    Dotproduct,
}

impl Metric {
    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Euclidean => "euclidean",
            Metric::Dotproduct => "dotproduct",
        }
    }
    /// Reads Pinecone's word.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "cosine" => Ok(Metric::Cosine),
            "euclidean" => Ok(Metric::Euclidean),
            "dotproduct" => Ok(Metric::Dotproduct),
            _ => Err(Error::invalid(format!("'{}' is not a valid metric; cosine, euclidean and dotproduct are allowed", excerpt(text)))),
        }
    }
    /// Whether a lower score is the better one.
    pub const fn lower_is_better(self) -> bool {
        matches!(self, Metric::Euclidean)
    }
}

/// How many values a dense vector has: 1 to 20,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dimension(u32);

impl Dimension {
    /// Checks the number.
    pub fn new(n: u32) -> Result<Self> {
        if n == 0 || n as usize > DIMENSION_MAX {
            return Err(Error::invalid(format!("Dimension is {n}; it must be between 1 and {DIMENSION_MAX}")));
        }
        Ok(Self(n))
    }
    /// The number.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// One field of an index's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaField {
    /// A dense vector.
    DenseVector {
        /// Its dimension.
        dimension: Dimension,
        /// Its metric.
        metric: Metric,
        /// For people.
        description: Option<String>,
    },
    /// A sparse vector; its metric is the dot product.
    SparseVector {
        /// For people.
        description: Option<String>,
    },
    /// Metadata that can be filtered on. With any such field, only such fields can be.
    Filterable {
        /// For people.
        description: Option<String>,
    },
}

/// What an index holds: the 2026-07 schema. A vector index has the reserved fields `_values`, `_sparse_values` or both,
/// and nothing else but filterable metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSchema {
    fields: BTreeMap<String, SchemaField>,
}

/// What of a schema the engine needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorShape {
    /// Dimension and metric of the dense vectors; none in a sparse index.
    pub dense: Option<(Dimension, Metric)>,
    /// Whether records may carry sparse vectors: sparse indexes, and dense ones with the dot product.
    pub sparse: bool,
}

/// The older dates' word for which vectors an index is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VectorType {
    /// Every record has a dense vector.
    Dense,
    /// Every record has a sparse vector and no dense one.
    Sparse,
}

impl VectorType {
    /// Pinecone's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            VectorType::Dense => "dense",
            VectorType::Sparse => "sparse",
        }
    }
}

impl VectorShape {
    /// Dense or sparse.
    pub fn vector_type(&self) -> VectorType {
        if self.dense.is_some() { VectorType::Dense } else { VectorType::Sparse }
    }
    /// The metric of the index; of a sparse one, the dot product.
    pub fn metric(&self) -> Metric {
        self.dense.map_or(Metric::Dotproduct, |(_, m)| m)
    }
}

impl IndexSchema {
    /// The reserved name of a vector index's dense field.
    pub const DENSE: &'static str = "_values";
    /// The reserved name of a vector index's sparse field.
    pub const SPARSE: &'static str = "_sparse_values";

    /// Checks that the fields make a vector index.
    pub fn new(fields: BTreeMap<String, SchemaField>) -> Result<Self> {
        let mut filterable = std::collections::BTreeSet::new();
        for (name, field) in &fields {
            let (expected, description) = match field {
                SchemaField::DenseVector { description, .. } => (Some(Self::DENSE), description),
                SchemaField::SparseVector { description } => (Some(Self::SPARSE), description),
                SchemaField::Filterable { description } => {
                    filterable.insert(name.clone());
                    (None, description)
                }
            };
            match expected {
                Some(expected) if name != expected => {
                    return Err(Error::unimplemented(format!(
                        "Schema field '{}' makes this a document index, which is not supported yet; a vector index has the fields '{}' and '{}'",
                        excerpt(name),
                        Self::DENSE,
                        Self::SPARSE
                    )));
                }
                None if name.starts_with('_') => {
                    return Err(Error::invalid(format!(
                        "Schema field '{}' is not valid: names that start with '_' are reserved",
                        excerpt(name)
                    )));
                }
                _ => {}
            }
            if description.as_ref().is_some_and(|d| d.len() > FIELD_DESCRIPTION_LEN_MAX) {
                return Err(Error::invalid(format!("The description of field '{name}' is longer than {FIELD_DESCRIPTION_LEN_MAX} bytes")));
            }
        }
        MetadataSchema::new(filterable)?;
        let schema = Self { fields };
        match schema.dense() {
            None if !schema.has_sparse_field() => Err(Error::invalid(format!(
                "Schema needs a '{}' field of type dense_vector or a '{}' field of type sparse_vector",
                Self::DENSE,
                Self::SPARSE
            ))),
            Some((_, metric)) if schema.has_sparse_field() && metric != Metric::Dotproduct => Err(Error::invalid(format!(
                "An index with dense and sparse vectors must use the dotproduct metric, but got {}",
                metric.as_str()
            ))),
            _ => Ok(schema),
        }
    }
    /// The schema of a dense index of the older dates.
    pub fn dense_index(dimension: Dimension, metric: Metric, metadata: Option<&MetadataSchema>) -> Result<Self> {
        Self::classic(Self::DENSE, SchemaField::DenseVector { dimension, metric, description: None }, metadata)
    }
    /// The schema of a sparse index of the older dates.
    pub fn sparse_index(metadata: Option<&MetadataSchema>) -> Result<Self> {
        Self::classic(Self::SPARSE, SchemaField::SparseVector { description: None }, metadata)
    }
    fn classic(name: &str, field: SchemaField, metadata: Option<&MetadataSchema>) -> Result<Self> {
        let names = metadata.into_iter().flat_map(|m| m.fields().iter().cloned());
        let mut fields: BTreeMap<_, _> = names.map(|n| (n, SchemaField::Filterable { description: None })).collect();
        fields.insert(name.to_owned(), field);
        Self::new(fields)
    }
    /// The fields, ordered by name.
    pub fn fields(&self) -> &BTreeMap<String, SchemaField> {
        &self.fields
    }
    /// What the engine needs to know.
    pub fn shape(&self) -> VectorShape {
        let dense = self.dense();
        VectorShape { dense, sparse: dense.is_none_or(|(_, m)| m == Metric::Dotproduct) }
    }
    /// The filterable metadata fields; none named means all of them are.
    pub fn metadata_schema(&self) -> Option<MetadataSchema> {
        let names: std::collections::BTreeSet<String> =
            self.fields.iter().filter(|(_, f)| matches!(f, SchemaField::Filterable { .. })).map(|(n, _)| n.clone()).collect();
        if names.is_empty() { None } else { MetadataSchema::new(names).ok() }
    }
    fn dense(&self) -> Option<(Dimension, Metric)> {
        match self.fields.get(Self::DENSE) {
            Some(SchemaField::DenseVector { dimension, metric, .. }) => Some((*dimension, *metric)),
            _ => None,
        }
    }
    fn has_sparse_field(&self) -> bool {
        self.fields.contains_key(Self::SPARSE)
    }
}

/// What an index is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexState {
    /// Being made: its records are being brought back.
    Initializing,
    /// Its records could not be brought back. It can be deleted.
    InitializationFailed,
    /// Serving: the next request succeeds.
    Ready,
    /// Being deleted.
    Terminating,
}

/// Whether an index refuses to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeletionProtection {
    /// It can be deleted.
    #[default]
    Disabled,
    /// It cannot.
    Enabled,
}

/// What an index was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexSource {
    /// A backup.
    Backup(BackupId),
    /// A collection, by the name it had.
    Collection(CollectionName),
}

/// An index as the control plane describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its id, which an index made later under the same name does not share.
    pub id: IndexId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// Its name.
    pub name: IndexName,
    /// What it holds.
    pub schema: IndexSchema,
    /// Where it is said to run.
    pub deployment: Deployment,
    /// How its reads are provisioned.
    pub read_capacity: ReadCapacity,
    /// Whether it refuses to be deleted.
    pub deletion_protection: DeletionProtection,
    /// Its tags.
    pub tags: Tags,
    /// The customer-managed key that it is under; none: the installation's own.
    pub cmek_id: Option<CmekId>,
    /// What it is doing.
    pub state: IndexState,
    /// The TCP port it is served on when indexes have a port each.
    pub port: Option<u16>,
    /// What it was made from, when not from nothing.
    pub source: Option<IndexSource>,
}

/// What a caller asks for when creating an index. Without a name, one is made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    /// Its name.
    pub name: Option<IndexName>,
    /// What it is to hold.
    pub schema: IndexSchema,
    /// Where it is to be said to run.
    pub deployment: Deployment,
    /// How its reads are provisioned.
    pub read_capacity: ReadCapacity,
    /// Whether it is to refuse deletion.
    pub deletion_protection: DeletionProtection,
    /// Its tags.
    pub tags: Tags,
    /// The customer-managed key to put it under.
    pub cmek_id: Option<CmekId>,
    /// The collection whose records it is to begin with, as the caller called it.
    pub source_collection: Option<String>,
}

/// What a caller changes of an index; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexChange {
    /// The copies of a pod index.
    pub replicas: Option<u32>,
    /// The type and size of a pod index.
    pub pod_type: Option<String>,
    /// How reads are provisioned, see [`ReadCapacityChange::apply`].
    pub read_capacity: Option<ReadCapacityChange>,
    /// Whether it refuses deletion.
    pub deletion_protection: Option<DeletionProtection>,
    /// Tags to put over the old ones; an empty value removes its key.
    pub tags: Option<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "0", "a-b", &"a".repeat(45)] {
            assert!(IndexName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "é", &"a".repeat(46)] {
            assert!(IndexName::new(bad).is_err(), "{bad}");
        }
        assert!(IndexName::new("Bad_Name").unwrap_err().message.contains("alphanumeric character"));
    }

    #[test]
    fn schemas() {
        let dim = Dimension::new(3).unwrap();
        let hybrid = |metric| {
            IndexSchema::new(BTreeMap::from([
                ("_values".to_owned(), SchemaField::DenseVector { dimension: dim, metric, description: None }),
                ("_sparse_values".to_owned(), SchemaField::SparseVector { description: None }),
            ]))
        };
        assert!(hybrid(Metric::Dotproduct).unwrap().shape().sparse);
        assert!(hybrid(Metric::Cosine).is_err());
        assert!(!IndexSchema::dense_index(dim, Metric::Cosine, None).unwrap().shape().sparse);
        assert_eq!(IndexSchema::sparse_index(None).unwrap().shape().vector_type(), VectorType::Sparse);
        assert!(IndexSchema::new(BTreeMap::new()).is_err());
        let document = BTreeMap::from([("body".to_owned(), SchemaField::SparseVector { description: None })]);
        assert_eq!(IndexSchema::new(document).unwrap_err().code, crate::ErrorCode::Unimplemented);
    }

    #[test]
    fn dimension_edges() {
        assert!(Dimension::new(0).is_err());
        assert!(Dimension::new(1).is_ok());
        assert!(Dimension::new(20_000).is_ok());
        assert!(Dimension::new(20_001).is_err());
    }
}
