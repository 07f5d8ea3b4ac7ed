use std::fmt;

use crate::{DenseVector, Error, Metadata, Result, SparseVector, text};

/// What a record is called in its namespace: 1 to 512 ASCII characters without NUL. Ordered bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Box<str>);

impl RecordId {
    /// Checks the text.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() {
            return Err(Error::invalid("Vector ID must not be empty; 1 to 512 ASCII characters are allowed"));
        }
        text::check_ascii("Vector ID", &text)?;
        Ok(Self(text))
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The text as bytes, which is how ids are ordered.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A log sequence number: the position of one write in one incarnation of a namespace. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record: an id with a dense vector, a sparse one, or both, and metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// Its dense vector.
    pub dense: Option<DenseVector>,
    /// Its sparse vector.
    pub sparse: Option<SparseVector>,
    /// Its metadata; empty when it has none.
    pub metadata: Metadata,
}

impl Record {
    /// Bytes as Pinecone counts them for the upsert limit and for write units: 4 a dense value, 8 a sparse pair, the id and the metadata.
    pub fn size_bytes(&self) -> usize {
        self.id.as_bytes().len()
            + self.dense.as_ref().map_or(0, |v| 4 * v.len())
            + self.sparse.as_ref().map_or(0, |v| 8 * v.len())
            + self.metadata.size_bytes()
    }
}
